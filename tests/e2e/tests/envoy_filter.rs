//! EnvoyFilters in the shapes that Istio's documentation has them, on real sidecars.

use leno_e2e::{ECHO, LIMIT, Mesh, eventually};

/// As in Istio's task "Enabling Rate Limits using Envoy".
const RATE_LIMIT: &str = "apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: { name: filter-local-ratelimit-svc }
spec:
  workloadSelector:
    labels: { app: echo }
  configPatches:
    - applyTo: HTTP_FILTER
      match:
        context: SIDECAR_INBOUND
        listener:
          filterChain:
            filter:
              name: envoy.filters.network.http_connection_manager
      patch:
        operation: INSERT_BEFORE
        value:
          name: envoy.filters.http.local_ratelimit
          typed_config:
            '@type': type.googleapis.com/udpa.type.v1.TypedStruct
            type_url: type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit
            value:
              stat_prefix: http_local_rate_limiter
              token_bucket: { max_tokens: 4, tokens_per_fill: 4, fill_interval: 60s }
              filter_enabled:
                runtime_key: local_rate_limit_enabled
                default_value: { numerator: 100, denominator: HUNDRED }
              filter_enforced:
                runtime_key: local_rate_limit_enforced
                default_value: { numerator: 100, denominator: HUNDRED }
              response_headers_to_add:
                - append_action: OVERWRITE_IF_EXISTS_OR_ADD
                  header: { key: x-local-rate-limit, value: 'true' }
";

const PATCHES: &str = "apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: { name: patches }
spec:
  configPatches:
    - applyTo: NETWORK_FILTER
      match:
        context: SIDECAR_OUTBOUND
        listener: { filterChain: { filter: { name: envoy.filters.network.http_connection_manager } } }
      patch:
        operation: MERGE
        value:
          typed_config:
            '@type': type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
            server_name: shop
            server_header_transformation: OVERWRITE
    - applyTo: VIRTUAL_HOST
      match:
        context: SIDECAR_OUTBOUND
        routeConfiguration: { vhost: { name: 'echo.default.svc.cluster.local:8080' } }
      patch:
        operation: MERGE
        value:
          response_headers_to_add: [{ header: { key: x-patched, value: 'yes' } }]
    - applyTo: HTTP_FILTER
      match: { context: SIDECAR_INBOUND }
      patch:
        operation: INSERT_FIRST
        value:
          name: envoy.filters.http.lua
          typed_config:
            '@type': type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua
            inlineCode: 'function envoy_on_request(handle) end'
    - applyTo: CLUSTER
      match: { context: SIDECAR_OUTBOUND, cluster: { service: echo.default.svc.cluster.local } }
      patch:
        operation: MERGE
        value: { conect_timeout: 1s }
    - applyTo: BOOTSTRAP
      patch: { operation: MERGE, value: {} }
";

#[test]
fn patches_change_what_proxies_do_and_say_what_they_cannot() -> anyhow::Result<()> {
    let mesh = Mesh::start(ECHO)?;
    let token = mesh.token(&["echo", "client"], 2)?;
    let _echo = mesh.echo("echo", "v1", &token)?;
    let client = mesh.client("client", &token)?;
    client.wait_for("echo:8080");

    mesh.write_resources("patches.yaml", PATCHES)?;
    eventually("the patches take effect", LIMIT, || {
        let answer = client.get("echo:8080", "/").ok().filter(|answer| answer.status == 200)?;
        (answer.header("x-patched") == Some("yes") && answer.header("server") == Some("shop")).then_some(())
    });
    let wanted = [
        "spec.configPatches[2].patch.value",
        "spec.configPatches[3].patch.value.conect_timeout",
        "spec.configPatches[4]: not supported yet",
    ];
    eventually("what cannot be done is told", LIMIT, || {
        let said = mesh.cli_ok(&["describe", "envoyfilter", "patches"]).ok()?;
        wanted.iter().all(|words| said.contains(words)).then_some(())
    });

    mesh.write_resources("limit.yaml", RATE_LIMIT)?;
    let refused = eventually("the limit is reached", LIMIT, || {
        client.get("echo:8080", "/").ok().filter(|answer| answer.status == 429)
    });
    assert_eq!(refused.header("x-local-rate-limit"), Some("true"));
    std::fs::remove_file(mesh.path().join("resources/limit.yaml"))?;
    eventually("the limit is gone", LIMIT, || client.get("echo:8080", "/").ok().filter(|answer| answer.status == 200));
    Ok(())
}
