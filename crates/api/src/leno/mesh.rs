use crate::GatewayDuration;
use crate::described::{described, words};

described! {
    /// What holds for the mesh as a whole. There is one, called `default`; what it says counts before Istio's ConfigMap.
    pub struct MeshConfigSpec where {
        "!has(self.dnsRefreshRate) || duration(self.dnsRefreshRate) > duration('0s')": "dnsRefreshRate is more than 0s",
    } {
        /// Where objects for the whole mesh live. Default `leno-system`.
        pub root_namespace: Option<String> = {
            "minLength": 1, "maxLength": 63, "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        },
        /// Peers with identities of these are called as if they were of ours.
        pub trust_domain_aliases: Vec<String> = { "maxItems": 16, "x-kubernetes-list-type": "set" },
        /// Of proxies that name none themselves.
        pub access_log: Option<MeshAccessLog>,
        /// How paths are spelt before anybody looks at them. Default: as they come.
        pub path_normalization: Option<PathSpelling>,
        /// How often names are looked up again, unless an answer says so. Default 60s.
        pub dns_refresh_rate: Option<GatewayDuration>,
        /// HTTP/1.1 between proxies is carried as HTTP/2.
        pub upgrade_to_http2: Option<bool>,
    }
    pub struct MeshAccessLog {
        /// `-` is standard output.
        pub path: String = { "required": true, "minLength": 1 },
        /// Default `Text`.
        pub encoding: Option<LogEncoding>,
        /// With Envoy's command operators. Default: Istio's.
        pub format: Option<String>,
    }
}

words! {
    pub enum LogEncoding {
        Json = "JSON",
        Text = "Text",
    }
    pub enum PathSpelling {
        /// RFC 3986.
        Base = "Base",
        /// `%2F` and `%5C` are decoded, too.
        DecodeAndMergeSlashes = "DecodeAndMergeSlashes",
        MergeSlashes = "MergeSlashes",
        None = "None",
    }
}
