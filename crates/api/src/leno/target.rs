use crate::described::described;

described! {
    /// What a policy is attached to, in its own namespace.
    pub struct TargetRef where {
        "!has(self.group) || (self.kind == 'Service') == (self.group == '')":
            "the group is \"\" for a Service and gateway.networking.k8s.io for everything else",
    } {
        /// Default: that of the kind.
        pub group: Option<String> = { "enum": ["", "gateway.networking.k8s.io"] },
        /// `Service`: requests to it. `HTTPRoute`, `GRPCRoute`: requests that the route takes. `Gateway`: requests that enter there.
        pub kind: String = { "required": true, "enum": ["GRPCRoute", "Gateway", "HTTPRoute", "Service"] },
        pub name: String = { "required": true, "minLength": 1, "maxLength": 253 },
        /// Only this port of a Service, rule of a route or listener of a Gateway, by its name.
        pub section_name: Option<String> = { "minLength": 1, "maxLength": 253 },
    }
}
