//! `google.protobuf.Value`, as a header may carry it.

use std::collections::BTreeMap;

use leno_ir::MetadataValue;
use prost::Message;

/// Nested more deeply than `prost` allows (100), it is none.
#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(oneof = "Kind", tags = "1, 2, 3, 4, 5, 6")]
    kind: Option<Kind>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Kind {
    #[prost(int32, tag = "1")]
    Null(i32),
    #[prost(double, tag = "2")]
    Number(f64),
    #[prost(string, tag = "3")]
    String(String),
    #[prost(bool, tag = "4")]
    Bool(bool),
    #[prost(message, tag = "5")]
    Struct(Struct),
    #[prost(message, tag = "6")]
    List(List),
}

#[derive(Clone, PartialEq, Message)]
struct Struct {
    #[prost(btree_map = "string, message", tag = "1")]
    fields: BTreeMap<String, Value>,
}

#[derive(Clone, PartialEq, Message)]
struct List {
    #[prost(message, repeated, tag = "1")]
    values: Vec<Value>,
}

/// `None`: these bytes are no value.
pub(super) fn decode(bytes: &[u8]) -> Option<MetadataValue> {
    Value::decode(bytes).ok().map(Into::into)
}

impl From<Value> for MetadataValue {
    fn from(value: Value) -> Self {
        match value.kind {
            None | Some(Kind::Null(_)) => Self::Null,
            Some(Kind::Number(number)) => Self::Number(number),
            Some(Kind::String(text)) => Self::String(text),
            Some(Kind::Bool(value)) => Self::Bool(value),
            Some(Kind::Struct(fields)) => {
                Self::Struct(fields.fields.into_iter().map(|(key, value)| (key, value.into())).collect())
            }
            Some(Kind::List(list)) => Self::List(list.values.into_iter().map(Into::into).collect()),
        }
    }
}
