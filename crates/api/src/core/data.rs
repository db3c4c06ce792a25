use std::collections::BTreeMap;

use crate::ObjectMeta;
use crate::schema::{Opaque, schema};

schema! {
    /// Kubernetes `v1` Secret.
    pub struct Secret {
        pub api_version: String,
        pub kind: String,
        pub metadata: ObjectMeta,
        /// Base64.
        pub data: BTreeMap<String, String>,
        pub immutable: Option<bool>,
        /// As it is; wins over `data`.
        pub string_data: BTreeMap<String, String>,
        /// `kubernetes.io/tls` has `tls.crt` and `tls.key` in its data.
        pub r#type: Option<String>,
        /// Not part of the kind; here so that all objects are alike.
        pub status: Opaque,
    }
    /// Kubernetes `v1` ConfigMap.
    pub struct ConfigMap {
        pub api_version: String,
        pub kind: String,
        pub metadata: ObjectMeta,
        /// Base64.
        pub binary_data: BTreeMap<String, String>,
        pub data: BTreeMap<String, String>,
        pub immutable: Option<bool>,
        /// Not part of the kind; here so that all objects are alike.
        pub status: Opaque,
    }
}
