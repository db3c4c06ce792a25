use std::fmt;

use leno_api::ParseProblem;
use serde::{Deserialize, Serialize};

/// What is wrong with a text, as the API, `validate` and `analyze` report it.
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct FileProblem {
    pub(crate) source: String,
    /// From 1; 0 when not known.
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) object: String,
    pub(crate) field: String,
    /// Stable, for programs; empty when not known.
    pub(crate) code: String,
    pub(crate) message: String,
    /// `error`, `warning` or `info`.
    pub(crate) severity: String,
}

impl FileProblem {
    /// What is wrong, and what would be right where the message says so.
    pub(crate) fn message_and_help(&self) -> (&str, Option<&str>) {
        let hints = [", did you mean ", "; valid are ", "; put it "];
        let found = hints.iter().filter_map(|hint| self.message.find(hint)).min();
        match found.and_then(|at| Some((self.message.get(..at)?, self.message.get(at + 2..)?))) {
            Some((message, help)) => (message, Some(help)),
            None => (&self.message, None),
        }
    }
}

impl From<ParseProblem> for FileProblem {
    fn from(problem: ParseProblem) -> Self {
        Self {
            source: problem.source,
            line: problem.line,
            column: problem.column,
            object: problem.object,
            field: problem.field,
            code: problem.code.to_owned(),
            message: problem.message,
            severity: "error".to_owned(),
        }
    }
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
