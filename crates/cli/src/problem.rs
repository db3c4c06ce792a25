use std::fmt;

use serde::{Deserialize, Serialize};

/// What is wrong with a text, as the API and `validate` report it.
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct FileProblem {
    pub(crate) source: String,
    /// From 1; 0 when not known.
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) object: String,
    pub(crate) field: String,
    pub(crate) message: String,
    /// `error` or `warning`.
    pub(crate) severity: String,
}

/// `file:line:column: error: object: field: message`; what is not known is left out.
impl fmt::Display for FileProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut place = self.source.clone();
        for number in [self.line, self.column].into_iter().take_while(|number| *number > 0) {
            place = format!("{place}:{number}");
        }
        let parts = [&place, &self.severity, &self.object, &self.field, &self.message];
        let known: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).map(String::as_str).collect();
        f.write_str(&known.join(": "))
    }
}
