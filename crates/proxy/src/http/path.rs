//! What is made of a request's path before anything looks at it, so that rules and applications read it alike.
//!
//! Shape       escaped slashes -> dots and escapes (RFC 3986 §6.2.2) -> slashes in a row; the query is never touched
//! Invariants  pure; a result starts with `/`; normalizing twice is normalizing once
//! Source      Envoy's normalize_path, merge_slashes, path_with_escaped_slashes_action; what it takes from Chromium's URL code.
//!             Applications that take `..;x` for `..` (Java's do) would read another path than our rules: its parameters go
//!             with it (CVE-2026-73511). Envoy overlooks those with escaped dots, which would make twice differ from once

use leno_ir::EscapedSlashes;

/// What became of a path.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Normalized {
    /// As it was.
    Same,
    Changed(Vec<u8>),
    /// The client is sent there.
    Redirect(Vec<u8>),
    /// Nobody should guess what it means.
    Refused,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct PathRules {
    pub(super) normalize: bool,
    pub(super) merge_slashes: bool,
    pub(super) escaped_slashes: EscapedSlashes,
}

/// `target` is a path with a query. What is no path (`*`, an authority) stays.
pub(super) fn normalize(target: &[u8], rules: PathRules) -> Normalized {
    if target.first() != Some(&b'/') {
        return Normalized::Same;
    }
    let end = memchr::memchr2(b'?', b'#', target).unwrap_or(target.len());
    let (path, query) = target.split_at(end);
    let mut path = path.to_vec();
    let mut redirects = false;
    if has_escaped_slash(&path) {
        match rules.escaped_slashes {
            EscapedSlashes::KeepUnchanged => {}
            EscapedSlashes::Reject => return Normalized::Refused,
            EscapedSlashes::UnescapeAndForward => path = unescape_slashes(&path),
            EscapedSlashes::UnescapeAndRedirect => {
                path = unescape_slashes(&path);
                redirects = true;
            }
        }
    }
    if rules.normalize {
        match resolve(&path) {
            Some(resolved) => path = resolved,
            None => return Normalized::Refused,
        }
    }
    if rules.merge_slashes {
        path.dedup_by(|next, before| *next == b'/' && *before == b'/');
    }
    if path == target[..end] {
        return Normalized::Same;
    }
    path.extend_from_slice(query);
    if redirects { Normalized::Redirect(path) } else { Normalized::Changed(path) }
}

fn has_escaped_slash(path: &[u8]) -> bool {
    path.windows(3).any(|window| escaped_slash(window).is_some())
}

/// `%2F` and `%5C`, in any case.
fn escaped_slash(bytes: &[u8]) -> Option<u8> {
    match bytes {
        [b'%', b'2', b'f' | b'F', ..] => Some(b'/'),
        [b'%', b'5', b'c' | b'C', ..] => Some(b'\\'),
        _ => None,
    }
}

fn unescape_slashes(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&byte, after)) = rest.split_first() {
        if let Some(slash) = escaped_slash(rest) {
            out.push(slash);
            rest = rest.get(3..).unwrap_or_default();
        } else {
            out.push(byte);
            rest = after;
        }
    }
    out
}

/// Escapes of letters, digits and `-._~` are undone, backslashes are slashes, dot segments are gone. `None`: it has a NUL.
fn resolve(path: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'%' => {
                let escape = after.split_first_chunk::<2>().and_then(|(digits, after)| {
                    let [high, low] = digits.map(|digit| char::from(digit).to_digit(16));
                    Some((digits, u8::try_from(high? * 16 + low?).ok()?, after))
                });
                // What is no escape stays as it is.
                let Some((digits, value, after)) = escape else {
                    plain.push(b'%');
                    continue;
                };
                rest = after;
                if value.is_ascii_alphanumeric() || b"-._~".contains(&value) {
                    plain.push(value);
                } else if value == 0 {
                    return None;
                } else {
                    plain.extend([b'%', digits[0], digits[1]]);
                }
            }
            b'\\' => plain.push(b'/'),
            _ if !byte.is_ascii_graphic() || b"\"<>^`{|}".contains(&byte) => {
                plain.extend(format!("%{byte:02X}").into_bytes());
            }
            _ => plain.push(byte),
        }
    }
    let mut out: Vec<u8> = Vec::with_capacity(plain.len());
    let mut segments = plain.split(|byte| *byte == b'/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match without_parameters_of_dots(segment) {
            b"." if is_last => out.push(b'/'),
            b"." => {}
            b".." => {
                let parent = memchr::memrchr(b'/', &out).unwrap_or(0);
                out.truncate(parent);
                if is_last {
                    out.push(b'/');
                }
            }
            segment => {
                out.push(b'/');
                out.extend_from_slice(segment);
            }
        }
    }
    if out.is_empty() {
        out.push(b'/');
    }
    Some(out)
}

/// `..;x` and `.;x` mean what the dots mean; the parameters of other segments are theirs (RFC 3986 §3.3).
fn without_parameters_of_dots(segment: &[u8]) -> &[u8] {
    match segment {
        [b'.', b'.', b';', ..] => b"..",
        [b'.', b';', ..] => b".",
        _ => segment,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: PathRules =
        PathRules { normalize: true, merge_slashes: true, escaped_slashes: EscapedSlashes::KeepUnchanged };

    fn made(target: &str, rules: PathRules) -> String {
        match normalize(target.as_bytes(), rules) {
            Normalized::Same => target.to_owned(),
            Normalized::Changed(path) => String::from_utf8(path).expect("ASCII"),
            Normalized::Redirect(path) => format!("to {}", String::from_utf8(path).expect("ASCII")),
            Normalized::Refused => "refused".to_owned(),
        }
    }

    #[test]
    fn dots_escapes_and_slashes_have_one_spelling() {
        for (target, path) in [
            ("/a/./b/../c", "/a/c"),
            ("/a/b/..", "/a/"),
            ("/..", "/"),
            ("/../../x", "/x"),
            ("/%61%2e%2e/x", "/a../x"),
            ("/a/%2E%2e/b?x=/../y", "/b?x=/../y"),
            ("/a\\..\\b", "/b"),
            ("//a///b/", "/a/b/"),
            ("/a%2fb", "/a%2fb"),
            ("/%zz/./%", "/%zz/%"),
            ("/x/..;/admin", "/admin"),
            ("/x/..;a;b=c/admin", "/admin"),
            ("/x/%2e.;a/admin", "/admin"),
            ("/x/.;/..;", "/"),
            ("/x;a/...;b/c;d?e=/..;/", "/x;a/...;b/c;d?e=/..;/"),
            ("/%00", "refused"),
            ("*", "*"),
        ] {
            assert_eq!(made(target, ALL), path, "{target}");
        }
    }

    #[test]
    fn escaped_slashes_are_what_the_rule_says() {
        let rules = |escaped_slashes| PathRules { normalize: true, merge_slashes: false, escaped_slashes };
        assert_eq!(made("/a%2F..%5cb", rules(EscapedSlashes::UnescapeAndForward)), "/b");
        assert_eq!(made("/a%2Fb", rules(EscapedSlashes::UnescapeAndRedirect)), "to /a/b");
        assert_eq!(made("/a%2Fb", rules(EscapedSlashes::Reject)), "refused");
    }

    proptest! {
        #[test]
        fn once_is_enough(path in "/([a-c./;%2eEfF5cC\\\\]|%2[ef]){0,12}") {
            if let Normalized::Changed(once) = normalize(path.as_bytes(), ALL) {
                prop_assert_eq!(normalize(&once, ALL), Normalized::Same);
                prop_assert_eq!(once[0], b'/');
            }
        }
    }
}
