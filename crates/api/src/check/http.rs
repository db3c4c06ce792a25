//! What becomes part of a message's head: it must not be able to end a line of it, or to say where the message ends.

use super::{Checked, report};
use crate::{HeaderModifier, HeaderOperations, HttpRedirect, HttpRewrite, PathModifier};

pub(super) fn istio_headers(operations: &HeaderOperations, at: &str, found: &mut Checked) {
    for (action, entries) in [("add", &operations.add), ("set", &operations.set)] {
        for (name, value) in entries {
            let token = name.strip_prefix(':').unwrap_or(name);
            header_name(token, name, &format!("{at}.{action}"), found);
            header_value(value, &format!("{at}.{action}.{name}"), found);
            if name.starts_with(':') && !name.eq_ignore_ascii_case(":authority") {
                report(found, format!("{at}.{action}"), format!("of the pseudo-headers only :authority, not {name:?}"));
            }
        }
    }
    for (index, name) in operations.remove.iter().enumerate() {
        header_name(name, name, &format!("{at}.remove[{index}]"), found);
    }
}

pub(super) fn gateway_headers(modifier: &HeaderModifier, at: &str, found: &mut Checked) {
    for (action, entries) in [("add", &modifier.add), ("set", &modifier.set)] {
        for (index, entry) in entries.iter().enumerate() {
            header_name(&entry.name, &entry.name, &format!("{at}.{action}[{index}].name"), found);
            header_value(&entry.value, &format!("{at}.{action}[{index}].value"), found);
        }
    }
    for (index, name) in modifier.remove.iter().enumerate() {
        header_name(name, name, &format!("{at}.remove[{index}]"), found);
    }
}

pub(super) fn redirect(redirect: &HttpRedirect, at: &str, found: &mut Checked) {
    visible(redirect.authority.as_deref(), &format!("{at}.authority"), found);
    visible(redirect.prefix_rewrite.as_deref(), &format!("{at}.prefixRewrite"), found);
    visible(redirect.scheme.as_deref(), &format!("{at}.scheme"), found);
    visible(redirect.uri.as_deref(), &format!("{at}.uri"), found);
}

pub(super) fn rewrite(rewrite: &HttpRewrite, at: &str, found: &mut Checked) {
    visible(rewrite.authority.as_deref(), &format!("{at}.authority"), found);
    visible(rewrite.uri.as_deref(), &format!("{at}.uri"), found);
    let by = rewrite.uri_regex_rewrite.as_ref().map(|regex| regex.rewrite.as_str());
    visible(by, &format!("{at}.uriRegexRewrite.rewrite"), found);
}

pub(super) fn path_modifier(path: Option<&PathModifier>, at: &str, found: &mut Checked) {
    let Some(path) = path else { return };
    visible(path.replace_full_path.as_deref(), &format!("{at}.path.replaceFullPath"), found);
    visible(path.replace_prefix_match.as_deref(), &format!("{at}.path.replacePrefixMatch"), found);
}

/// What goes into a request target or an authority.
pub(super) fn visible(text: Option<&str>, path: &str, found: &mut Checked) {
    if let Some(text) = text.filter(|text| !text.bytes().all(|b| b.is_ascii_graphic())) {
        report(found, path, format!("{text:?} has a character that a URI cannot have; percent-encode it, as %20"));
    }
}

/// `token` is what must be one by RFC 9110 §5.6.2.
pub(super) fn header_name(token: &str, name: &str, path: &str, found: &mut Checked) {
    if token.is_empty() || !token.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)) {
        report(found, path, format!("{name:?} is not a header name"));
    } else if ["content-length", "transfer-encoding"].iter().any(|framing| token.eq_ignore_ascii_case(framing)) {
        report(found, path, format!("{name:?} says where a message ends; only the proxy may change it"));
    }
}

/// RFC 9110 §5.5.
fn header_value(value: &str, path: &str, found: &mut Checked) {
    if value.bytes().any(|b| b.is_ascii_control() && b != b'\t') {
        report(found, path, format!("{value:?} has a control character, which a header value cannot have"));
    }
}
