//! The path of a request and its parts.

use std::hash::{BuildHasher, Hasher, RandomState};

use super::Values;

/// Whether with the query.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum PathForm {
    WithQuery,
    WithoutQuery,
}

/// Before or after a rewrite.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum PathOf {
    /// As it was sent on.
    Current,
    /// As it came, if it was rewritten.
    Original,
    /// As it came.
    OriginalOrCurrent,
}

fn path(values: &impl Values, of: PathOf) -> Option<&[u8]> {
    let original = || values.request_header("x-envoy-original-path");
    let current = || values.request_header(":path");
    match of {
        PathOf::Current => current(),
        PathOf::Original => original(),
        PathOf::OriginalOrCurrent => original().or_else(current),
    }
}

fn split(path: &[u8]) -> (&[u8], Option<&[u8]>) {
    match path.iter().position(|byte| *byte == b'?') {
        Some(at) => (path.get(..at).unwrap_or_default(), path.get(at + 1..)),
        None => (path, None),
    }
}

pub(super) fn write_path(values: &impl Values, form: PathForm, of: PathOf, out: &mut Vec<u8>) {
    let path = path(values, of).unwrap_or_default();
    out.extend_from_slice(match form {
        PathForm::WithQuery => path,
        PathForm::WithoutQuery => split(path).0,
    });
}

/// Percent-decoded, as in Envoy.
pub(super) fn write_parameter(values: &impl Values, name: &str, out: &mut Vec<u8>) {
    let query = path(values, PathOf::OriginalOrCurrent).and_then(|path| split(path).1).unwrap_or_default();
    let value = query.split(|byte| *byte == b'&').find_map(|pair| {
        let at = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
        (decoded(pair.get(..at)?).eq(name.bytes())).then(|| pair.get(at + 1..).unwrap_or_default())
    });
    out.extend(decoded(value.unwrap_or_default()));
}

/// What is no valid escape stays as it is.
fn decoded(text: &[u8]) -> impl Iterator<Item = u8> + '_ {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (first, after) = rest.split_first()?;
        let digit = |at: usize| char::from(*after.get(at)?).to_digit(16);
        if *first == b'%'
            && let (Some(high), Some(low)) = (digit(0), digit(1))
        {
            rest = after.get(2..).unwrap_or_default();
            return u8::try_from(high * 16 + low).ok();
        }
        rest = after;
        Some(*first)
    })
}

pub(super) fn write_query(values: &impl Values, out: &mut Vec<u8>) {
    let query = path(values, PathOf::OriginalOrCurrent).and_then(|path| split(path).1);
    out.extend_from_slice(query.unwrap_or_default());
}

/// A random UUID (RFC 9562 §5.4), another one each time.
pub(super) fn write_unique_id(out: &mut Vec<u8>) {
    // The keys of a `RandomState` come from the system's random numbers once per thread, then count up; hashing spreads them.
    let word = || RandomState::new().build_hasher().finish();
    let (high, low) = (word(), word());
    let high = high & !0xf000 | 0x4000;
    let low = low & !(3 << 62) | 2 << 62;
    let text = format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff
    );
    out.extend_from_slice(text.as_bytes());
}
