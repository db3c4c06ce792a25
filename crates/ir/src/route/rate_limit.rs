use serde::Serialize;

use super::HeaderMatch;

/// What of a request is counted by a rate limit service (Envoy `config.route.v3.RateLimit`): one descriptor, made of all
/// actions; none when one of them has nothing to say.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct RateLimitRule {
    /// 0 to 10; read by the filter of that stage.
    pub stage: u32,
    /// At least one.
    pub actions: Vec<RateLimitAction>,
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
    /// `remote_address`: the client's, without port.
    RemoteAddress,
    RequestHeader {
        /// Lower case.
        header: String,
        key: String,
        /// Without the header there is no entry, instead of no descriptor.
        skip_if_absent: bool,
    },
}
