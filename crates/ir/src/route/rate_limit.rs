use serde::Serialize;

use super::{HeaderMatch, QueryMatch};
use crate::MetadataSource;

/// What of a request is counted by a rate limit service (Envoy `config.route.v3.RateLimit`): one descriptor, made of all
/// actions; none when one of them has nothing to say.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct RateLimitRule {
    /// 0 to 10; read by the filter of that stage.
    pub stage: u32,
    /// At least one.
    pub actions: Vec<RateLimitAction>,
    /// Told to the service; `None`: it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<LimitOverride>,
    /// How many hits a request counts as; 1 unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hits_addend: Option<HitsAddend>,
}

impl RateLimitRule {
    /// The operator that says how many hits a request counts as.
    pub fn hits_format(&self) -> Option<&str> {
        match &self.hits_addend {
            Some(HitsAddend::Format(format)) => Some(format),
            Some(HitsAddend::Number(_)) | None => None,
        }
    }

    pub fn new(actions: Vec<RateLimitAction>) -> Self {
        Self { stage: 0, actions, limit: None, hits_addend: None }
    }
}

/// Another limit than the service's own.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitOverride {
    /// `unit` is that of `envoy.type.v3.RateLimitUnit`, 0 to 7.
    Fixed { requests_per_unit: u32, unit: i32 },
    /// A structure of `requests_per_unit` and `unit` in dynamic metadata.
    Metadata { namespace: String, path: Vec<String> },
}

#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HitsAddend {
    /// With one command operator.
    Format(String),
    Number(u64),
}

/// One entry of a descriptor.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RateLimitAction {
    /// `destination_cluster`: the cluster that the request goes to.
    DestinationCluster,
    GenericKey {
        /// `generic_key` when empty.
        key: String,
        value: String,
    },
    HeaderValueMatch {
        /// `header_match` when empty.
        key: String,
        value: String,
        /// Whether all headers must match, or not all may.
        expect_match: bool,
        headers: Vec<HeaderMatch>,
    },
    /// A text in metadata.
    Metadata {
        key: String,
        source: MetadataSource,
        namespace: String,
        path: Vec<String>,
        /// When there is no text. Empty: there is no descriptor.
        default: String,
        /// Without a text there is no entry, instead of no descriptor.
        skip_if_absent: bool,
    },
    /// `masked_remote_address`: the client's network, as in `10.1.0.0/16`.
    MaskedRemoteAddress {
        /// At most 32.
        v4_prefix_len: u8,
        /// At most 128.
        v6_prefix_len: u8,
    },
    /// The value of a query parameter, percent-decoded; of several of one name the first.
    QueryParameter {
        name: String,
        key: String,
        /// Without the parameter there is no entry, instead of no descriptor.
        skip_if_absent: bool,
    },
    QueryValueMatch {
        /// `query_match` when empty.
        key: String,
        value: String,
        /// Whether all parameters must match, or not all may.
        expect_match: bool,
        parameters: Vec<QueryMatch>,
    },
    /// `remote_address`: the client's, without port.
    RemoteAddress,
    RequestHeader {
        /// Lower case.
        header: String,
        key: String,
        /// Without the header there is no entry, instead of no descriptor.
        skip_if_absent: bool,
    },
    /// `source_cluster`: the cluster of this node.
    SourceCluster,
}
