//! How objects name each other, and who allows it across namespaces.

use std::collections::BTreeMap;

use crate::schema::schema;

schema! {
    /// A Secret unless it says otherwise.
    pub struct SecretRef {
        /// Default: core.
        pub group: Option<String>,
        /// Default `Secret`.
        pub kind: Option<String>,
        pub name: String,
        pub namespace: Option<String>,
    }
    /// Anything, in any namespace.
    pub struct ObjectRef {
        pub group: String,
        pub kind: String,
        pub name: String,
        pub namespace: Option<String>,
    }
    /// Anything in the same namespace.
    pub struct TypedRef {
        pub group: String,
        pub kind: String,
        pub name: String,
    }
    pub struct ReferenceGrantSpec {
        pub from: Vec<GrantFrom>,
        pub to: Vec<GrantTo>,
    }
    pub struct GrantFrom {
        pub group: String,
        pub kind: String,
        pub namespace: String,
    }
    pub struct GrantTo {
        pub group: String,
        pub kind: String,
        /// `None`: every object of the kind in the grant's namespace.
        pub name: Option<String>,
    }
    /// Kubernetes' selector; an empty one selects everything.
    pub struct LabelSelector {
        pub match_expressions: Vec<LabelRequirement>,
        pub match_labels: BTreeMap<String, String>,
    }
    pub struct LabelRequirement {
        pub key: String,
        /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
        pub operator: String,
        pub values: Vec<String>,
    }
}

impl LabelSelector {
    pub fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        let holds = |requirement: &LabelRequirement| {
            let value = labels.get(&requirement.key);
            let listed = value.is_some_and(|value| requirement.values.contains(value));
            match requirement.operator.as_str() {
                "In" => listed,
                "NotIn" => !listed,
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => false,
            }
        };
        self.match_labels.iter().all(|(name, value)| labels.get(name) == Some(value))
            && self.match_expressions.iter().all(holds)
    }
}
