use std::collections::BTreeMap;

use leno_api::{ResourceKey, TrafficPolicy};
use serde::Serialize;

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
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PolicySubset {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    #[serde(skip)]
    pub part: Option<PolicyPart>,
}
