use serde::{Serialize, Serializer};

/// A regular expression that must match the whole text, as everywhere in Envoy. RE2 syntax, linear time.
#[derive(Clone, Debug)]
pub struct Pattern {
    source: String,
    compiled: regex::Regex,
}

impl Pattern {
    /// Longest compiled program accepted, in bytes: bounds the memory one hostile pattern can take.
    const SIZE_LIMIT_BYTES: usize = 1 << 20;

    /// # Errors
    /// When `source` is not a regular expression or compiles to more than 1 MiB.
    pub fn new(source: &str) -> Result<Self, RegexError> {
        let compiled = regex::RegexBuilder::new(&format!("^(?:{source})$"))
            .size_limit(Self::SIZE_LIMIT_BYTES)
            .build()
            .map_err(|source_error| RegexError { pattern: source.to_owned(), reason: source_error.to_string() })?;
        Ok(Self { source: source.to_owned(), compiled })
    }

    pub fn is_match(&self, text: &str) -> bool {
        self.compiled.is_match(text)
    }

    /// The pattern as it was written, without the anchors.
    pub fn as_str(&self) -> &str {
        &self.source
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Pattern {}

impl std::hash::Hash for Pattern {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.source.hash(state);
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.source)
    }
}

#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("\"{pattern}\" is not a usable regular expression: {reason}")]
pub struct RegexError {
    pub pattern: String,
    pub reason: String,
}

/// How a text must look (Envoy `type.matcher.v3.StringMatcher`).
#[derive(Clone, Debug, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StringMatch {
    Contains { text: String, ignore_case: bool },
    Exact { text: String, ignore_case: bool },
    Prefix { text: String, ignore_case: bool },
    Regex(Pattern),
    Suffix { text: String, ignore_case: bool },
}

impl StringMatch {
    pub fn exact(text: impl Into<String>) -> Self {
        Self::Exact { text: text.into(), ignore_case: false }
    }

    pub fn prefix(text: impl Into<String>) -> Self {
        Self::Prefix { text: text.into(), ignore_case: false }
    }

    pub fn is_match(&self, input: &str) -> bool {
        match self {
            Self::Contains { text, ignore_case: false } => input.contains(text.as_str()),
            Self::Contains { text, ignore_case: true } => {
                text.is_empty()
                    || input.as_bytes().windows(text.len()).any(|window| window.eq_ignore_ascii_case(text.as_bytes()))
            }
            Self::Exact { text, ignore_case: false } => input == text,
            Self::Exact { text, ignore_case: true } => input.eq_ignore_ascii_case(text),
            Self::Prefix { text, ignore_case: false } => input.starts_with(text.as_str()),
            Self::Prefix { text, ignore_case: true } => {
                input.as_bytes().get(..text.len()).is_some_and(|head| head.eq_ignore_ascii_case(text.as_bytes()))
            }
            Self::Regex(pattern) => pattern.is_match(input),
            Self::Suffix { text, ignore_case: false } => input.ends_with(text.as_str()),
            Self::Suffix { text, ignore_case: true } => input
                .len()
                .checked_sub(text.len())
                .is_some_and(|at| input.as_bytes()[at..].eq_ignore_ascii_case(text.as_bytes())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_the_whole_text_only() {
        let pattern = Pattern::new("a|b+").expect("valid");
        assert!(pattern.is_match("bbb") && !pattern.is_match("ab") && !pattern.is_match("xa"));
        assert!(Pattern::new("(").is_err());
    }

    #[test]
    fn case_is_ignored_only_on_request() {
        let loose = StringMatch::Suffix { text: "ER".into(), ignore_case: true };
        assert!(loose.is_match("user") && !loose.is_match("r"));
        assert!(!StringMatch::prefix("Us").is_match("user"));
        assert!(StringMatch::Contains { text: "SE".into(), ignore_case: true }.is_match("user"));
    }
}
