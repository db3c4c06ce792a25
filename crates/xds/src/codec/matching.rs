use leno_ir::{Pattern, StringMatch};
use leno_proto::envoy::r#type::matcher::v3::{RegexMatcher, StringMatcher, string_matcher::MatchPattern};

use super::error::{DecodeError, Result};

pub(super) fn regex(pattern: &str) -> RegexMatcher {
    RegexMatcher { regex: pattern.to_owned(), ..RegexMatcher::default() }
}

pub(super) fn read_regex(matcher: &RegexMatcher) -> Result<Pattern> {
    Pattern::new(&matcher.regex).map_err(|error| DecodeError::new("regex", error.to_string()))
}

pub(super) fn encode(matches: &StringMatch) -> StringMatcher {
    let (pattern, ignore_case) = match matches {
        StringMatch::Contains { text, ignore_case } => (MatchPattern::Contains(text.clone()), *ignore_case),
        StringMatch::Exact { text, ignore_case } => (MatchPattern::Exact(text.clone()), *ignore_case),
        StringMatch::Prefix { text, ignore_case } => (MatchPattern::Prefix(text.clone()), *ignore_case),
        StringMatch::Regex(pattern) => (MatchPattern::SafeRegex(regex(pattern.as_str())), false),
        StringMatch::Suffix { text, ignore_case } => (MatchPattern::Suffix(text.clone()), *ignore_case),
    };
    StringMatcher { ignore_case, match_pattern: Some(pattern) }
}

pub(super) fn decode(matcher: &StringMatcher) -> Result<StringMatch> {
    let ignore_case = matcher.ignore_case;
    Ok(match &matcher.match_pattern {
        Some(MatchPattern::Contains(text)) => StringMatch::Contains { text: text.clone(), ignore_case },
        Some(MatchPattern::Exact(text)) => StringMatch::Exact { text: text.clone(), ignore_case },
        Some(MatchPattern::Prefix(text)) => StringMatch::Prefix { text: text.clone(), ignore_case },
        Some(MatchPattern::SafeRegex(matcher)) => StringMatch::Regex(read_regex(matcher)?),
        Some(MatchPattern::Suffix(text)) => StringMatch::Suffix { text: text.clone(), ignore_case },
        Some(MatchPattern::Custom(_)) => return Err(DecodeError::unsupported("custom")),
        None => return Err(DecodeError::new("match_pattern", "is missing")),
    })
}
