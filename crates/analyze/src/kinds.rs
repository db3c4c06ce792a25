//! The kinds that analysis looks at: group and word.

pub(crate) type Kind = (&'static str, &'static str);

macro_rules! kinds {
    ($($name:ident $group:literal $word:literal;)*) => { $(pub(crate) const $name: Kind = ($group, $word);)* };
}

kinds! {
    AUTHORIZATION_POLICY "security.istio.io" "AuthorizationPolicy";
    BACKEND_TLS_POLICY "gateway.networking.k8s.io" "BackendTLSPolicy";
    CONFIG_MAP "" "ConfigMap";
    CUSTOM_RESOURCE_DEFINITION "apiextensions.k8s.io" "CustomResourceDefinition";
    DEADLINE_POLICY "leno.dev" "DeadlinePolicy";
    DEPLOYMENT "apps" "Deployment";
    DESTINATION_RULE "networking.istio.io" "DestinationRule";
    ENVOY_FILTER "networking.istio.io" "EnvoyFilter";
    FAULT_POLICY "leno.dev" "FaultPolicy";
    GATEWAY "gateway.networking.k8s.io" "Gateway";
    GATEWAY_CLASS "gateway.networking.k8s.io" "GatewayClass";
    GRPC_ROUTE "gateway.networking.k8s.io" "GRPCRoute";
    HEDGE_POLICY "leno.dev" "HedgePolicy";
    HTTP_ROUTE "gateway.networking.k8s.io" "HTTPRoute";
    HTTP_ROUTE_GROUP "specs.smi-spec.io" "HTTPRouteGroup";
    ISTIO_GATEWAY "networking.istio.io" "Gateway";
    LISTENER_SET "gateway.networking.k8s.io" "ListenerSet";
    MESH_NETWORKS "" "MeshNetworks";
    MUTATING_WEBHOOK "admissionregistration.k8s.io" "MutatingWebhookConfiguration";
    NAMESPACE "" "Namespace";
    NODE "" "Node";
    PEER_AUTHENTICATION "security.istio.io" "PeerAuthentication";
    POD "" "Pod";
    PROXY_CONFIG "networking.istio.io" "ProxyConfig";
    RATE_LIMIT_POLICY "leno.dev" "RateLimitPolicy";
    REFERENCE_GRANT "gateway.networking.k8s.io" "ReferenceGrant";
    REQUEST_AUTHENTICATION "security.istio.io" "RequestAuthentication";
    RETRY_POLICY "leno.dev" "RetryPolicy";
    SECRET "" "Secret";
    SERVICE "" "Service";
    SERVICE_ENTRY "networking.istio.io" "ServiceEntry";
    SIDECAR "networking.istio.io" "Sidecar";
    SMI_TCP_ROUTE "specs.smi-spec.io" "TCPRoute";
    SMI_UDP_ROUTE "specs.smi-spec.io" "UDPRoute";
    TCP_ROUTE "gateway.networking.k8s.io" "TCPRoute";
    TELEMETRY "telemetry.istio.io" "Telemetry";
    TLS_ROUTE "gateway.networking.k8s.io" "TLSRoute";
    TRAFFIC_POLICY "leno.dev" "TrafficPolicy";
    TRAFFIC_SPLIT "split.smi-spec.io" "TrafficSplit";
    TRAFFIC_TARGET "access.smi-spec.io" "TrafficTarget";
    UDP_ROUTE "gateway.networking.k8s.io" "UDPRoute";
    VALIDATING_WEBHOOK "admissionregistration.k8s.io" "ValidatingWebhookConfiguration";
    VIRTUAL_SERVICE "networking.istio.io" "VirtualService";
    WASM_PLUGIN "extensions.istio.io" "WasmPlugin";
    WORKLOAD_ENTRY "networking.istio.io" "WorkloadEntry";
    WORKLOAD_GROUP "networking.istio.io" "WorkloadGroup";
    X_BACKEND_TRAFFIC_POLICY "gateway.networking.x-k8s.io" "XBackendTrafficPolicy";
}

/// Kinds that have no namespace.
pub(crate) const OF_CLUSTER: [(&str, &str); 9] = [
    CUSTOM_RESOURCE_DEFINITION,
    GATEWAY_CLASS,
    MUTATING_WEBHOOK,
    NAMESPACE,
    NODE,
    VALIDATING_WEBHOOK,
    ("", "PersistentVolume"),
    ("gateway.networking.x-k8s.io", "XMesh"),
    ("leno.dev", "MeshConfig"),
];
