use leno_names::Fraction;
use serde::Serialize;

use crate::{Pattern, StringMatch};

/// All parts must hold.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RouteMatch {
    pub path: PathMatch,
    /// Pseudo-headers `:method`, `:authority`, `:scheme` included.
    pub headers: Vec<HeaderMatch>,
    pub query: Vec<QueryMatch>,
    /// Only requests with `content-type: application/grpc…`.
    pub grpc: bool,
    /// Only this share of the requests that match otherwise.
    pub fraction: Option<Fraction>,
}

impl RouteMatch {
    pub fn any() -> Self {
        Self {
            path: PathMatch::Prefix { text: "/".to_owned(), ignore_case: false },
            headers: Vec::new(),
            query: Vec::new(),
            grpc: false,
            fraction: None,
        }
    }
}

/// On the path without query.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PathMatch {
    Exact {
        text: String,
        ignore_case: bool,
    },
    /// `/a` matches `/a` and `/a/b`, not `/ab`. Never ends in `/`.
    PathSeparatedPrefix {
        text: String,
        ignore_case: bool,
    },
    Prefix {
        text: String,
        ignore_case: bool,
    },
    Regex(Pattern),
}

#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct HeaderMatch {
    /// Lower case.
    pub name: String,
    pub kind: HeaderMatchKind,
    pub invert: bool,
    /// A header that is absent is compared as "" instead of failing the match.
    pub treat_missing_as_empty: bool,
}

#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HeaderMatchKind {
    /// `true`: must be there; `false`: must not.
    Present(bool),
    /// The value as a decimal integer, `start <= value < end`.
    Range { start: i64, end: i64 },
    /// Several lines of one name are joined with ",".
    Value(StringMatch),
}

#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct QueryMatch {
    pub name: String,
    pub kind: QueryMatchKind,
}

#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum QueryMatchKind {
    Present(bool),
    Value(StringMatch),
}
