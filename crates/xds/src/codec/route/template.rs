//! Path templates, `/a/{lang}/*/**.ts`, as the regular expressions that they stand for.
//!
//! Shape       segments between slashes: text, `*` (one segment), `**` (any number of them, the last of its kind), `{name}` or
//!             `{name=pattern}`; text may follow the last one. Rewrites: text and `{name}`
//! Errors      what is no template; a name that is unknown, twice there or too long
//! Source      Envoy `uri_template_match_config.proto`, `uri_template_rewrite_config.proto`; RFC 3986 Appendix A (pchar)

use leno_ir::{PathMatch, Pattern, Rewrite};
use leno_proto::envoy::config::core::v3::TypedExtensionConfig;
use leno_proto::envoy::config::route::v3::{RouteAction as ProtoRouteAction, RouteMatch, route_match::PathSpecifier};
use leno_proto::envoy::extensions::path::{
    r#match::uri_template::v3::UriTemplateMatchConfig, rewrite::uri_template::v3::UriTemplateRewriteConfig,
};

use super::rewrite::literal;
use crate::codec::common::unpack;
use crate::codec::error::{At, DecodeError, Result};

const MATCH: &str = "envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig";
const REWRITE: &str = "envoy.extensions.path.rewrite.uri_template.v3.UriTemplateRewriteConfig";

const ONE_SEGMENT: &str = r"[a-zA-Z0-9\-._~%!$&'()*+,;=:@]+";
const ANY_SEGMENTS: &str = r"[a-zA-Z0-9\-._~%!$&'()*+,;=:@/]*";
/// Envoy's limits.
const MOST_VARIABLES: usize = 5;
const LONGEST_NAME: usize = 16;

/// A template that was read.
#[derive(Debug, Default)]
struct Template {
    pattern: String,
    /// The names of the groups of `pattern`, in order.
    variables: Vec<String>,
    /// `**` was there.
    is_open: bool,
}

pub(super) fn decode_match(policy: &TypedExtensionConfig) -> Result<PathMatch> {
    let template = read_match(policy).at("path_match_policy")?;
    let pattern = Pattern::new(&template.pattern);
    Ok(PathMatch::Regex(pattern.map_err(|error| DecodeError::new("path_match_policy", error.to_string()))?))
}

fn read_match(policy: &TypedExtensionConfig) -> Result<Template> {
    let config: UriTemplateMatchConfig = unpack(policy.typed_config.as_ref(), MATCH)?;
    Template::parse(&config.path_template).map_err(|reason| DecodeError::new("path_template", reason))
}

/// What the action does to paths that its route's template takes; `None`: no policy says anything.
pub(super) fn decode_rewrite(action: &ProtoRouteAction, matches: &RouteMatch) -> Result<Option<Rewrite>> {
    let Some(policy) = &action.path_rewrite_policy else { return Ok(None) };
    let error = |reason: &str| DecodeError::new("path_rewrite_policy", reason);
    if !action.prefix_rewrite.is_empty() || action.regex_rewrite.is_some() {
        return Err(error("comes with another rewrite"));
    }
    let Some(PathSpecifier::PathMatchPolicy(matched)) = &matches.path_specifier else {
        return Err(error("needs a path_match_policy"));
    };
    let config: UriTemplateRewriteConfig = unpack(policy.typed_config.as_ref(), REWRITE).at("path_rewrite_policy")?;
    let template = read_match(matched).at("path_match_policy")?;
    let substitution = template.substitution(&config.path_template_rewrite).map_err(|reason| error(&reason))?;
    Ok(Some(Rewrite::Regex { pattern: format!("^{}$", template.pattern), substitution }))
}

impl Template {
    fn parse(text: &str) -> std::result::Result<Self, String> {
        let mut rest = text.strip_prefix('/').ok_or("does not begin with a slash")?;
        let mut template = Self { pattern: "/".to_owned(), ..Self::default() };
        while !rest.is_empty() {
            rest = match rest.strip_prefix('{') {
                Some(inner) => {
                    let (variable, after) = inner.split_once('}').ok_or("has a { without }")?;
                    template.push_variable(variable)?;
                    after
                }
                None => template.push_part(rest)?,
            };
            if let Some(after) = rest.strip_prefix('/') {
                template.pattern.push('/');
                rest = after;
            } else if !rest.is_empty() {
                check_text(rest)?;
                template.pattern.push_str(&literal(rest, false));
                break;
            }
        }
        Ok(template)
    }

    /// An operator or text; the value is what follows.
    fn push_part<'t>(&mut self, rest: &'t str) -> std::result::Result<&'t str, String> {
        if let Some(after) = rest.strip_prefix('*') {
            let (operator, after) = match after.strip_prefix('*') {
                Some(after) => (ANY_SEGMENTS, after),
                None => (ONE_SEGMENT, after),
            };
            self.push_operator(operator)?;
            return Ok(after);
        }
        let (text, after) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        check_text(text)?;
        self.pattern.push_str(&literal(text, false));
        Ok(after)
    }

    fn push_operator(&mut self, operator: &str) -> std::result::Result<(), String> {
        if self.is_open {
            return Err("has something to match after **".to_owned());
        }
        self.is_open = operator == ANY_SEGMENTS;
        self.pattern.push_str(operator);
        Ok(())
    }

    fn push_variable(&mut self, variable: &str) -> std::result::Result<(), String> {
        let (name, pattern) = variable.split_once('=').unwrap_or((variable, "*"));
        let is_name = name.starts_with(|first: char| first.is_ascii_alphabetic())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !is_name || name.len() > LONGEST_NAME {
            return Err(format!("\"{name}\" is no name of a variable"));
        }
        if self.variables.iter().any(|known| known == name) {
            return Err(format!("{name} is there twice"));
        }
        if self.variables.len() >= MOST_VARIABLES {
            return Err(format!("has more than {MOST_VARIABLES} variables"));
        }
        self.variables.push(name.to_owned());
        self.pattern.push('(');
        let mut rest = self.push_part(pattern)?;
        while !rest.is_empty() {
            let next = rest.strip_prefix('/').ok_or("has a variable with a wrong pattern")?;
            self.pattern.push('/');
            rest = self.push_part(next)?;
        }
        self.pattern.push(')');
        Ok(())
    }

    /// With the numbers of groups for the names.
    fn substitution(&self, rewrite: &str) -> std::result::Result<String, String> {
        if !rewrite.starts_with('/') || rewrite.contains("//") {
            return Err("does not begin with one slash, or has two".to_owned());
        }
        let mut out = String::with_capacity(rewrite.len());
        let mut rest = rewrite;
        while !rest.is_empty() {
            let (text, variable) = rest.split_once('{').map_or((rest, None), |(text, after)| (text, Some(after)));
            if !text.bytes().all(|byte| byte == b'/' || is_text(byte)) {
                return Err(format!("\"{text}\" has characters that a path may not have"));
            }
            out.push_str(text);
            let Some(variable) = variable else { break };
            let (name, after) = variable.split_once('}').ok_or("has a { without }")?;
            let at = self.variables.iter().position(|known| known == name);
            let at = at.ok_or_else(|| format!("the match has no variable {name}"))?;
            out.push_str(&format!("\\{}", at + 1));
            rest = after;
        }
        Ok(out)
    }
}

fn check_text(text: &str) -> std::result::Result<(), String> {
    let is_good = !text.is_empty() && text.bytes().all(is_text);
    if is_good { Ok(()) } else { Err(format!("\"{text}\" is no text of a segment")) }
}

/// RFC 3986 pchar.
fn is_text(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:@".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(template: &str, path: &str) -> bool {
        let template = Template::parse(template).expect("a template");
        Pattern::new(&template.pattern).expect("an expression").is_match(path)
    }

    #[test]
    fn templates_match_segments() {
        for (template, path, expected) in [
            ("/", "/", true),
            ("/a/*", "/a/b", true),
            ("/a/*", "/a/", false),
            ("/a/*", "/a/b/c", false),
            ("/a/**", "/a/b/c", true),
            ("/a/**", "/a/", true),
            ("/a/**", "/a", false),
            ("/a/*/", "/a/b/", true),
            ("/v.1/{x}.ts", "/v.1/y.ts", true),
            ("/v.1/{x}.ts", "/v-1/y.ts", false),
            ("/{x=a/*}/{y=**}", "/a/b/c/d", true),
        ] {
            assert_eq!(matches(template, path), expected, "{template} {path}");
        }
    }

    #[test]
    fn what_is_no_template_is_refused() {
        for wrong in [
            "",
            "a",
            "//",
            "/a//b",
            "/**/*",
            "/{x",
            "/{1}",
            "/{x}/{x}",
            "/{x=}",
            "/*a/b",
            "/{a}/{b}/{c}/{d}/{e}/{f}",
            "/{abcdefghijklmnopq}",
            "/{x=*/}",
        ] {
            assert!(Template::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn rewrites_name_the_variables() {
        let template = Template::parse("/{x}/{y=**}").expect("a template");
        assert_eq!(template.substitution("/n/{y}-{x}").as_deref(), Ok(r"/n/\2-\1"));
        for wrong in ["", "n", "//n", "/{z}", "/{x", "/a?b"] {
            assert!(template.substitution(wrong).is_err(), "{wrong}");
        }
    }
}
