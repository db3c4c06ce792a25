use std::collections::BTreeMap;

use crate::schema::{Opaque, schema};

/// The namespace of objects that name none.
pub const DEFAULT_NAMESPACE: &str = "default";

schema! {
    pub struct ObjectMeta {
        pub name: String,
        pub namespace: Option<String>,
        pub labels: BTreeMap<String, String>,
        pub annotations: BTreeMap<String, String>,
        pub cluster_name: Option<String>,
        /// RFC 3339. Of two objects that claim the same thing, the older wins.
        pub creation_timestamp: Option<String>,
        pub deletion_grace_period_seconds: Option<i64>,
        pub deletion_timestamp: Option<String>,
        pub finalizers: Vec<String>,
        pub generate_name: Option<String>,
        pub generation: Option<i64>,
        pub managed_fields: Opaque,
        pub owner_references: Opaque,
        pub resource_version: Option<String>,
        pub self_link: Option<String>,
        pub uid: Option<String>,
    }
}

impl ObjectMeta {
    pub fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE)
    }

    pub fn annotation(&self, name: &str) -> Option<&str> {
        self.annotations.get(name).map(String::as_str)
    }
}
