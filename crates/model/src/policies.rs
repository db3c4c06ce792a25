use std::collections::BTreeMap;
use std::sync::Arc;

use leno_api::{ResourceKey, TrafficPolicy};
use serde::Serialize;

use crate::Certificate;

/// What DestinationRules say of a service. Several for one host are one: the first traffic policy, the subsets of all.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Policies {
    /// In order of precedence.
    pub objects: Vec<ResourceKey>,
    #[serde(skip)]
    pub whole: Option<PolicyPart>,
    pub subsets: Vec<PolicySubset>,
}

/// A traffic policy and the field it stands in.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyPart {
    pub object: ResourceKey,
    pub at: String,
    pub policy: TrafficPolicy,
    /// What its `credentialName`s stand for.
    pub credentials: BTreeMap<String, Credential>,
}

/// What a Secret has for TLS, as PEM.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Credential {
    pub certificate: Option<Arc<Certificate>>,
    pub roots: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PolicySubset {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    #[serde(skip)]
    pub part: Option<PolicyPart>,
}
