use std::fmt::Write as _;
use std::time::Duration;

use super::head::RequestHead;

/// A cookie to be set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SetCookie<'a> {
    pub(crate) name: &'a str,
    /// In whole seconds; zero: as long as the client runs.
    pub(crate) ttl: Duration,
    /// Empty: none.
    pub(crate) path: &'a str,
    pub(crate) attributes: &'a [(String, String)],
}

/// The first that is not empty, without quotes (RFC 6265 §4.1.1).
pub(crate) fn cookie_value<'r>(request: &'r RequestHead, name: &str) -> Option<&'r [u8]> {
    let pairs = request.headers.get_all("cookie").flat_map(|line| line.split(|byte| *byte == b';'));
    let named = pairs.filter_map(|pair| {
        let pair = pair.trim_ascii();
        let at = pair.iter().position(|byte| *byte == b'=')?;
        let (key, value) = (pair.get(..at)?, pair.get(at + 1..)?);
        (key == name.as_bytes()).then_some(value)
    });
    let bare = |value: &'r [u8]| match value {
        [b'"', inner @ .., b'"'] => inner,
        value => value,
    };
    named.map(bare).find(|value| !value.is_empty())
}

impl SetCookie<'_> {
    /// The value of `set-cookie` (Envoy's `makeSetCookieValue`).
    pub(crate) fn with_value(&self, value: &str) -> String {
        let mut text = format!("{}=\"{value}\"", self.name);
        // Writing to a string does not fail.
        if self.ttl.as_secs() > 0 {
            let _ = write!(text, "; Max-Age={}", self.ttl.as_secs());
        }
        if !self.path.is_empty() {
            let _ = write!(text, "; Path={}", self.path);
        }
        for (name, value) in self.attributes {
            let _ = if value.is_empty() { write!(text, "; {name}") } else { write!(text, "; {name}={value}") };
        }
        text.push_str("; HttpOnly");
        text
    }
}
