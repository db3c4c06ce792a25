use std::cell::RefCell;

use http::HeaderName;
use rustc_hash::FxHashMap;

/// Names kept per thread. Chosen: more than a mesh uses; whoever sends many others pays for them alone.
const MOST: usize = 512;

thread_local! {
    static NAMES: RefCell<FxHashMap<Box<[u8]>, HeaderName>> = RefCell::default();
}

/// The name in lower case, without an allocation for one that was seen before.
pub(super) fn lookup(name: &[u8]) -> Option<HeaderName> {
    NAMES.with_borrow_mut(|names| {
        if let Some(known) = names.get(name) {
            return Some(known.clone());
        }
        let parsed = HeaderName::from_bytes(name).ok()?;
        if names.len() < MOST {
            names.insert(name.into(), parsed.clone());
        }
        Some(parsed)
    })
}

/// Whether the values of a header are seldom the same twice. They would only push others out of the peer's table, and `h2`
/// compares a new one with all of its name that are in there (RFC 7541 §2.3.2, §6.2.3).
pub(super) fn is_volatile(lower_case_name: &str) -> bool {
    matches!(
        lower_case_name,
        "b3" | "grpc-timeout"
            | "traceparent"
            | "tracestate"
            | "x-b3-parentspanid"
            | "x-b3-spanid"
            | "x-b3-traceid"
            | "x-envoy-upstream-service-time"
            | "x-request-id"
    )
}
