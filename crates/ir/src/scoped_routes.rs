use std::sync::Arc;

use serde::Serialize;

use crate::RouteTable;

/// Route tables of which a key in the request chooses one (Envoy `ScopedRoutes`). A request without a key, or with one that
/// no scope has, has no route.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScopedRoutes {
    pub name: String,
    /// At least one.
    pub key: Vec<ScopeKeyPart>,
    pub scopes: ScopeSource,
}

impl ScopedRoutes {
    /// The scopes that are in it.
    pub fn inline(&self) -> &[Scope] {
        match &self.scopes {
            ScopeSource::Inline(scopes) => scopes,
            ScopeSource::Srds => &[],
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ScopeSource {
    Inline(Vec<Scope>),
    /// Those of `Config::scopes`.
    Srds,
}

/// A part of a header's first value. A request that lacks one has no key.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct ScopeKeyPart {
    /// Lower case.
    pub header: String,
    /// Between elements; empty: the value is one element.
    pub separator: String,
    pub element: ScopeElement,
}

#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ScopeElement {
    /// Counted from 0.
    At(u32),
    /// What follows `separator` in the first element with this key.
    Of { key: String, separator: String },
}

impl ScopeKeyPart {
    pub fn extract<'v>(&self, value: &'v str) -> Option<&'v str> {
        // Splitting by nothing would give single characters.
        let mut whole = std::iter::once(value).filter(|_| self.separator.is_empty());
        let mut elements = value.split(self.separator.as_str()).filter(|_| !self.separator.is_empty());
        let mut elements = whole.by_ref().chain(elements.by_ref());
        match &self.element {
            ScopeElement::At(at) => elements.nth(usize::try_from(*at).ok()?),
            ScopeElement::Of { key, separator } => elements.find_map(|element| {
                let (found, value) = element.split_once(separator.as_str()).unwrap_or((element, ""));
                (found == key).then_some(value)
            }),
        }
    }
}

/// A key and the routes of requests that have it (Envoy `ScopedRouteConfiguration`).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Scope {
    pub name: String,
    /// At least one part.
    pub key: Vec<String>,
    pub routes: ScopeRoutes,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ScopeRoutes {
    Inline(Arc<RouteTable>),
    Rds(String),
}

impl Scope {
    pub fn inline(&self) -> Option<&Arc<RouteTable>> {
        match &self.routes {
            ScopeRoutes::Inline(table) => Some(table),
            ScopeRoutes::Rds(_) => None,
        }
    }

    /// The table it names.
    pub fn route_table_name(&self) -> Option<&str> {
        match &self.routes {
            ScopeRoutes::Inline(_) => None,
            ScopeRoutes::Rds(name) => Some(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_headers_are_cut_out() {
        let part = |separator: &str, element| ScopeKeyPart { header: "x".into(), separator: separator.into(), element };
        let of = |key: &str| ScopeElement::Of { key: key.into(), separator: "=".into() };
        assert_eq!(part("", ScopeElement::At(0)).extract("a;b"), Some("a;b"));
        assert_eq!(part(";", ScopeElement::At(1)).extract("a;b"), Some("b"));
        assert_eq!(part(";", ScopeElement::At(2)).extract("a;b"), None);
        assert_eq!(part(";", of("b")).extract("a=1;b=2=3;b=4"), Some("2=3"));
        assert_eq!(part(";", of("b")).extract("a=1;b"), Some(""));
        assert_eq!(part(";", of("c")).extract("a=1;b"), None);
        assert_eq!(part("", of("a")).extract("a=1;b=2"), Some("1;b=2"));
    }
}
