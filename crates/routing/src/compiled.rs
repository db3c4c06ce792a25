use std::sync::Arc;

use leno_ir::{
    HostRewrite, Redirect, RedirectPath, RequireTls, Rewrite, Route, RouteAction, RouteMatch, RouteTable, VirtualHost,
};

use crate::domains::DomainIndex;
use crate::location::{redirect_location, split_port};
use crate::matcher::{is_connect_match, is_match};
use crate::paths::PathIndex;
use crate::request::{RequestView, split_path};
use crate::rewrite::CompiledRewrite;

/// A route table, indexed once for all workers.
#[derive(Debug)]
pub struct CompiledRoutes {
    table: Arc<RouteTable>,
    domains: DomainIndex,
    /// As in `table.virtual_hosts`.
    hosts: Vec<PreparedHost>,
    to_tls: Box<(Route, Prepared)>,
}

#[derive(Debug)]
struct PreparedHost {
    /// As in `routes`.
    routes: Vec<Prepared>,
    /// `None`: they are tried one after the other.
    paths: Option<PathIndex>,
}

#[derive(Debug)]
struct Prepared {
    name: Arc<str>,
    /// Of the path.
    rewrite: Option<CompiledRewrite>,
    /// From the path to the host.
    host: Option<CompiledRewrite>,
}

/// The position of what answers requests that came without TLS; no table is that long.
const TO_TLS: usize = usize::MAX;

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
    prepared: &'a Prepared,
}

impl CompiledRoutes {
    pub fn new(table: Arc<RouteTable>) -> Self {
        let hosts = table.virtual_hosts.iter().enumerate();
        let domains =
            DomainIndex::new(hosts.flat_map(|(at, host)| host.domains.iter().map(move |domain| (at, domain.as_str()))));
        let hosts = table.virtual_hosts.iter().map(PreparedHost::new).collect();
        Self { table, domains, hosts, to_tls: Box::new(to_tls()) }
    }

    pub fn table(&self) -> &Arc<RouteTable> {
        &self.table
    }

    /// The first route of the most specific virtual host that matches. `None`: 404, flag NR.
    ///
    /// `random` decides about routes with a `fraction`; give each request one value, and `pick_cluster` another.
    pub fn route(&self, request: &impl RequestView, random: u64) -> Option<Matched<'_>> {
        let authority = match &self.table.host_header {
            None => request.authority(),
            Some(header) => std::str::from_utf8(request.header(header)?).ok()?,
        };
        let authority = if self.table.ignore_port_in_host_matching { split_port(authority).0 } else { authority };
        let at = self.domains.find(authority)?;
        let virtual_host = self.table.virtual_hosts.get(at)?;
        if virtual_host.require_tls != RequireTls::None && must_use_tls(virtual_host.require_tls, request) {
            return self.at(RoutePosition { virtual_host: at, route: TO_TLS });
        }
        let host = self.hosts.get(at)?;
        let routes = &virtual_host.routes;
        let route_at = if request.method() == "CONNECT" {
            routes.iter().position(|route| is_connect_match(&route.matches, request, random))
        } else {
            let split = split_path(request.path());
            let matches =
                |at: &usize| routes.get(*at).is_some_and(|route| is_match(&route.matches, split, request, random));
            match &host.paths {
                Some(paths) => paths.candidates(split.0).find(matches),
                None => (0..routes.len()).find(matches),
            }
        }?;
        let (route, prepared) = (routes.get(route_at)?, host.routes.get(route_at)?);
        let position = RoutePosition { virtual_host: at, route: route_at };
        Some(Matched { virtual_host, route, position, prepared })
    }
}

impl CompiledRoutes {
    /// The route at a position that [`CompiledRoutes::route`] of this table gave.
    pub fn at(&self, position: RoutePosition) -> Option<Matched<'_>> {
        let virtual_host = self.table.virtual_hosts.get(position.virtual_host)?;
        if position.route == TO_TLS {
            let (route, prepared) = &*self.to_tls;
            return Some(Matched { virtual_host, route, position, prepared });
        }
        let route = virtual_host.routes.get(position.route)?;
        let prepared = self.hosts.get(position.virtual_host)?.routes.get(position.route)?;
        Some(Matched { virtual_host, route, position, prepared })
    }
}

fn must_use_tls(required: RequireTls, request: &impl RequestView) -> bool {
    let is_internal = || request.header("x-envoy-internal") == Some(b"true");
    request.scheme() != "https" && (required == RequireTls::All || !is_internal())
}

fn to_tls() -> (Route, Prepared) {
    let redirect = Redirect {
        scheme: Some("https".to_owned()),
        host: None,
        port: None,
        path: None,
        status: 301,
        strip_query: false,
    };
    let route = Route::new("", RouteMatch::any(), RouteAction::Redirect(redirect));
    let prepared = Prepared::new(&route);
    (route, prepared)
}

impl PreparedHost {
    fn new(host: &VirtualHost) -> Self {
        Self { routes: host.routes.iter().map(Prepared::new).collect(), paths: PathIndex::new(&host.routes) }
    }
}

impl Prepared {
    fn new(route: &Route) -> Self {
        let (mut rewrite, mut host) = (None, None);
        let regex = |pattern: &str, substitution: &str| {
            let (pattern, substitution) = (pattern.to_owned(), substitution.to_owned());
            CompiledRewrite::new(&Rewrite::Regex { pattern, substitution })
        };
        match &route.action {
            RouteAction::Forward(forward) => {
                rewrite = forward.rewrite.as_ref().and_then(CompiledRewrite::new);
                if let Some(HostRewrite::PathRegex { pattern, substitution }) = &forward.host_rewrite {
                    host = regex(pattern, substitution);
                }
            }
            RouteAction::Redirect(Redirect { path: Some(RedirectPath::Regex { pattern, substitution }), .. }) => {
                rewrite = regex(pattern, substitution);
            }
            RouteAction::Direct(_) | RouteAction::Redirect(_) => {}
        }
        Self { name: route.name.as_str().into(), rewrite, host }
    }
}

impl Matched<'_> {
    /// `route.name`, to be kept beyond the table's life; `None` when it is empty.
    pub fn route_name(&self) -> Option<Arc<str>> {
        (!self.prepared.name.is_empty()).then(|| self.prepared.name.clone())
    }

    /// The path to send upstream; `None`: as it came. Query and fragment are kept.
    pub fn rewritten_path(&self, path_and_query: &str) -> Option<String> {
        let rewrite = self.prepared.rewrite.as_ref()?;
        Some(rewrite.apply(&self.route.matches.path, path_and_query))
    }

    /// The host that the route's expression makes of the path.
    pub fn host_from_path(&self, path_and_query: &str) -> Option<String> {
        let path = crate::path_without_query(path_and_query);
        Some(self.prepared.host.as_ref()?.apply_to_path(&self.route.matches.path, path))
    }

    /// The `location` of a redirect that this route answers with.
    pub fn redirect_location(&self, redirect: &Redirect, request: &impl RequestView) -> String {
        redirect_location(redirect, &self.route.matches.path, self.prepared.rewrite.as_ref(), request)
    }
}
