//! One definition of each object: field names, defaults and output all derive from the struct.

/// Structs whose fields are camel case in YAML, may be left out, and are not written while they hold the default.
macro_rules! schema {
    ($( $(#[$meta:meta])* pub struct $name:ident { $( $(#[$field_meta:meta])* pub $field:ident: $type:ty, )* } )*) => {
        $(
            $(#[$meta])*
            #[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
            #[serde(rename_all = "camelCase", default)]
            pub struct $name {
                $( $(#[$field_meta])* #[serde(skip_serializing_if = "crate::schema::is_default")] pub $field: $type, )*
            }
        )*
    };
}
pub(crate) use schema;

pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A part that is kept as written.
pub(crate) type Opaque = Option<serde_json::Value>;
