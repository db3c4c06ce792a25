use std::sync::Arc;

use leno_ir::{Scope, ScopeKeyPart, ScopeRoutes, ScopeSource, ScopedRoutes};
use rustc_hash::FxHashMap;

use super::head::RequestHead;
use crate::exchange::HeaderLookup as _;
use crate::filter::RouteRules;
use crate::shared::SharedStates;
use crate::worker::Worker;

/// Between the parts of a key: no header has it.
const BETWEEN: char = '\0';

/// The route tables of a connection manager, of which a key in the request chooses one.
#[derive(Debug)]
pub(crate) struct Scopes {
    parts: Vec<ScopeKeyPart>,
    /// `None`: those of SRDS.
    own: Option<ScopeIndex>,
}

/// Tables by key.
#[derive(Debug, Default)]
pub(crate) struct ScopeIndex(FxHashMap<String, ScopeTable>);

#[derive(Clone, Debug)]
enum ScopeTable {
    Inline(Arc<RouteRules>),
    Rds(String),
}

impl ScopeIndex {
    pub(crate) fn new<'s>(scopes: impl Iterator<Item = &'s Scope>, place: &str, states: &SharedStates) -> Self {
        let table = |scope: &Scope| match &scope.routes {
            ScopeRoutes::Inline(table) => {
                let place = format!("{place}.{}", scope.name);
                ScopeTable::Inline(Arc::new(RouteRules::new(table.clone(), &place, states)))
            }
            ScopeRoutes::Rds(name) => ScopeTable::Rds(name.clone()),
        };
        let key = |scope: &Scope| scope.key.join(BETWEEN.encode_utf8(&mut [0; 4]));
        Self(scopes.map(|scope| (key(scope), table(scope))).collect())
    }
}

impl Scopes {
    pub(crate) fn new(config: &ScopedRoutes, place: &str, states: &SharedStates) -> Self {
        let own = match &config.scopes {
            ScopeSource::Inline(scopes) => Some(ScopeIndex::new(scopes.iter(), place, states)),
            ScopeSource::Srds => None,
        };
        Self { parts: config.key.clone(), own }
    }

    /// `None`: the request has no key, or nobody has it.
    pub(crate) fn table(&self, request: &RequestHead, worker: &Worker) -> Option<Arc<RouteRules>> {
        let mut key = String::new();
        for (number, part) in self.parts.iter().enumerate() {
            if number > 0 {
                key.push(BETWEEN);
            }
            let value = std::str::from_utf8(request.header(&part.header)?).ok()?;
            key.push_str(part.extract(value)?);
        }
        let table = match &self.own {
            Some(own) => own.0.get(&key).cloned(),
            None => worker.scopes().0.get(&key).cloned(),
        };
        match table? {
            ScopeTable::Inline(table) => Some(table),
            ScopeTable::Rds(name) => worker.route_table(&name),
        }
    }
}
