//! The configuration as Envoy's admin interface shows it (`admin.v3.ConfigDump`), in JSON.
//!
//! Shape       `Config` -> `encode_*` -> reflection -> JSON; what came in a bootstrap is shown as it was written
//! Invariants  nothing that Envoy's API marks as sensitive is shown, file names of keys included
//! Errors      a resource that cannot be shown says so in its place
//! Cost        the descriptors of Envoy's API and every resource, at each look
//! Source      Envoy config_dump.proto v3, 1.40; proto3 JSON mapping with the names of the API

use leno_ir::{Config, Discovery, Flavor, NetworkFilter};
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use serde_json::{Map, Value, json};

use crate::Resource;
use crate::bootstrap::pool;
use crate::codec::{encode_cluster, encode_endpoints, encode_listener, encode_route_table};

const BOOTSTRAP: &str = "envoy.config.bootstrap.v3.Bootstrap";
const PREFIX: &str = "type.googleapis.com/";

/// What is shown.
#[derive(Clone, Copy, Debug)]
pub struct Dump<'a> {
    pub config: &'a Config,
    /// Of a bootstrap that is served without a control plane, in the wire format; then everything is static.
    pub bootstrap: Option<&'a [u8]>,
    pub includes_endpoints: bool,
    /// When it became active: `2026-11-21T16:06:50.139Z`.
    pub last_updated: &'a str,
}

/// The parts of Envoy's `configs`, in its order.
pub fn config_dump(dump: Dump<'_>) -> Vec<Value> {
    let pool = pool();
    let shown = dump.bootstrap.map(|bytes| message(&pool, BOOTSTRAP, bytes));
    let part = |name: &str, fields: Vec<(&str, Vec<Value>)>| {
        let mut part = Map::new();
        part.insert("@type".to_owned(), json!(format!("{PREFIX}envoy.admin.v3.{name}")));
        for (field, values) in fields.into_iter().filter(|(_, values)| !values.is_empty()) {
            part.insert(field.to_owned(), Value::Array(values));
        }
        Value::Object(part)
    };
    let updated = |field: &str, value: Value| json!({ field: value, "last_updated": dump.last_updated });
    let mut bootstrap = Map::new();
    bootstrap.insert("@type".to_owned(), json!(format!("{PREFIX}envoy.admin.v3.BootstrapConfigDump")));
    if let Some(shown) = &shown {
        bootstrap.insert("bootstrap".to_owned(), shown.clone());
    }
    bootstrap.insert("last_updated".to_owned(), json!(dump.last_updated));
    let resources = |field: &str| -> Vec<Value> {
        let items = shown.as_ref().and_then(|shown| shown["static_resources"][field].as_array());
        items.cloned().unwrap_or_default()
    };
    let typed = |name: &str, value: Value| with_type(name, value);
    let mut parts = vec![Value::Object(bootstrap)];
    let is_static = shown.is_some();
    parts.push(if is_static {
        let mut clusters = resources("clusters");
        // Envoy keeps them by name.
        clusters.sort_by(|one, other| one["name"].as_str().cmp(&other["name"].as_str()));
        let clusters = clusters.into_iter().map(|cluster| typed("envoy.config.cluster.v3.Cluster", cluster));
        part("ClustersConfigDump", vec![("static_clusters", clusters.map(|it| updated("cluster", it)).collect())])
    } else {
        let clusters = dump.config.clusters.values().map(|cluster| encode_cluster(cluster, Flavor::Leno));
        let clusters = clusters.map(|cluster| dynamic(&pool, "cluster", &cluster, dump.last_updated));
        part("ClustersConfigDump", vec![("dynamic_active_clusters", clusters.collect())])
    });
    if dump.includes_endpoints {
        parts.push(part("EndpointsConfigDump", endpoints(&pool, dump)));
    }
    parts.push(if is_static {
        let listeners = resources("listeners").into_iter();
        let listeners = listeners.map(|listener| typed("envoy.config.listener.v3.Listener", listener));
        part("ListenersConfigDump", vec![("static_listeners", listeners.map(|it| updated("listener", it)).collect())])
    } else {
        let listeners = dump.config.listeners.values().map(|listener| {
            let listener = encode_listener(listener, Flavor::Leno);
            let state = dynamic(&pool, "listener", &listener, dump.last_updated);
            json!({ "name": listener.name, "active_state": state })
        });
        part("ListenersConfigDump", vec![("dynamic_listeners", listeners.collect())])
    });
    parts.push(part("ScopedRoutesConfigDump", Vec::new()));
    let inline = match is_static {
        true => resources("listeners").iter().flat_map(route_configs).collect(),
        false => inline_routes(&pool, dump.config),
    };
    let inline = inline.into_iter().map(|table| typed("envoy.config.route.v3.RouteConfiguration", table));
    let tables = dump.config.route_tables.values().map(|table| encode_route_table(table, Flavor::Leno));
    let tables = tables.map(|table| dynamic(&pool, "route_config", &table, dump.last_updated));
    let fields = vec![
        ("static_route_configs", inline.map(|table| updated("route_config", table)).collect()),
        ("dynamic_route_configs", tables.collect()),
    ];
    parts.push(part("RoutesConfigDump", fields));
    let secrets = resources("secrets").into_iter().map(|secret| {
        let name = secret["name"].clone();
        let secret = typed("envoy.extensions.transport_sockets.tls.v3.Secret", secret);
        json!({ "name": name, "last_updated": dump.last_updated, "secret": secret })
    });
    parts.push(part("SecretsConfigDump", vec![("static_secrets", secrets.collect())]));
    parts
}

fn endpoints(pool: &DescriptorPool, dump: Dump<'_>) -> Vec<(&'static str, Vec<Value>)> {
    let name = "envoy.config.endpoint.v3.ClusterLoadAssignment";
    let fixed = dump.config.clusters.values().filter_map(|cluster| match &cluster.discovery {
        Discovery::Static(set) => {
            let mut shown = message(pool, name, &encode_endpoints(set, Flavor::Leno).body);
            shown["cluster_name"] = json!(cluster.name);
            Some(json!({ "endpoint_config": with_type(name, shown) }))
        }
        Discovery::Aggregate(_)
        | Discovery::Dns(_)
        | Discovery::DynamicHosts(_)
        | Discovery::Eds { .. }
        | Discovery::OriginalDestination(_) => None,
    });
    let sets = dump.config.endpoints.values().map(|set| encode_endpoints(set, Flavor::Leno));
    let sets = sets.map(|set| dynamic(pool, "endpoint_config", &set, dump.last_updated));
    vec![("static_endpoint_configs", fixed.collect()), ("dynamic_endpoint_configs", sets.collect())]
}

fn dynamic(pool: &DescriptorPool, field: &str, resource: &Resource, last_updated: &str) -> Value {
    let name = resource.type_url.strip_prefix(PREFIX).unwrap_or(resource.type_url);
    let shown = with_type(name, message(pool, name, &resource.body));
    json!({ "version_info": resource.version, field: shown, "last_updated": last_updated })
}

fn inline_routes(pool: &DescriptorPool, config: &Config) -> Vec<Value> {
    let chains = config
        .listeners
        .values()
        .flat_map(|listener| listener.filter_chains.iter().chain(&listener.default_filter_chain));
    let tables = chains.filter_map(|chain| match &chain.filter {
        NetworkFilter::Http(http) => Some(http.routes.inline()),
        NetworkFilter::Tcp(_) => None,
    });
    let tables = tables.flatten().map(|(_, table)| encode_route_table(table, Flavor::Leno));
    tables.map(|table| message(pool, "envoy.config.route.v3.RouteConfiguration", &table.body)).collect()
}

/// Those inside a listener as it is shown.
fn route_configs(listener: &Value) -> Vec<Value> {
    match listener {
        Value::Array(items) => items.iter().flat_map(route_configs).collect(),
        Value::Object(fields) => {
            let inner = fields.iter().filter(|(name, _)| *name != "route_config");
            let own = fields.get("route_config").cloned();
            own.into_iter().chain(inner.flat_map(|(_, value)| route_configs(value))).collect()
        }
        _ => Vec::new(),
    }
}

fn with_type(name: &str, value: Value) -> Value {
    let Value::Object(fields) = value else { return value };
    let name = ("@type".to_owned(), json!(format!("{PREFIX}{name}")));
    Value::Object([name].into_iter().chain(fields).collect())
}

fn message(pool: &DescriptorPool, name: &str, bytes: &[u8]) -> Value {
    let shown = read(pool, name, bytes).unwrap_or_else(|reason| json!({ "error": reason }));
    redacted(shown)
}

fn read(pool: &DescriptorPool, name: &str, bytes: &[u8]) -> Result<Value, String> {
    let descriptor = pool.get_message_by_name(name).ok_or_else(|| format!("{name} is not known"))?;
    let message = DynamicMessage::decode(descriptor, bytes).map_err(|error| error.to_string())?;
    let options = SerializeOptions::new().use_proto_field_name(true).stringify_64_bit_integers(true);
    message.serialize_with_options(serde_json::value::Serializer, &options).map_err(|error| error.to_string())
}

/// Fields that Envoy's API marks as sensitive, by name; each is one wherever it is in the messages that are shown.
const SENSITIVE: [&str; 6] = ["generic_secret", "keys", "password", "password_provider", "pkcs12", "private_key"];

fn redacted(value: Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.into_iter().map(redacted).collect()),
        Value::Object(fields) => {
            let field = |(name, value): (String, Value)| {
                let is_sensitive = SENSITIVE.contains(&name.as_str()) && (value.is_object() || value.is_array());
                let value = if is_sensitive { hidden(value) } else { redacted(value) };
                (name, value)
            };
            Value::Object(fields.into_iter().map(field).collect())
        }
        other => other,
    }
}

fn hidden(value: Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.into_iter().map(hidden).collect()),
        Value::Object(fields) => {
            let field = |(name, value): (String, Value)| {
                // As in Envoy, bytes stay bytes.
                let value = if name == "inline_bytes" { json!("W3JlZGFjdGVkXQ==") } else { hidden(value) };
                (name, value)
            };
            Value::Object(fields.into_iter().map(field).collect())
        }
        Value::String(_) => json!("[redacted]"),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read_bootstrap;

    const TEXT: &str = r#"
static_resources:
  secrets:
  - name: own
    tls_certificate: { certificate_chain: { inline_string: chain }, private_key: { inline_string: very secret } }
  clusters:
  - name: b
    connect_timeout: 1s
    load_assignment: { cluster_name: b, endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: 1 } } } }] }] }
  - name: a
    connect_timeout: 0.5s
    load_assignment: { cluster_name: a }
"#;

    fn dump(bootstrap: Option<&[u8]>, config: &Config) -> Vec<Value> {
        config_dump(Dump { config, bootstrap, includes_endpoints: true, last_updated: "then" })
    }

    #[test]
    fn a_bootstrap_is_shown_as_it_was_written_but_for_secrets() {
        let bootstrap = read_bootstrap(TEXT).expect("it can be served");
        let parts = dump(Some(&bootstrap.message), &bootstrap.config);
        assert_eq!(parts[1]["static_clusters"][0]["cluster"]["name"], "a");
        assert_eq!(parts[1]["static_clusters"][0]["cluster"]["connect_timeout"], "0.500s");
        assert_eq!(parts[2]["static_endpoint_configs"][1]["endpoint_config"]["cluster_name"], "b");
        let text = serde_json::to_string(&parts).expect("JSON");
        assert!(!text.contains("very secret") && text.contains("[redacted]"), "{text}");
    }

    #[test]
    fn what_a_control_plane_said_has_versions() {
        let bootstrap = read_bootstrap(TEXT).expect("it can be served");
        let parts = dump(None, &bootstrap.config);
        let cluster = &parts[1]["dynamic_active_clusters"][0];
        assert_eq!(cluster["cluster"]["@type"], "type.googleapis.com/envoy.config.cluster.v3.Cluster");
        assert!(cluster["version_info"].as_str().is_some_and(|version| !version.is_empty()), "{cluster}");
    }
}
