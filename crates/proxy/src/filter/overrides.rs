use std::sync::Arc;

use leno_ir::{
    FilterOverride, FilterOverrides, Metadata, Route, RouteAction, RouteFilterConfig, RouteTable, VirtualHost,
    WeightedCluster,
};
use leno_routing::{CompiledRoutes, Matched, RequestView, RoutePosition};

use super::header_to_metadata::MetadataRules;
use super::local_rate_limit::LocalLimit;
use super::rate_limit::RouteLimit;
use crate::http::{HeaderFormats, Levels};
use crate::shared::SharedStates;

/// A route table as workers use it: indexed, with what it says about filters.
#[derive(Debug)]
pub(crate) struct RouteRules {
    pub(crate) routes: CompiledRoutes,
    pub(crate) formats: HeaderFormats,
    /// `None`: nothing.
    levels: Option<Box<TableLevel>>,
}

#[derive(Debug)]
struct TableLevel {
    table: Level,
    /// As in the table.
    hosts: Vec<HostLevel>,
}

#[derive(Debug)]
struct HostLevel {
    host: Level,
    routes: Vec<RouteLevel>,
}

#[derive(Debug)]
struct RouteLevel {
    route: Level,
    clusters: Vec<Level>,
}

/// By the name of the filter; so few that a scan is the fastest look-up.
#[derive(Debug)]
struct Level(Vec<(Box<str>, Said)>);

/// What one level says about one filter.
#[derive(Debug)]
enum Said {
    Config(RouteFilter),
    Disabled,
    Enabled,
}

/// A filter's configuration for a part of a route table.
#[derive(Debug)]
pub(crate) enum RouteFilter {
    Buffer(leno_ir::BufferOverride),
    Cors(leno_ir::CorsPolicy),
    Fault(Box<leno_ir::Fault>),
    Compressor(leno_ir::RouteCompressor),
    HeaderToMetadata(Arc<MetadataRules>),
    LocalRateLimit(Arc<LocalLimit>),
    RateLimit(Arc<RouteLimit>),
    /// `None`: no rules.
    Rbac(Option<Box<leno_ir::HttpRbac>>),
    StatefulSession(leno_ir::RouteSession),
}

/// The random numbers of one exchange, so that it gets the same route whenever it asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dice {
    pub(crate) route: u64,
    pub(crate) cluster: u64,
}

/// A route, and which of its clusters, of the table it was picked from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Picked {
    pub(crate) position: RoutePosition,
    /// `None`: the route does not forward, or no cluster has a weight.
    pub(crate) cluster: Option<usize>,
}

/// The route of an exchange, as its filters see it.
#[derive(Clone, Debug)]
pub(crate) struct RouteRef {
    rules: Arc<RouteRules>,
    picked: Picked,
}

impl RouteFilter {
    fn compile(config: &RouteFilterConfig, place: &str, states: &SharedStates) -> Self {
        match config {
            RouteFilterConfig::Buffer(said) => Self::Buffer(*said),
            RouteFilterConfig::Cors(policy) => Self::Cors(policy.clone()),
            RouteFilterConfig::Fault(fault) => Self::Fault(fault.clone()),
            RouteFilterConfig::Compressor(route) => Self::Compressor(*route),
            RouteFilterConfig::HeaderToMetadata(rules) => Self::HeaderToMetadata(Arc::new(MetadataRules::new(rules))),
            RouteFilterConfig::LocalRateLimit(limit) => {
                Self::LocalRateLimit(Arc::new(LocalLimit::new(limit, place, states)))
            }
            RouteFilterConfig::RateLimit(route) => Self::RateLimit(Arc::new(RouteLimit::new(route))),
            RouteFilterConfig::Rbac(rbac) => Self::Rbac(rbac.clone()),
            RouteFilterConfig::StatefulSession(session) => Self::StatefulSession(session.clone()),
        }
    }
}

impl RouteRules {
    /// `place` names the table among all of the configuration.
    pub(crate) fn new(table: Arc<RouteTable>, place: &str, states: &SharedStates) -> Self {
        let levels = says_something(&table).then(|| Box::new(TableLevel::new(&table, place, states)));
        let formats = HeaderFormats::new(&table);
        Self { routes: CompiledRoutes::new(table), formats, levels }
    }

    /// `None`: no route takes the request.
    pub(crate) fn pick(&self, request: &impl RequestView, dice: Dice) -> Option<Picked> {
        let matched = self.routes.route(request, dice.route)?;
        let cluster = match &matched.route.action {
            RouteAction::Forward(forward) => {
                let wanted = match forward.cluster_number_header.as_deref() {
                    None if forward.clusters_by_hash => request.hash(&forward.hash_policies),
                    header => header.and_then(|name| number(request, name)),
                };
                leno_routing::pick_cluster(&forward.clusters, wanted.unwrap_or(dice.cluster))
            }
            RouteAction::Direct(_) | RouteAction::Redirect(_) => None,
        };
        Some(Picked { position: matched.position, cluster })
    }

    /// What happens to the headers of requests that are forwarded.
    pub(crate) fn request_headers<'t>(&'t self, matched: Matched<'t>, cluster: &'t WeightedCluster) -> Levels<'t> {
        let table = self.routes.table();
        let levels = [
            &cluster.request_headers,
            &matched.route.request_headers,
            &matched.virtual_host.request_headers,
            &table.request_headers,
        ];
        Levels::new(levels, table.header_order, &self.formats)
    }

    /// Without a cluster: of what the route answers itself.
    pub(crate) fn response_headers<'t>(
        &'t self,
        matched: Matched<'t>,
        cluster: Option<&'t WeightedCluster>,
    ) -> Levels<'t> {
        let table = self.routes.table();
        let outer = [&matched.route.response_headers, &matched.virtual_host.response_headers, &table.response_headers];
        let levels = cluster.map(|cluster| &cluster.response_headers).into_iter().chain(outer);
        Levels::new(levels, table.header_order, &self.formats)
    }

    pub(crate) fn route_ref(self: &Arc<Self>, picked: Picked) -> RouteRef {
        RouteRef { rules: self.clone(), picked }
    }
}

fn number(request: &impl RequestView, header: &str) -> Option<u64> {
    std::str::from_utf8(request.header_values(header).next()?).ok()?.parse().ok()
}

fn says_something(table: &RouteTable) -> bool {
    let of_route = |route: &Route| {
        let clusters = match &route.action {
            RouteAction::Forward(forward) => forward.clusters.as_slice(),
            RouteAction::Direct(_) | RouteAction::Redirect(_) => &[],
        };
        !route.filters.is_empty() || clusters.iter().any(|cluster| !cluster.filters.is_empty())
    };
    let of_host = |host: &VirtualHost| !host.filters.is_empty() || host.routes.iter().any(of_route);
    !table.filters.is_empty() || table.virtual_hosts.iter().any(of_host)
}

impl TableLevel {
    fn new(table: &RouteTable, place: &str, states: &SharedStates) -> Self {
        let hosts = table.virtual_hosts.iter().enumerate();
        let hosts = hosts.map(|(at, host)| HostLevel::new(host, &format!("{place}.virtual_hosts[{at}]"), states));
        Self { table: Level::new(&table.filters, place, states), hosts: hosts.collect() }
    }
}

impl HostLevel {
    fn new(host: &VirtualHost, place: &str, states: &SharedStates) -> Self {
        let routes = host.routes.iter().enumerate();
        let routes = routes.map(|(at, route)| RouteLevel::new(route, &format!("{place}.routes[{at}]"), states));
        Self { host: Level::new(&host.filters, place, states), routes: routes.collect() }
    }
}

impl RouteLevel {
    fn new(route: &Route, place: &str, states: &SharedStates) -> Self {
        let clusters = match &route.action {
            RouteAction::Forward(forward) => forward.clusters.as_slice(),
            RouteAction::Direct(_) | RouteAction::Redirect(_) => &[],
        };
        let clusters = clusters.iter().enumerate();
        let clusters =
            clusters.map(|(at, cluster)| Level::new(&cluster.filters, &format!("{place}.clusters[{at}]"), states));
        Self { clusters: clusters.collect(), route: Level::new(&route.filters, place, states) }
    }
}

impl Level {
    fn new(overrides: &FilterOverrides, place: &str, states: &SharedStates) -> Self {
        let compile = |(name, said): (&String, &FilterOverride)| {
            let said = match said {
                FilterOverride::Config(config) => {
                    Said::Config(RouteFilter::compile(config, &format!("{place}.{name}"), states))
                }
                FilterOverride::Disabled => Said::Disabled,
                FilterOverride::Enabled => Said::Enabled,
            };
            (name.as_str().into(), said)
        };
        Self(overrides.iter().map(compile).collect())
    }

    fn get(&self, filter: &str) -> Option<&Said> {
        self.0.iter().find(|(name, _)| **name == *filter).map(|(_, said)| said)
    }
}

impl RouteRef {
    pub(crate) fn matched(&self) -> Option<Matched<'_>> {
        self.rules.routes.at(self.picked.position)
    }

    pub(crate) fn picked(&self) -> Picked {
        self.picked
    }

    pub(crate) fn metadata(&self) -> Option<&Metadata> {
        self.matched().map(|matched| &*matched.route.metadata)
    }

    /// Whether requests are forwarded, rather than answered by the route itself.
    pub(crate) fn forwards(&self) -> bool {
        self.matched().is_some_and(|matched| matches!(matched.route.action, RouteAction::Forward(_)))
    }

    /// The cluster it forwards to.
    pub(crate) fn cluster(&self) -> Option<&WeightedCluster> {
        match &self.matched()?.route.action {
            RouteAction::Forward(forward) => forward.clusters.get(self.picked.cluster?),
            RouteAction::Direct(_) | RouteAction::Redirect(_) => None,
        }
    }

    /// What it does to the headers of responses, in order; nothing when it does not forward.
    pub(crate) fn response_headers(&self) -> Option<Levels<'_>> {
        Some(self.rules.response_headers(self.matched()?, Some(self.cluster()?)))
    }

    /// Whether the filter of this name is on; `None` when the table does not say.
    pub(super) fn is_on(&self, filter: &str) -> Option<bool> {
        self.said(filter).next().map(|said| !matches!(said, Said::Disabled))
    }

    /// What is said about the filter of this name, the most specific first.
    pub(crate) fn configs(&self, filter: &str) -> impl Iterator<Item = &RouteFilter> {
        self.said(filter).filter_map(|said| match said {
            Said::Config(config) => Some(config),
            Said::Disabled | Said::Enabled => None,
        })
    }

    fn said(&self, filter: &str) -> impl Iterator<Item = &Said> {
        let levels = self.rules.levels.as_deref();
        let host = levels.and_then(|levels| levels.hosts.get(self.picked.position.virtual_host));
        let route = host.and_then(|host| host.routes.get(self.picked.position.route));
        let cluster = route.and_then(|route| route.clusters.get(self.picked.cluster?));
        let all =
            [cluster, route.map(|route| &route.route), host.map(|host| &host.host), levels.map(|levels| &levels.table)];
        let found = all.map(|level| level.and_then(|level| level.get(filter)));
        found.into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use leno_ir::{CorsPolicy, Forward, RouteMatch};
    use leno_routing::HeaderView;

    struct Get;

    impl RequestView for Get {
        fn method(&self) -> &str {
            "GET"
        }
        fn path(&self) -> &str {
            "/"
        }
        fn authority(&self) -> &str {
            "a"
        }
        fn scheme(&self) -> &str {
            "http"
        }
    }

    impl HeaderView for Get {
        fn pseudo_header(&self, _name: &str) -> Option<&str> {
            None
        }

        fn header_values<'a>(&'a self, _name: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a {
            std::iter::empty()
        }
    }

    fn cors(max_age: &str) -> FilterOverride {
        FilterOverride::Config(RouteFilterConfig::Cors(CorsPolicy { max_age: max_age.into(), ..Default::default() }))
    }

    fn overrides(all: &[(&str, FilterOverride)]) -> FilterOverrides {
        all.iter().map(|(name, said)| ((*name).to_owned(), said.clone())).collect()
    }

    #[test]
    fn the_most_specific_level_that_says_something_wins() {
        let mut forward = Forward::to("c");
        forward.clusters[0].filters = overrides(&[("a", FilterOverride::Disabled)]);
        let mut route = Route::new("r", RouteMatch::any(), RouteAction::Forward(Box::new(forward)));
        route.filters = overrides(&[("a", cors("1")), ("b", FilterOverride::Enabled)]);
        let host = VirtualHost {
            domains: vec!["*".into()],
            routes: vec![route],
            filters: overrides(&[("a", cors("2")), ("b", FilterOverride::Disabled)]),
            ..VirtualHost::default()
        };
        let filters = overrides(&[("b", cors("3")), ("c", FilterOverride::Disabled)]);
        let table = RouteTable { filters, ..RouteTable::new("t", vec![host]) };
        let rules = Arc::new(RouteRules::new(Arc::new(table), "t", &SharedStates::default()));
        let route = rules.route_ref(rules.pick(&Get, Dice { route: 0, cluster: 0 }).expect("a route"));
        assert_eq!(["a", "b", "c", "d"].map(|name| route.is_on(name)), [Some(false), Some(true), Some(false), None]);
        let ages = |name: &str| {
            let age = |config: &RouteFilter| match config {
                RouteFilter::Cors(policy) => policy.max_age.clone(),
                _ => String::new(),
            };
            route.configs(name).map(age).collect::<Vec<_>>()
        };
        assert_eq!((ages("a"), ages("b"), ages("c")), (vec!["1".into(), "2".into()], vec!["3".into()], vec![]));
        assert!(route.forwards() && route.cluster().is_some_and(|cluster| cluster.name == "c"));
    }
}
