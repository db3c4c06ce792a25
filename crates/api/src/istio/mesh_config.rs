//! What Istio's ConfigMap says of the whole mesh.

use serde_json::Value;

use super::{H2UpgradePolicy, HttpRetries, LocalityLb, OutboundTrafficPolicy, TcpKeepalive};
use crate::GoDuration;
use crate::schema::schema;

schema! {
    /// The keys of Istio's `MeshConfig` that mean something here.
    pub struct MeshConfig {
        /// `TEXT` (the default) or `JSON`.
        pub access_log_encoding: Option<String>,
        /// Of proxies that name none themselves.
        pub access_log_file: Option<String>,
        pub access_log_format: Option<String>,
        pub connect_timeout: Option<GoDuration>,
        pub default_destination_rule_export_to: Vec<String>,
        pub default_http_retry_policy: Option<HttpRetries>,
        pub default_service_export_to: Vec<String>,
        pub default_virtual_service_export_to: Vec<String>,
        pub dns_refresh_rate: Option<GoDuration>,
        pub h2_upgrade_policy: Option<H2UpgradePolicy>,
        pub locality_lb_setting: Option<LocalityLb>,
        pub outbound_traffic_policy: Option<OutboundTrafficPolicy>,
        pub path_normalization: Option<PathNormalization>,
        pub root_namespace: Option<String>,
        pub tcp_keepalive: Option<TcpKeepalive>,
        /// Peers with identities of these are let in and called as if they were of ours.
        pub trust_domain_aliases: Vec<String>,
    }
    pub struct PathNormalization {
        /// `NONE`, `BASE`, `MERGE_SLASHES` or `DECODE_AND_MERGE_SLASHES`.
        pub normalization: Option<String>,
    }
}

const KEYS: [&str; 16] = [
    "accessLogEncoding",
    "accessLogFile",
    "accessLogFormat",
    "connectTimeout",
    "defaultDestinationRuleExportTo",
    "defaultHttpRetryPolicy",
    "defaultServiceExportTo",
    "defaultVirtualServiceExportTo",
    "dnsRefreshRate",
    "h2UpgradePolicy",
    "localityLbSetting",
    "outboundTrafficPolicy",
    "pathNormalization",
    "rootNamespace",
    "tcpKeepalive",
    "trustDomainAliases",
];

impl MeshConfig {
    /// Of the text under `mesh`, and what is wrong with it: keys, each with a message. A key that cannot be read is left out.
    pub fn read(text: &str) -> (Self, Vec<(String, String)>) {
        let written: Value = match serde_saphyr::from_str(text) {
            Ok(written) => written,
            Err(error) => return (Self::default(), vec![(String::new(), error.to_string())]),
        };
        let mut known = serde_json::Map::new();
        let mut found = Vec::new();
        for (key, value) in written.as_object().into_iter().flatten() {
            if !KEYS.contains(&key.as_str()) {
                unsupported(key, value, &mut found);
                continue;
            }
            let alone = Value::Object(std::iter::once((key.clone(), value.clone())).collect());
            match serde_json::from_value::<Self>(alone) {
                Ok(_) => drop(known.insert(key.clone(), value.clone())),
                Err(error) => found.push((key.clone(), error.to_string())),
            }
        }
        (serde_json::from_value(Value::Object(known)).unwrap_or_default(), found)
    }
}

/// Each of the settings below `defaultConfig` on its own.
fn unsupported(key: &str, value: &Value, found: &mut Vec<(String, String)>) {
    let inner = value.as_object().filter(|_| key == "defaultConfig");
    let keys = match inner {
        Some(inner) => inner.keys().map(|inner| format!("{key}.{inner}")).collect(),
        None => vec![key.to_owned()],
    };
    found.extend(keys.into_iter().map(|key| {
        let message = format!("not supported yet: {key}");
        (key, message)
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_nothing_here_is_told_key_by_key() {
        let text = "accessLogFile: /dev/stdout\nconnectTimeout: 3s\ntcpKeepalive: 5\nenableTracing: true\ndefaultConfig:\n  concurrency: 2\n  tracing: {}\n";
        let (config, found) = MeshConfig::read(text);
        assert_eq!(config.access_log_file.as_deref(), Some("/dev/stdout"));
        assert_eq!(config.connect_timeout.map(|timeout| timeout.0.as_secs()), Some(3));
        // In the order of the text, or sorted, as serde_json is built.
        let mut keys: Vec<_> = found.iter().map(|(key, _)| key.as_str()).collect();
        keys.sort_unstable();
        assert_eq!(keys, ["defaultConfig.concurrency", "defaultConfig.tracing", "enableTracing", "tcpKeepalive"]);
        assert!(MeshConfig::read(": [").1.len() == 1);
        assert_eq!(MeshConfig::read("").0, MeshConfig::default());
    }
}
