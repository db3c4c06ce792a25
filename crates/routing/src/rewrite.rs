use std::borrow::Cow;

use leno_ir::{PathMatch, Rewrite};
use regex::Regex;

use crate::request::split_path;

/// A rewrite with its expression compiled.
#[derive(Debug)]
pub(crate) enum CompiledRewrite {
    Path(String),
    Prefix(String),
    Regex(Substitution),
}

/// Replaces every match of an expression (Envoy `RegexMatchAndSubstitute`).
#[derive(Debug)]
pub struct Substitution {
    pattern: Regex,
    /// As the crate `regex` spells it.
    by: String,
}

/// Longest compiled program accepted, in bytes: bounds the memory one hostile pattern can take.
const SIZE_LIMIT_BYTES: usize = 1 << 20;

impl Substitution {
    /// `by` is RE2's: `\\1` stands for the first group. `None` when the pattern is no regular expression.
    pub fn new(pattern: &str, by: &str) -> Option<Self> {
        let pattern = regex::RegexBuilder::new(pattern).size_limit(SIZE_LIMIT_BYTES).build().ok()?;
        Some(Self { pattern, by: regex_substitution(by) })
    }

    pub fn apply<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.pattern.replace_all(text, self.by.as_str())
    }
}

impl CompiledRewrite {
    /// `None` when the pattern is no regular expression: then the path stays as it is.
    pub(crate) fn new(rewrite: &Rewrite) -> Option<Self> {
        Some(match rewrite {
            Rewrite::Path(path) => Self::Path(path.clone()),
            Rewrite::Prefix(prefix) => Self::Prefix(prefix.clone()),
            Rewrite::Regex { pattern, substitution } => Self::Regex(Substitution::new(pattern, substitution)?),
        })
    }

    /// The new path with the old query.
    pub(crate) fn apply(&self, matches: &PathMatch, path_and_query: &str) -> String {
        let (path, rest) = split_path(path_and_query);
        join(&[&self.apply_to_path(matches, path), rest])
    }

    pub(crate) fn apply_to_path(&self, matches: &PathMatch, path: &str) -> String {
        match self {
            Self::Path(new) => new.clone(),
            Self::Prefix(new) => replace_prefix(matches, path, new),
            Self::Regex(substitution) => substitution.apply(path).into_owned(),
        }
    }
}

/// Replaces what `matches` matched of `path`: the prefix, or all of it when the match was on the whole path.
///
/// Deviation from Envoy: behind a path-separated prefix no `//` is made and none lost, so that replacing `/a` by `/`
/// turns `/a/b` into `/b` (Gateway API `ReplacePrefixMatch`).
pub(crate) fn replace_prefix(matches: &PathMatch, path: &str, new: &str) -> String {
    match matches {
        PathMatch::Prefix { text, .. } => join(&[new, path.get(text.len()..).unwrap_or_default()]),
        PathMatch::PathSeparatedPrefix { text, .. } => {
            let rest = path.get(text.len()..).unwrap_or_default();
            let new = if rest.starts_with('/') { new.strip_suffix('/').unwrap_or(new) } else { new };
            if new.is_empty() && rest.is_empty() { "/".to_owned() } else { join(&[new, rest]) }
        }
        PathMatch::Connect | PathMatch::Exact { .. } | PathMatch::Regex(_) => new.to_owned(),
    }
}

/// From RE2's `\1` to `${1}`.
fn regex_substitution(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '$' => out.push_str("$$"),
            '\\' => match characters.next() {
                Some(digit @ '0'..='9') => out.extend(['$', '{', digit, '}']),
                Some('$') => out.push_str("$$"),
                Some(other) => out.push(other),
                None => {}
            },
            other => out.push(other),
        }
    }
    out
}

fn join(parts: &[&str]) -> String {
    parts.concat()
}
