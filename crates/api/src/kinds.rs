//! The one table of kinds: names, versions and the Rust type of each. [`Kind`](crate::Kind), [`Resource`](crate::Resource)
//! and reading derive from it.

/// Calls `$then!` with a row per kind: variant, word, group, plural, short names, scope, versions (newest first), type.
/// In order of variant.
macro_rules! with_kinds {
    ($then:ident) => {
        $then! {
            AuthorizationPolicy "AuthorizationPolicy" "security.istio.io" "authorizationpolicies" ["ap"] Namespaced ["v1", "v1beta1"] crate::Unread;
            BackendTlsPolicy "BackendTLSPolicy" "gateway.networking.k8s.io" "backendtlspolicies" ["btlspolicy"] Namespaced ["v1", "v1alpha3"] crate::BackendTlsPolicy;
            ConfigMap "ConfigMap" "" "configmaps" ["cm"] Namespaced ["v1"] crate::ConfigMap;
            DeadlinePolicy "DeadlinePolicy" "leno.dev" "deadlinepolicies" [] Namespaced ["v1"] crate::DeadlinePolicy;
            DestinationRule "DestinationRule" "networking.istio.io" "destinationrules" ["dr"] Namespaced ["v1", "v1beta1", "v1alpha3"] crate::DestinationRule;
            EndpointSlice "EndpointSlice" "discovery.k8s.io" "endpointslices" [] Namespaced ["v1"] crate::EndpointSlice;
            EnvoyFilter "EnvoyFilter" "networking.istio.io" "envoyfilters" [] Namespaced ["v1alpha3"] crate::EnvoyFilter;
            FaultPolicy "FaultPolicy" "leno.dev" "faultpolicies" [] Namespaced ["v1"] crate::FaultPolicy;
            Gateway "Gateway" "gateway.networking.k8s.io" "gateways" ["gtw"] Namespaced ["v1", "v1beta1"] crate::Gateway;
            GatewayClass "GatewayClass" "gateway.networking.k8s.io" "gatewayclasses" ["gc"] Cluster ["v1", "v1beta1"] crate::GatewayClass;
            GrpcRoute "GRPCRoute" "gateway.networking.k8s.io" "grpcroutes" [] Namespaced ["v1"] crate::GrpcRoute;
            HedgePolicy "HedgePolicy" "leno.dev" "hedgepolicies" [] Namespaced ["v1"] crate::HedgePolicy;
            HttpRoute "HTTPRoute" "gateway.networking.k8s.io" "httproutes" [] Namespaced ["v1", "v1beta1"] crate::GatewayHttpRoute;
            HttpRouteGroup "HTTPRouteGroup" "specs.smi-spec.io" "httproutegroups" ["htr"] Namespaced ["v1alpha4", "v1alpha3", "v1alpha2", "v1alpha1"] crate::HttpRouteGroup;
            IstioGateway "Gateway" "networking.istio.io" "gateways" ["gw"] Namespaced ["v1", "v1beta1", "v1alpha3"] crate::IstioGateway;
            ListenerSet "ListenerSet" "gateway.networking.k8s.io" "listenersets" ["lset"] Namespaced ["v1"] crate::ListenerSet;
            MeshConfig "MeshConfig" "leno.dev" "meshconfigs" [] Cluster ["v1"] crate::LenoMeshConfig;
            Namespace "Namespace" "" "namespaces" ["ns"] Cluster ["v1"] crate::Unread;
            PeerAuthentication "PeerAuthentication" "security.istio.io" "peerauthentications" ["pa"] Namespaced ["v1", "v1beta1"] crate::Unread;
            ProxyConfig "ProxyConfig" "networking.istio.io" "proxyconfigs" [] Namespaced ["v1beta1"] crate::Unread;
            RateLimitPolicy "RateLimitPolicy" "leno.dev" "ratelimitpolicies" ["rlp"] Namespaced ["v1"] crate::RateLimitPolicy;
            ReferenceGrant "ReferenceGrant" "gateway.networking.k8s.io" "referencegrants" ["refgrant"] Namespaced ["v1", "v1beta1"] crate::ReferenceGrant;
            RequestAuthentication "RequestAuthentication" "security.istio.io" "requestauthentications" ["ra"] Namespaced ["v1", "v1beta1"] crate::Unread;
            RetryPolicy "RetryPolicy" "leno.dev" "retrypolicies" [] Namespaced ["v1"] crate::RetryPolicy;
            Secret "Secret" "" "secrets" [] Namespaced ["v1"] crate::Secret;
            Service "Service" "" "services" ["svc"] Namespaced ["v1"] crate::Service;
            ServiceEntry "ServiceEntry" "networking.istio.io" "serviceentries" ["se"] Namespaced ["v1", "v1beta1", "v1alpha3"] crate::ServiceEntry;
            Sidecar "Sidecar" "networking.istio.io" "sidecars" [] Namespaced ["v1", "v1beta1", "v1alpha3"] crate::Sidecar;
            SmiTcpRoute "TCPRoute" "specs.smi-spec.io" "tcproutes" ["tr"] Namespaced ["v1alpha4", "v1alpha3", "v1alpha2", "v1alpha1"] crate::SmiPortsRoute;
            SmiUdpRoute "UDPRoute" "specs.smi-spec.io" "udproutes" ["ur"] Namespaced ["v1alpha4"] crate::SmiPortsRoute;
            TcpRoute "TCPRoute" "gateway.networking.k8s.io" "tcproutes" [] Namespaced ["v1", "v1alpha2"] crate::GatewayTcpRoute;
            Telemetry "Telemetry" "telemetry.istio.io" "telemetries" ["telemetry"] Namespaced ["v1", "v1alpha1"] crate::Unread;
            TlsRoute "TLSRoute" "gateway.networking.k8s.io" "tlsroutes" [] Namespaced ["v1", "v1alpha3", "v1alpha2"] crate::GatewayTlsRoute;
            TrafficExtension "TrafficExtension" "extensions.istio.io" "trafficextensions" [] Namespaced ["v1alpha1"] crate::Unread;
            TrafficPolicy "TrafficPolicy" "leno.dev" "trafficpolicies" [] Namespaced ["v1"] crate::LenoTrafficPolicy;
            TrafficSplit "TrafficSplit" "split.smi-spec.io" "trafficsplits" ["ts"] Namespaced ["v1alpha4", "v1alpha3", "v1alpha2", "v1alpha1"] crate::TrafficSplit;
            TrafficTarget "TrafficTarget" "access.smi-spec.io" "traffictargets" ["tt"] Namespaced ["v1alpha3", "v1alpha2", "v1alpha1"] crate::TrafficTarget;
            UdpRoute "UDPRoute" "gateway.networking.k8s.io" "udproutes" [] Namespaced ["v1", "v1alpha2"] crate::GatewayUdpRoute;
            VirtualService "VirtualService" "networking.istio.io" "virtualservices" ["vs"] Namespaced ["v1", "v1beta1", "v1alpha3"] crate::VirtualService;
            WasmPlugin "WasmPlugin" "extensions.istio.io" "wasmplugins" [] Namespaced ["v1alpha1"] crate::Unread;
            WorkloadEntry "WorkloadEntry" "networking.istio.io" "workloadentries" ["we"] Namespaced ["v1", "v1beta1", "v1alpha3"] crate::WorkloadEntry;
            WorkloadGroup "WorkloadGroup" "networking.istio.io" "workloadgroups" ["wg"] Namespaced ["v1", "v1beta1", "v1alpha3"] crate::WorkloadGroup;
            XBackend "XBackend" "gateway.networking.x-k8s.io" "xbackends" ["xbackend"] Namespaced ["v1alpha1"] crate::Unread;
            XBackendTrafficPolicy "XBackendTrafficPolicy" "gateway.networking.x-k8s.io" "xbackendtrafficpolicies" ["xbtrafficpolicy"] Namespaced ["v1alpha1"] crate::XBackendTrafficPolicy;
            XMesh "XMesh" "gateway.networking.x-k8s.io" "xmeshes" ["mesh"] Cluster ["v1alpha1"] crate::XMesh;
        }
    };
}
pub(crate) use with_kinds;
