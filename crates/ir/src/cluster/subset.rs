use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::MetadataValue;

/// What endpoints are told apart by, and routes ask for (metadata of the filter `envoy.lb`).
pub type Labels = BTreeMap<String, MetadataValue>;

/// Parts of a cluster's endpoints that routes may ask for (Envoy `LbSubsetConfig`). Without selectors there are no parts.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SubsetSettings {
    /// Who takes a request that asks for nobody's labels, unless the selector says otherwise.
    pub fallback: SubsetFallback,
    pub default_subset: Labels,
    pub selectors: Vec<SubsetSelector>,
    /// An endpoint with a list as a label is in the subset of each of its values.
    pub list_as_any: bool,
    /// Localities keep their weights within subsets.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub weighs_localities: bool,
    /// The weight of a locality shrinks with the share of its endpoints that a subset has.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub scales_localities: bool,
    /// Where nobody of the fallback can be chosen anybody is.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub panics_to_any: bool,
}

/// Endpoints that have all of these labels are told apart by their values.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SubsetSelector {
    pub keys: BTreeSet<String>,
    /// `None`: the cluster's.
    pub fallback: Option<SubsetFallback>,
    /// Some of `keys`: for a request that asks for nobody's labels those of these keys are looked for, and `fallback` is of no
    /// use. Empty: they are not.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub fewer_keys: BTreeSet<String>,
    /// A subset has one endpoint, whatever its health and priority; of several with the same labels the first.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_single: bool,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SubsetFallback {
    /// All endpoints.
    AnyEndpoint,
    /// Those of `default_subset`.
    DefaultSubset,
    /// Nobody (503, flag UH).
    #[default]
    NoFallback,
}
