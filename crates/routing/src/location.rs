use std::fmt::Write;

use leno_ir::{PathMatch, Redirect, RedirectPath};

use crate::request::{RequestView, split_path};
use crate::rewrite::{CompiledRewrite, replace_prefix};

/// The value of `location`. A default port left over from the old scheme is dropped, as is one that fits the new scheme.
pub(crate) fn redirect_location(
    redirect: &Redirect,
    matches: &PathMatch,
    rewrite: Option<&CompiledRewrite>,
    request: &impl RequestView,
) -> String {
    let scheme = redirect.scheme.as_deref().unwrap_or_else(|| request.scheme());
    let (host, port) = split_port(request.authority());
    let port = match (redirect.port, port) {
        (Some(port), _) => Some(port),
        (None, Some(port)) if redirect.host.is_none() && redirect.scheme.is_none() => Some(port),
        (None, Some(port)) if redirect.host.is_none() && Some(port) != default_port(request.scheme()) => Some(port),
        _ => None,
    };
    let host = redirect.host.as_deref().unwrap_or(host);
    let (path, rest) = split_path(request.path());
    let mut location = format!("{scheme}://{host}");
    if let Some(port) = port.filter(|port| Some(*port) != default_port(scheme)) {
        // Writing to a String cannot fail.
        let _ = write!(location, ":{port}");
    }
    let keeps_query = match &redirect.path {
        None => {
            location.push_str(path);
            true
        }
        Some(RedirectPath::Full(full)) => {
            location.push_str(full);
            !full.contains('?')
        }
        Some(RedirectPath::Prefix(prefix)) => {
            location.push_str(&replace_prefix(matches, path, prefix));
            true
        }
        Some(RedirectPath::Regex { .. }) => {
            location.push_str(&rewrite.map_or_else(|| path.to_owned(), |rewrite| rewrite.apply_to_path(matches, path)));
            true
        }
    };
    if keeps_query && !redirect.strip_query {
        location.push_str(rest.split('#').next().unwrap_or_default());
    }
    location
}

/// An IPv6 host keeps its brackets.
pub(crate) fn split_port(authority: &str) -> (&str, Option<u16>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => match port.parse() {
            Ok(port) => (host, Some(port)),
            Err(_) => (authority, None),
        },
        _ => (authority, None),
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}
