use serde::Serialize;

/// First `remove`, then `add`.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct HeaderOps {
    /// Lower case names.
    pub remove: Vec<String>,
    pub add: Vec<HeaderValue>,
}

impl HeaderOps {
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.add.is_empty()
    }
}

#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct HeaderValue {
    /// Lower case.
    pub name: String,
    /// With Envoy's command operators (`%PROTOCOL%`); `%%` is a percent sign.
    pub value: String,
    pub append: HeaderAppend,
    /// Also when the value turns out to be empty; otherwise nothing happens then.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub keep_empty: bool,
}

impl HeaderValue {
    pub fn new(name: impl Into<String>, value: impl Into<String>, append: HeaderAppend) -> Self {
        Self { name: name.into(), value: value.into(), append, keep_empty: false }
    }

    /// Whether the value must be worked out for each message.
    pub fn is_format(&self) -> bool {
        self.value.contains('%')
    }
}

/// What to do when the header is there already (Envoy `HeaderAppendAction`).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HeaderAppend {
    AddIfAbsent,
    #[default]
    AppendOrAdd,
    OverwriteIfExists,
    OverwriteOrAdd,
}
