use leno_ir::{HeaderAppend, HeaderMatch, HeaderMatchKind, HeaderOps, HeaderValue, StringMatch};
use leno_model::api::{HeaderModifier, HeaderOperations};

/// Istio: `set` replaces, `add` appends. The authority is not a header here (see [`authority`]).
pub(crate) fn istio(operations: &HeaderOperations) -> HeaderOps {
    let set = operations.set.iter().filter(|(name, _)| !is_authority(name));
    let set = set.map(|(name, text)| value(name, text, HeaderAppend::OverwriteOrAdd));
    let add = operations.add.iter().map(|(name, text)| value(name, text, HeaderAppend::AppendOrAdd));
    HeaderOps { remove: lower(&operations.remove), add: set.chain(add).collect() }
}

/// What `set` makes of the authority: in Istio setting `host` rewrites it.
pub(crate) fn authority(operations: &HeaderOperations) -> Option<String> {
    operations.set.iter().find(|(name, _)| is_authority(name)).map(|(_, text)| text.clone())
}

fn is_authority(name: &str) -> bool {
    name.eq_ignore_ascii_case("host") || name.eq_ignore_ascii_case(":authority")
}

/// Adds the operations of a Gateway API filter.
pub(crate) fn gateway(modifier: &HeaderModifier, into: &mut HeaderOps) {
    into.remove.extend(lower(&modifier.remove));
    into.add.extend(modifier.set.iter().map(|pair| literal(&pair.name, &pair.value, HeaderAppend::OverwriteOrAdd)));
    into.add.extend(modifier.add.iter().map(|pair| literal(&pair.name, &pair.value, HeaderAppend::AppendOrAdd)));
}

/// Gateway API has no operators: a percent sign is one.
fn literal(name: &str, text: &str, append: HeaderAppend) -> HeaderValue {
    value(name, &text.replace('%', "%%"), append)
}

/// Holds where the header is there and has such a value.
pub(crate) fn header(name: String, value: StringMatch) -> HeaderMatch {
    HeaderMatch { name, kind: HeaderMatchKind::Value(value), invert: false, treat_missing_as_empty: false }
}

fn value(name: &str, value: &str, append: HeaderAppend) -> HeaderValue {
    HeaderValue::new(name.to_ascii_lowercase(), value, append)
}

fn lower(names: &[String]) -> Vec<String> {
    names.iter().map(|name| name.to_ascii_lowercase()).collect()
}
