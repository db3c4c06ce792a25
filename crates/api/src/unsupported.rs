//! Fields that upstream defines and that do nothing here yet.

use crate::{Kind, Resource};

/// `[]` stands for each item of a list.
const fn fields(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::DestinationRule => &[
            "spec.subsets[].trafficPolicy.*",
            "spec.trafficPolicy.*",
            "spec.trafficPolicy.portLevelSettings[].*",
            "spec.subsets[].trafficPolicy.portLevelSettings[].*",
        ],
        Kind::GrpcRoute | Kind::HttpRoute => {
            &["spec.useDefaultGateways", "spec.rules[].filters[].extensionRef", "spec.rules[].filters[].externalAuth"]
        }
        Kind::Gateway => &["spec.defaultScope"],
        Kind::EnvoyFilter => &[
            "spec.configPatches[].match.listener.filterChain.applicationProtocols",
            "spec.configPatches[].match.listener.filterChain.transportSocket",
            "spec.configPatches[].match.listener.listenerFilter",
            "spec.configPatches[].match.proxy",
            "spec.configPatches[].match.waypoint",
            "spec.configPatches[].patch.filterClass",
            "spec.targetRefs",
        ],
        Kind::IstioGateway => &[
            "spec.servers[].defaultEndpoint",
            "spec.servers[].tls.caCertCredentialName",
            "spec.servers[].tls.caCrl",
            "spec.servers[].tls.ecdhCurves",
            "spec.servers[].tls.insecureSkipVerify",
        ],
        // A sidecar knows these before it knows the mesh: `--threads`, its environment.
        Kind::ProxyConfig => &["spec.concurrency", "spec.environmentVariables", "spec.image"],
        Kind::TcpRoute | Kind::TlsRoute => &["spec.useDefaultGateways"],
        Kind::Service => &["spec.externalName", "spec.sessionAffinityConfig"],
        Kind::VirtualService => &[
            "spec.http[].fault.abort.http2Error",
            "spec.http[].fault.delay.exponentialDelay",
            "spec.http[].match[].statPrefix",
            "spec.http[].directResponse.body.bytes",
            "spec.tcp[].match[].sourceSubnet",
        ],
        Kind::ServiceEntry => &["spec.endpoints[].network"],
        Kind::Sidecar => &[
            "spec.egress[].bind",
            "spec.egress[].captureMode",
            "spec.ingress[].bind",
            "spec.ingress[].captureMode",
            "spec.ingress[].tls",
            "spec.outboundTrafficPolicy.egressProxy",
        ],
        Kind::WorkloadEntry => &["spec.network"],
        Kind::WorkloadGroup => &["spec.probe"],
        Kind::BackendTlsPolicy
        | Kind::ConfigMap
        | Kind::DeadlinePolicy
        | Kind::EndpointSlice
        | Kind::FaultPolicy
        | Kind::GatewayClass
        | Kind::HedgePolicy
        | Kind::HttpRouteGroup
        | Kind::ListenerSet
        | Kind::MeshConfig
        | Kind::Namespace
        | Kind::RateLimitPolicy
        | Kind::ReferenceGrant
        | Kind::RetryPolicy
        | Kind::SmiTcpRoute
        | Kind::SmiUdpRoute
        | Kind::TrafficPolicy
        | Kind::TrafficSplit
        | Kind::TrafficTarget
        | Kind::Secret
        | Kind::XBackendTrafficPolicy
        | Kind::XMesh => &[],
        // Read and held against their schema only.
        _ => &["spec"],
    }
}

/// Below a traffic policy.
const POLICY: [&str; 6] = [
    "loadBalancer.backendUtilization",
    "loadBalancer.zoneAwareLbSetting",
    "outlierDetection.consecutiveErrors",
    "outlierDetection.outlierDetectionHttpErrorCodes",
    "retryBudget.budgetInterval",
    "tls.caCrl",
];

/// Paths of the fields in `resource` that are set and do nothing yet, such as `spec.http[0].delegate`.
pub fn not_supported_yet(resource: &Resource) -> Vec<String> {
    let json = resource.to_json();
    let mut found = Vec::new();
    for field in fields(resource.kind()) {
        match field.strip_suffix(".*") {
            Some(policy) => POLICY.iter().for_each(|below| walk(&json, &format!("{policy}.{below}"), "", &mut found)),
            None => walk(&json, field, "", &mut found),
        }
    }
    found
}

fn walk(json: &serde_json::Value, pattern: &str, path: &str, found: &mut Vec<String>) {
    let (step, rest) = pattern.split_once('.').map_or((pattern, None), |(step, rest)| (step, Some(rest)));
    let name = step.trim_end_matches("[]");
    let Some(child) = json.get(name) else { return };
    let at = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    let go_on = |child: &serde_json::Value, at: String, found: &mut Vec<String>| match rest {
        Some(rest) => walk(child, rest, &at, found),
        None => found.push(at),
    };
    match child.as_array().filter(|_| step.ends_with("[]")) {
        Some(items) => items.iter().enumerate().for_each(|(index, item)| go_on(item, format!("{at}[{index}]"), found)),
        None => go_on(child, at, found),
    }
}
