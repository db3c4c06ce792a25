//! Every code, in order. Istio's numbers and levels are kept, so that suppressions and pipelines go on working; the words are
//! ours.

use crate::finding::{Code, Level};

macro_rules! codes {
    ($($id:ident $level:ident $about:literal;)*) => {
        $(pub(crate) const $id: Code = Code { id: stringify!($id), level: Level::$level, about: $about };)*

        /// Every code there is.
        pub const CODES: &[Code] = &[$($id),*];
    };
}

codes! {
    IST0002 Warning "A field, kind or provider is on its way out.";
    IST0101 Error "Something is referred to that does not exist.";
    IST0102 Info "A namespace says neither that its pods get sidecars nor that they do not.";
    IST0103 Warning "A pod of a namespace with sidecars has none.";
    IST0107 Warning "An annotation of Istio stands on a kind of object where it does nothing.";
    IST0108 Warning "An annotation looks like one of Istio's and is none.";
    IST0109 Error "Several VirtualServices take the same host inside the mesh.";
    IST0110 Error "Several Sidecars select the same pod.";
    IST0111 Error "Several Sidecars of one namespace select all of it.";
    IST0112 Error "A route leaves open which of several ports it means.";
    IST0116 Warning "Services disagree about the protocol of a port of the same pods.";
    IST0118 Info "The name of a port does not say its protocol.";
    IST0123 Warning "A namespace asks for sidecars in more than one way.";
    IST0125 Warning "An annotation has a value that it cannot have.";
    IST0126 Error "A network takes its endpoints from a registry that is not known.";
    IST0127 Warning "A policy applies to no workload.";
    IST0128 Warning "TLS is begun without checking who the server is.";
    IST0129 Warning "TLS is begun to a port without checking who the server is.";
    IST0130 Warning "A rule is never reached.";
    IST0131 Info "A match never decides, because an earlier one takes what it would.";
    IST0132 Warning "A gateway takes none of the hosts of a VirtualService that is bound to it.";
    IST0134 Warning "A TCP port of a ServiceEntry needs addresses to be told apart.";
    IST0135 Info "An annotation is deprecated.";
    IST0136 Info "An annotation belongs to a feature that is still alpha.";
    IST0137 Warning "Services give different ports to the same target port.";
    IST0138 Warning "Gateways share a certificate, so connections reused by HTTP/2 clients may reach the wrong one.";
    IST0139 Error "An injection webhook overlaps with another, or calls a service that does not exist.";
    IST0140 Warning "Subsets that one VirtualService routes to do not apply to what enters by a gateway with another.";
    IST0144 Warning "An application runs as the user that is reserved for the sidecar.";
    IST0145 Error "Gateways on the same workloads claim the same port and host.";
    IST0146 Warning "A Deployment waits for injection that does not come.";
    IST0147 Error "A pod waits for injection that did not come.";
    IST0148 Info "A namespace gets sidecars because the installation gives them to all.";
    IST0149 Error "Routes look at claims of tokens that nothing verifies.";
    IST0150 Warning "The port of a service with an external name does not say its protocol.";
    IST0151 Warning "A patch depends on the order of EnvoyFilters and has no priority.";
    IST0152 Error "REPLACE does nothing to what this patch applies to.";
    IST0153 Error "ADD does nothing to what this patch applies to.";
    IST0154 Error "REMOVE does nothing to what this patch applies to.";
    IST0155 Warning "A patch depends on the order of EnvoyFilters, and on the version of the proxy, and has no priority.";
    IST0157 Warning "Telemetry names no provider, and the mesh has no default.";
    IST0158 Warning "Pods run another proxy than the injector would give them now.";
    IST0159 Error "Several Telemetries select the same pod.";
    IST0160 Error "Several Telemetries of one namespace select all of it.";
    IST0161 Error "A gateway's credential holds no certificate that clients would accept.";
    IST0162 Warning "A gateway listens on a port that no Service leads to.";
    IST0163 Warning "A webhook does not say where the external control plane is.";
    IST0164 Info "A webhook reaches the external control plane by IP address.";
    IST0165 Warning "A VirtualService is bound to a gateway that Istio made for itself.";
    IST0166 Warning "Policies select gateways of the Gateway API by targetRefs, not by labels.";
    IST0167 Warning "A policy has no effect where it stands.";
    IST0170 Warning "A service differs between clusters.";
    IST0171 Warning "An object has a condition that says it does not work.";
    IST0173 Error "A subset selects no workload.";
    IST0174 Warning "A DestinationRule is for a host that does not exist.";
    IST0175 Warning "Key sets are fetched from anywhere that a RequestAuthentication names.";
    IST0176 Warning "The definition of a kind of the Gateway API is too old.";
    IST0177 Warning "ServiceEntries disagree about the protocol of a port.";
    LEN0001 Error "A route is attached to a parent that does not exist.";
    LEN0002 Error "A route is attached to a listener or port that its parent does not have.";
    LEN0003 Error "A backend does not exist.";
    LEN0004 Error "A backend has no such port.";
    LEN0005 Error "A reference crosses namespaces and no ReferenceGrant allows it.";
    LEN0006 Error "A certificate that is referred to does not exist or is none.";
    LEN0007 Error "No listener of the parent takes the route.";
    LEN0008 Warning "A match never decides, because an earlier one takes what it would.";
    LEN0009 Error "Listeners claim the same port and host, or one port for different protocols.";
    LEN0010 Warning "Weights send nothing, or not what their sum suggests.";
    LEN0011 Warning "Rules for HTTP are attached to a port of another protocol.";
    LEN0012 Warning "A policy selects nothing.";
    LEN0013 Error "Client and server disagree about mutual TLS.";
    LEN0014 Warning "A Gateway is of a class that does not exist.";
    LEN0015 Error "A TrafficSplit names a service that does not exist.";
    LEN0016 Error "A TrafficTarget or TrafficSplit names rules that do not exist.";
    LEN0017 Warning "Objects of different kinds, or several of one, route for the same service.";
    LEN0018 Warning "Several policies of one kind have the same target; the oldest counts.";
}
