use std::sync::Arc;

use leno_ir::{Redirect, Route, RouteAction, RouteTable, VirtualHost};

use crate::domains::DomainIndex;
use crate::location::{redirect_location, split_port};
use crate::matcher::is_match;
use crate::request::RequestView;
use crate::rewrite::CompiledRewrite;

/// A route table, indexed once for all workers.
#[derive(Debug)]
pub struct CompiledRoutes {
    table: Arc<RouteTable>,
    domains: DomainIndex,
    /// As in `table.virtual_hosts`, and there as in `routes`.
    prepared: Vec<Vec<Prepared>>,
}

#[derive(Debug)]
struct Prepared {
    name: Arc<str>,
    rewrite: Option<CompiledRewrite>,
}

/// Where a route stands in its table: of the virtual hosts, then of its routes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RoutePosition {
    pub virtual_host: usize,
    pub route: usize,
}

/// The route that takes a request.
#[derive(Clone, Copy, Debug)]
pub struct Matched<'a> {
    pub virtual_host: &'a VirtualHost,
    pub route: &'a Route,
    pub position: RoutePosition,
    name: &'a Arc<str>,
    rewrite: Option<&'a CompiledRewrite>,
}

impl CompiledRoutes {
    pub fn new(table: Arc<RouteTable>) -> Self {
        let hosts = table.virtual_hosts.iter().enumerate();
        let domains =
            DomainIndex::new(hosts.flat_map(|(at, host)| host.domains.iter().map(move |domain| (at, domain.as_str()))));
        let prepared = table.virtual_hosts.iter().map(|host| host.routes.iter().map(Prepared::new).collect()).collect();
        Self { table, domains, prepared }
    }

    pub fn table(&self) -> &Arc<RouteTable> {
        &self.table
    }

    /// The first route of the most specific virtual host that matches. `None`: 404, flag NR.
    ///
    /// `random` decides about routes with a `fraction`; give each request one value, and `pick_cluster` another.
    pub fn route(&self, request: &impl RequestView, random: u64) -> Option<Matched<'_>> {
        let authority = request.authority();
        let authority = if self.table.ignore_port_in_host_matching { split_port(authority).0 } else { authority };
        let at = self.domains.find(authority)?;
        let virtual_host = self.table.virtual_hosts.get(at)?;
        let prepared = self.prepared.get(at)?;
        let mut routes = virtual_host.routes.iter().zip(prepared).enumerate();
        let (route_at, (route, prepared)) = routes.find(|(_, (route, _))| is_match(&route.matches, request, random))?;
        let position = RoutePosition { virtual_host: at, route: route_at };
        Some(Matched { virtual_host, route, position, name: &prepared.name, rewrite: prepared.rewrite.as_ref() })
    }
}

impl CompiledRoutes {
    /// The route at a position that [`CompiledRoutes::route`] of this table gave.
    pub fn at(&self, position: RoutePosition) -> Option<Matched<'_>> {
        let virtual_host = self.table.virtual_hosts.get(position.virtual_host)?;
        let route = virtual_host.routes.get(position.route)?;
        let prepared = self.prepared.get(position.virtual_host)?.get(position.route)?;
        Some(Matched { virtual_host, route, position, name: &prepared.name, rewrite: prepared.rewrite.as_ref() })
    }
}

impl Prepared {
    fn new(route: &Route) -> Self {
        let rewrite = match &route.action {
            RouteAction::Forward(forward) => forward.rewrite.as_ref().and_then(CompiledRewrite::new),
            RouteAction::Direct(_) | RouteAction::Redirect(_) => None,
        };
        Self { name: route.name.as_str().into(), rewrite }
    }
}

impl Matched<'_> {
    /// `route.name`, to be kept beyond the table's life; `None` when it is empty.
    pub fn route_name(&self) -> Option<Arc<str>> {
        (!self.name.is_empty()).then(|| self.name.clone())
    }

    /// The path to send upstream; `None`: as it came. Query and fragment are kept.
    pub fn rewritten_path(&self, path_and_query: &str) -> Option<String> {
        self.rewrite.map(|rewrite| rewrite.apply(&self.route.matches.path, path_and_query))
    }

    /// The `location` of a redirect that this route answers with.
    pub fn redirect_location(&self, redirect: &Redirect, request: &impl RequestView) -> String {
        redirect_location(redirect, &self.route.matches.path, request)
    }
}
