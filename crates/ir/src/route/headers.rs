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
    pub value: String,
    pub append: HeaderAppend,
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
