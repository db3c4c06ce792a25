use std::fmt;
use std::path::PathBuf;

use serde::{Serialize, Serializer};

/// Where bytes come from that the configuration speaks of: it may have them, or say where they are (Envoy's `DataSource`).
#[derive(Clone, Debug, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DataSource {
    /// The value of a variable of this process.
    Environment(String),
    File(PathBuf),
    Inline(Hidden),
}

impl DataSource {
    pub fn inline(bytes: impl Into<Vec<u8>>) -> Self {
        Self::Inline(Hidden(bytes.into()))
    }
}

/// Bytes that may be a key: nothing that prints or serialises them shows more than their number.
#[derive(Clone, Eq, Hash, PartialEq)]
pub struct Hidden(Vec<u8>);

impl Hidden {
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} bytes]", self.0.len())
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Hidden {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_inline_is_never_shown() {
        let source = DataSource::inline("-----BEGIN PRIVATE KEY-----");
        assert_eq!(format!("{source:?}"), "Inline([27 bytes])");
    }
}
