use crate::described::described;

described! {
    /// What became of a policy, for each of its targets.
    pub struct PolicyStatus {
        pub ancestors: Vec<AncestorStatus> = { "maxItems": 16, "x-kubernetes-list-type": "atomic" },
    }
    pub struct AncestorStatus {
        /// The target.
        pub ancestor_ref: TargetStatus = { "required": true },
        /// Who says so.
        pub controller_name: String = { "required": true },
        pub conditions: Vec<StatusCondition> = {
            "maxItems": 8, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"],
        },
    }
    pub struct TargetStatus {
        pub group: Option<String>,
        pub kind: Option<String>,
        pub namespace: Option<String>,
        pub name: String = { "required": true },
        pub section_name: Option<String>,
    }
    pub struct StatusCondition {
        /// RFC 3339.
        pub last_transition_time: String = { "required": true, "format": "date-time" },
        pub message: String,
        pub observed_generation: Option<i64>,
        pub reason: String = { "required": true },
        pub status: String = { "required": true, "enum": ["True", "False", "Unknown"] },
        /// `Accepted`, `ResolvedRefs` or `Programmed`.
        pub r#type: String = { "required": true },
    }
    /// What became of an object that has no targets.
    pub struct ObjectStatus {
        pub conditions: Vec<StatusCondition> = {
            "maxItems": 8, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"],
        },
    }
}
