use http::Method;

/// Of the registry of RFC 9110 §16.1.1 and of what came before it: those that Envoy takes without being told to.
const BEYOND: [&str; 25] = [
    "ACL",
    "BIND",
    "CHECKOUT",
    "COPY",
    "LINK",
    "LOCK",
    "M-SEARCH",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MOVE",
    "NOTIFY",
    "PROPFIND",
    "PROPPATCH",
    "PURGE",
    "REBIND",
    "REPORT",
    "SEARCH",
    "SOURCE",
    "SUBSCRIBE",
    "UNBIND",
    "UNLINK",
    "UNLOCK",
    "UNSUBSCRIBE",
];

/// Whether a method needs nobody's leave.
pub(in crate::http) fn is_registered(method: &Method) -> bool {
    match *method {
        Method::GET
        | Method::HEAD
        | Method::POST
        | Method::PUT
        | Method::DELETE
        | Method::CONNECT
        | Method::OPTIONS
        | Method::TRACE
        | Method::PATCH => true,
        _ => BEYOND.binary_search(&method.as_str()).is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_beyond_the_registry_are_known_for_what_they_are() {
        assert!(BEYOND.is_sorted());
        for (name, is_known) in [("GET", true), ("M-SEARCH", true), ("BREW", false), ("get", false), ("PRI", false)] {
            let method = Method::from_bytes(name.as_bytes()).expect("a token");
            assert_eq!(is_registered(&method), is_known, "{name}");
        }
    }
}
