//! Types that say their own schema: what Kubernetes calls a structural schema (OpenAPI v3, no references, a type everywhere).
//!
//! Shape       a struct's fields with their comments, types and limits -> `properties`; rules (CEL) with their words
//! Source      Kubernetes CustomResourceDefinition v1, "Specifying a structural schema". Derived here and not by schemars:
//!             its schemas are references, alternatives with null and no limits, which kube-derive rewrites afterwards

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::GatewayDuration;

/// A type of a field in an object of ours.
pub(crate) trait Described {
    fn schema() -> Value;
}

/// As `schema!`, with the schema said as well. After a type, limits: what the field's schema says more, and `required`.
macro_rules! described {
    ($( $(#[doc = $about:literal])* pub struct $name:ident $(where { $($rule:literal: $words:literal,)* })? {
        $( $(#[doc = $doc:literal])* pub $field:ident: $type:ty $(= $limits:tt)?, )*
    } )*) => { $(
        $(#[doc = $about])*
        #[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        pub struct $name {
            $( $(#[doc = $doc])* #[serde(skip_serializing_if = "crate::schema::is_default")] pub $field: $type, )*
        }

        impl $crate::described::Described for $name {
            fn schema() -> serde_json::Value {
                #[allow(unused_mut, reason = "a struct may have no fields and no rules")]
                let mut object = $crate::described::Structure::new(concat!($($about),*));
                $(
                    let limits: Option<serde_json::Value> = $crate::described::limits!($($limits)?);
                    let schema = <$type as $crate::described::Described>::schema();
                    object.field(stringify!($field), concat!($($doc),*), schema, limits);
                )*
                $( $( object.rule($rule, $words); )* )?
                object.finish()
            }
        }
    )* };
}
pub(crate) use described;

macro_rules! limits {
    () => {
        None
    };
    ($limits:tt) => {
        Some(serde_json::json!($limits))
    };
}
pub(crate) use limits;

/// An enumeration whose variants are words in YAML.
macro_rules! words {
    ($( $(#[doc = $about:literal])* pub enum $name:ident { $( $(#[doc = $doc:literal])* $variant:ident = $word:literal, )* } )*) => { $(
        $(#[doc = $about])*
        #[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $( $(#[doc = $doc])* #[serde(rename = $word)] $variant, )*
        }

        impl $name {
            pub const fn as_str(self) -> &'static str {
                match self {
                    $( Self::$variant => $word, )*
                }
            }
        }

        impl $crate::described::Described for $name {
            fn schema() -> serde_json::Value {
                serde_json::json!({ "type": "string", "enum": [$($word),*] })
            }
        }
    )* };
}
pub(crate) use words;

/// The schema of an object that is being made.
pub(crate) struct Structure {
    description: String,
    properties: Map<String, Value>,
    required: Vec<Value>,
    rules: Vec<Value>,
}

impl Structure {
    pub(crate) fn new(description: &str) -> Self {
        Self { description: said(description), properties: Map::new(), required: Vec::new(), rules: Vec::new() }
    }

    pub(crate) fn field(&mut self, name: &str, description: &str, mut schema: Value, limits: Option<Value>) {
        let name = camel_case(name);
        for (key, value) in limits.iter().filter_map(Value::as_object).flatten() {
            if key == "required" {
                self.required.push(json!(name));
            } else {
                schema[key.as_str()] = value.clone();
            }
        }
        let description = said(description);
        if !description.is_empty() {
            schema["description"] = json!(description);
        }
        self.properties.insert(name, schema);
    }

    pub(crate) fn rule(&mut self, rule: &str, message: &str) {
        self.rules.push(json!({ "rule": rule, "message": message }));
    }

    pub(crate) fn finish(self) -> Value {
        let mut schema = json!({ "type": "object", "properties": self.properties });
        let lists = [("required", self.required), ("x-kubernetes-validations", self.rules)];
        for (key, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
            schema[key] = Value::Array(list);
        }
        if !self.description.is_empty() {
            schema["description"] = json!(self.description);
        }
        schema
    }
}

/// Comments without the marks that only Rust's documentation shows.
fn said(comment: &str) -> String {
    comment.trim().replace('`', "\"")
}

fn camel_case(name: &str) -> String {
    let mut words = name.trim_start_matches("r#").split('_');
    let mut name = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        name.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        name.push_str(letters.as_str());
    }
    name
}

macro_rules! plain {
    ($($type:ty => $schema:tt,)*) => { $(
        impl Described for $type {
            fn schema() -> Value {
                json!($schema)
            }
        }
    )* };
}
plain! {
    bool => { "type": "boolean" },
    f64 => { "type": "number" },
    i64 => { "type": "integer", "format": "int64" },
    u16 => { "type": "integer", "format": "int32", "minimum": 0, "maximum": 65535 },
    u32 => { "type": "integer", "format": "int64", "minimum": 0, "maximum": 4294967295_u32 },
    String => { "type": "string" },
    GatewayDuration => { "type": "string", "pattern": "^([0-9]{1,5}(h|m|s|ms)){1,4}$" },
}

impl<T: Described> Described for Option<T> {
    fn schema() -> Value {
        T::schema()
    }
}

impl<T: Described> Described for Vec<T> {
    fn schema() -> Value {
        json!({ "type": "array", "items": T::schema() })
    }
}

impl<T: Described> Described for BTreeMap<String, T> {
    fn schema() -> Value {
        json!({ "type": "object", "additionalProperties": T::schema() })
    }
}
