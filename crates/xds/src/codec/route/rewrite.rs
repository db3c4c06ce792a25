use leno_ir::{Flavor, PathMatch, Pattern, Rewrite};
use leno_proto::envoy::config::route::v3::RouteAction as ProtoRouteAction;
use leno_proto::envoy::r#type::matcher::v3::RegexMatchAndSubstitute;

use crate::codec::common::read_visible;
use crate::codec::error::{At, DecodeError, Result};
use crate::codec::matching;

/// Replaces a whole path; the query is not part of what it sees.
pub(super) const WHOLE_PATH: &str = "^.*$";

/// A regular expression that matches this text.
pub(super) fn literal(text: &str, ignore_case: bool) -> String {
    let mut pattern = String::from(if ignore_case { "(?i)" } else { "" });
    for letter in text.chars() {
        if letter.is_ascii_punctuation() {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern
}

/// Others put the new prefix in front of what is left, slash included: `/a` replaced by `/` would turn `/a/b` into `//b`. Where
/// that matters they get an expression that takes the slash away.
pub(super) fn prefix_substitution(new: &str, matched: &PathMatch, flavor: Flavor) -> Option<RegexMatchAndSubstitute> {
    match matched {
        PathMatch::PathSeparatedPrefix { text, ignore_case } if flavor != Flavor::Leno && new.ends_with('/') => {
            let pattern = format!("^{}/?(.*)$", literal(text, *ignore_case));
            Some(substitution(&pattern, &(new.replace('\\', "\\\\") + "\\1")))
        }
        _ => None,
    }
}

pub(in crate::codec) fn substitution(pattern: &str, by: &str) -> RegexMatchAndSubstitute {
    RegexMatchAndSubstitute { pattern: Some(matching::regex(pattern)), substitution: by.to_owned() }
}

pub(super) fn decode(action: &ProtoRouteAction) -> Result<Option<Rewrite>> {
    if !action.prefix_rewrite.is_empty() {
        return Ok(Some(Rewrite::Prefix(read_visible(&action.prefix_rewrite, "prefix_rewrite")?)));
    }
    let Some(rewrite) = &action.regex_rewrite else { return Ok(None) };
    let (pattern, substitution) = decode_regex(rewrite).at("regex_rewrite")?;
    let whole = pattern == WHOLE_PATH && !substitution.replace("\\\\", "").contains('\\');
    Ok(Some(if whole {
        Rewrite::Path(substitution.replace("\\\\", "\\"))
    } else {
        Rewrite::Regex { pattern, substitution }
    }))
}

/// Pattern and substitution.
pub(in crate::codec) fn decode_regex(rewrite: &RegexMatchAndSubstitute) -> Result<(String, String)> {
    let pattern = rewrite.pattern.clone().unwrap_or_default().regex;
    read_visible(&rewrite.substitution, "substitution")?;
    Pattern::new(&pattern).map_err(|error| DecodeError::new("", error.to_string()))?;
    Ok((pattern, rewrite.substitution.clone()))
}
