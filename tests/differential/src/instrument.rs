//! What the harness adds to a bootstrap: an admin interface, a node, and access logs where there is none.

use serde_json::{Value, json};

const MANAGER: &str =
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
const TCP_PROXY: &str = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy";

pub(crate) fn instrument(bootstrap: &mut Value, log: &str) {
    let Some(map) = bootstrap.as_object_mut() else { return };
    map.entry("node").or_insert_with(|| json!({ "id": "differential", "cluster": "tests" }));
    map.entry("admin")
        .or_insert_with(|| json!({ "address": { "socket_address": { "address": "127.0.0.1", "port_value": 0 } } }));
    add_logs(bootstrap, log);
}

fn add_logs(value: &mut Value, log: &str) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(|value| add_logs(value, log)),
        Value::Object(map) => {
            let kind = map.get("@type").and_then(Value::as_str).unwrap_or_default();
            let is_http = kind == MANAGER;
            if (is_http || kind == TCP_PROXY) && !map.contains_key("access_log") {
                map.insert("access_log".to_owned(), access_log(log, is_http));
            }
            map.values_mut().for_each(|value| add_logs(value, log));
        }
        _ => {}
    }
}

fn access_log(path: &str, is_http: bool) -> Value {
    let mut format = json!({
        "peer": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%",
        "flags": "%RESPONSE_FLAGS%",
        "details": "%RESPONSE_CODE_DETAILS%",
        "termination": "%CONNECTION_TERMINATION_DETAILS%",
        "cluster": "%UPSTREAM_CLUSTER%",
        "upstream": "%UPSTREAM_HOST%",
        "bytes_received": "%BYTES_RECEIVED%",
        "bytes_sent": "%BYTES_SENT%",
        "sni": "%REQUESTED_SERVER_NAME%",
    });
    if is_http && let Some(map) = format.as_object_mut() {
        map.insert("id".to_owned(), json!("%REQ(X-CASE-ID)%"));
        map.insert("status".to_owned(), json!("%RESPONSE_CODE%"));
        map.insert("route".to_owned(), json!("%ROUTE_NAME%"));
        map.insert("protocol".to_owned(), json!("%PROTOCOL%"));
        map.insert("method".to_owned(), json!("%REQ(:METHOD)%"));
        map.insert("path".to_owned(), json!("%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%"));
        map.insert("authority".to_owned(), json!("%REQ(:AUTHORITY)%"));
        map.insert("tries".to_owned(), json!("%UPSTREAM_REQUEST_ATTEMPT_COUNT%"));
    }
    json!([{
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": path,
            "log_format": { "json_format": format },
        },
    }])
}
