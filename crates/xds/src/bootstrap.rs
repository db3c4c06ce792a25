//! A static Envoy bootstrap as a configuration: what `leno proxy --bootstrap` serves without a control plane.
//!
//! Opens no sockets, and no files: who can look is asked about every part that was read. Everything the bootstrap asks for
//! and Leno does not have is refused.
//!
//! Shape       text -> [`tree`] (values with lines) -> [`reader`] (wire format; names and types) -> `codec` -> `ir::Config`
//! Errors      all of them, each with line and field; nothing is served of a bootstrap that has one
//! Cost        the descriptors of Envoy's API once; then nine tenths are the reading of YAML, which is why JSON takes another way
//! Source      Envoy bootstrap.proto v3, 1.40; proto3 JSON mapping

mod fields;
mod leaf;
mod reader;
pub(crate) mod rules;
mod runtime;
mod secret_file;
mod secrets;
mod tree;
mod wire;
mod yaml;

pub(crate) use self::reader::{Path, Reader, pool};
pub use self::secret_file::{SecretFileError, read_secret_file};

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use leno_ir::{
    Cluster, Config, Discovery, FilterChain, HttpConnectionManager, HttpFilterConfig, Listener, NetworkFilter,
    Overload, RouteAction, RouteTable,
};

use leno_names::Locality;

use self::tree::Tree;
use self::wire::Wire;
use crate::codec::{self, DecodeError};
use crate::tables::table_problems;

const BOOTSTRAP: &str = "envoy.config.bootstrap.v3.Bootstrap";
const CLUSTERS: &str = "static_resources.clusters";
const SECRETS: &str = "static_resources.secrets";
const LISTENERS: &str = "static_resources.listeners";

/// What a bootstrap says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bootstrap {
    /// `node.id`; empty unless given.
    pub node_id: String,
    /// `node.cluster`; empty unless given.
    pub node_cluster: String,
    /// `cluster_manager.local_cluster_name` and `node.locality`; `None` unless both are given.
    pub local_zone: Option<(String, Locality)>,
    /// Most connections of listeners, by name, as the runtime says; a listener that is not here may have any number.
    pub connection_limits: BTreeMap<String, u64>,
    /// `None`: no admin interface.
    pub admin: Option<SocketAddr>,
    /// `None`: nothing is shed.
    pub overload: Option<Overload>,
    pub config: Config,
    /// Values of static layers as Envoy's admin interface lists them; `None`: there are no layers.
    pub runtime: Option<serde_json::Value>,
    /// All of it in the wire format, for who wants to see it.
    pub message: Vec<u8>,
}

/// A part of a bootstrap that cannot be served.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{line}: {}{reason}", if field.is_empty() { String::new() } else { format!("{field}: ") })]
pub struct BootstrapProblem {
    /// From 1.
    pub line: usize,
    /// `static_resources.listeners[0].address`, spelt as in Envoy's API; empty for the whole file.
    pub field: String,
    pub reason: String,
}

/// A part that could be read; what it names outside the file is not looked at here.
#[derive(Clone, Copy, Debug)]
pub enum BootstrapPart<'a> {
    Cluster(&'a Cluster),
    Listener(&'a Listener),
}

/// Reads YAML or JSON, in either spelling of the names.
///
/// # Errors
/// Everything that is wrong or not supported, in the order of the file.
pub fn read_bootstrap(text: &str) -> Result<Bootstrap, Vec<BootstrapProblem>> {
    read_bootstrap_checked(text, &|_| Vec::new())
}

/// The same; `check` says what else is wrong with a part, in files for example.
///
/// # Errors
/// As [`read_bootstrap`].
pub fn read_bootstrap_checked(
    text: &str,
    check: &dyn Fn(BootstrapPart<'_>) -> Vec<DecodeError>,
) -> Result<Bootstrap, Vec<BootstrapProblem>> {
    // Only what has something wrong in it is read for its lines.
    if let Some(tree) = Tree::without_lines(text)
        && let Ok(bootstrap) = read_tree(tree, check)
    {
        return Ok(bootstrap);
    }
    let tree =
        yaml::read(text).map_err(|(line, reason)| vec![BootstrapProblem { line, field: String::new(), reason }])?;
    read_tree(tree, check)
}

fn read_tree(
    mut tree: Tree,
    check: &dyn Fn(BootstrapPart<'_>) -> Vec<DecodeError>,
) -> Result<Bootstrap, Vec<BootstrapProblem>> {
    let runtime = runtime::page(&tree);
    let (connection_limits, of_runtime) = runtime::apply(&mut tree);
    let tree = &tree;
    let mut reader = Reader::new();
    let message = reader.read(BOOTSTRAP, tree);
    let problems = reader.problems.into_iter().chain(of_runtime).map(|(line, field, reason)| BootstrapProblem {
        line,
        field,
        reason,
    });
    let clusters = tree.at(CLUSTERS).map(Tree::items).unwrap_or_default();
    let clusters = clusters.iter().filter_map(|cluster| cluster.at("name")?.text()).collect();
    let mut build = Build {
        tree,
        check,
        clusters,
        secrets: BTreeMap::new(),
        problems: problems.collect(),
        bootstrap: Bootstrap::default(),
    };
    build.read(&message);
    build.bootstrap.runtime = runtime;
    build.bootstrap.connection_limits = connection_limits;
    build.bootstrap.message = message.bytes().to_vec();
    let Build { mut problems, bootstrap, .. } = build;
    problems.sort_by_key(|problem| problem.line);
    if problems.is_empty() { Ok(bootstrap) } else { Err(problems) }
}

struct Build<'a> {
    tree: &'a Tree,
    check: &'a dyn Fn(BootstrapPart<'_>) -> Vec<DecodeError>,
    secrets: BTreeMap<String, leno_ir::Secret>,
    /// Their names, also of those that were refused.
    clusters: BTreeSet<&'a str>,
    problems: Vec<BootstrapProblem>,
    bootstrap: Bootstrap,
}

impl Build<'_> {
    fn read(&mut self, message: &Wire) {
        let check = self.check;
        if let Some(node) = message.part("node") {
            self.bootstrap.node_id = node.text("id");
            self.bootstrap.node_cluster = node.text("cluster");
            let local = message.part("cluster_manager").map(|manager| manager.text("local_cluster_name"));
            if let Some(name) = local.filter(|name| !name.is_empty()) {
                if !self.clusters.contains(name.as_str()) {
                    self.report("cluster_manager.local_cluster_name", format!("there is no cluster {name}"));
                }
                let locality = node.part("locality");
                let text = |field| locality.as_ref().map(|locality| locality.text(field)).unwrap_or_default();
                let locality = Locality { region: text("region"), zone: text("zone"), sub_zone: text("sub_zone") };
                self.bootstrap.local_zone = Some((name, locality));
            }
        }
        if let Some(admin) = message.part("admin") {
            self.bootstrap.admin = self.decode(&admin, "admin", codec::decode_admin).flatten();
        }
        if let Some(overload) = message.part("overload_manager") {
            self.bootstrap.overload = self.decode(&overload, "overload_manager", codec::decode_overload);
        }
        let Some(resources) = message.part("static_resources") else {
            return self.report("static_resources", "is missing: there would be nothing to serve");
        };
        for (index, secret) in resources.parts("secrets").iter().enumerate() {
            let path = format!("{SECRETS}[{index}]");
            if let Some((name, secret)) = self.decode(secret, &path, codec::decode_secret)
                && self.secrets.insert(name.clone(), secret).is_some()
            {
                self.report(&format!("{path}.name"), format!("another secret is called {name}"));
            }
        }
        for (index, cluster) in resources.parts("clusters").iter().enumerate() {
            let path = format!("{CLUSTERS}[{index}]");
            if let Some(mut cluster) = self.decode(cluster, &path, codec::decode_cluster) {
                let found = secrets::resolve_cluster(&mut cluster, &self.secrets);
                self.report_all(&path, found, || check(BootstrapPart::Cluster(&cluster)));
                self.add_cluster(cluster, &path);
            }
        }
        let mut listeners = Vec::new();
        for (index, listener) in resources.parts("listeners").iter().enumerate() {
            let path = format!("{LISTENERS}[{index}]");
            if let Some(mut listener) = self.decode(listener, &path, codec::decode_listener) {
                let found = secrets::resolve_listener(&mut listener, &self.secrets);
                self.report_all(&path, found, || check(BootstrapPart::Listener(&listener)));
                self.add_listener(listener.clone(), &path);
                listeners.push((listener, path));
            }
        }
        for (listener, path) in &listeners {
            self.check_clusters(listener, path);
        }
    }

    /// Nothing when it was reported already what is wrong with it.
    fn decode<T>(&mut self, message: &Wire, path: &str, decode: impl Fn(&[u8]) -> Result<T, DecodeError>) -> Option<T> {
        if self.problems.iter().any(|problem| is_within(&problem.field, path)) {
            return None;
        }
        match decode(message.bytes()) {
            Ok(value) => Some(value),
            Err(error) => {
                let field = if error.field.is_empty() { path.to_owned() } else { format!("{path}.{}", error.field) };
                self.report(&field, error.reason);
                None
            }
        }
    }

    fn add_cluster(&mut self, cluster: Cluster, path: &str) {
        if cluster.name.is_empty() {
            return self.report(path, "has no name");
        }
        if self.bootstrap.config.clusters.contains_key(&cluster.name) {
            return self.report(&format!("{path}.name"), format!("another cluster is called {}", cluster.name));
        }
        if let Discovery::Eds { .. } = cluster.discovery {
            return self.report(&format!("{path}.type"), "EDS needs a control plane, and a static bootstrap has none");
        }
        self.bootstrap.config.clusters.insert(cluster.name.clone(), Arc::new(cluster));
    }

    fn add_listener(&mut self, mut listener: Listener, path: &str) {
        if listener.name.is_empty() {
            // Envoy makes a random one.
            listener.name = format!("listener_{}", listener.address);
        }
        if listener.filter_chains.is_empty() && listener.default_filter_chain.is_none() {
            self.report(&format!("{path}.filter_chains"), "is missing: connections would have nowhere to go");
        }
        if self.bootstrap.config.listeners.contains_key(&listener.name) {
            return self.report(&format!("{path}.name"), format!("another listener is called {}", listener.name));
        }
        self.bootstrap.config.listeners.insert(listener.name.clone(), Arc::new(listener));
    }

    /// What is shared by proxies needs to be told which they are.
    fn check_local_cluster(&mut self, manager: &HttpConnectionManager, path: &str) {
        if self.bootstrap.local_zone.is_some() {
            return;
        }
        let is_shared = |config: &HttpFilterConfig| matches!(config, HttpFilterConfig::LocalRateLimit(limit) if limit.shared_by_cluster);
        for (index, _) in manager.filters.iter().enumerate().filter(|(_, filter)| is_shared(&filter.config)) {
            let field = format!("{path}.http_filters[{index}].typed_config.local_cluster_rate_limit");
            self.report(&field, "needs cluster_manager.local_cluster_name");
        }
    }

    /// As Envoy, which starts with no route to a cluster that is not there, unless it is told not to look.
    fn check_clusters(&mut self, listener: &Listener, path: &str) {
        let chains = listener.filter_chains.iter().enumerate();
        let chains = chains.map(|(index, chain)| (chain, format!("{path}.filter_chains[{index}]")));
        let default = listener.default_filter_chain.iter();
        let default = default.map(|chain| (chain, format!("{path}.default_filter_chain")));
        for (FilterChain { filter, connection_filters, .. }, path) in chains.chain(default) {
            let path = format!("{path}.filters[{}].typed_config", connection_filters.len());
            if let NetworkFilter::Http(manager) = filter {
                self.check_local_cluster(manager, &path);
            }
            let logs = match filter {
                NetworkFilter::Http(manager) => &manager.access_log,
                NetworkFilter::Tcp(proxy) => &proxy.access_log,
            };
            for (index, service) in logs.iter().enumerate().filter_map(|(at, log)| Some((at, log.sink.service()?))) {
                self.check_cluster(&service.cluster, &format!("{path}.access_log[{index}].typed_config"));
            }
            match filter {
                NetworkFilter::Http(manager) => {
                    for (field, table) in manager.routes.inline() {
                        self.check_routes(table, &format!("{path}.{field}"));
                    }
                }
                NetworkFilter::Tcp(proxy) => {
                    proxy.clusters.iter().for_each(|cluster| self.check_cluster(&cluster.name, &path));
                }
            }
        }
    }

    fn check_routes(&mut self, table: &RouteTable, path: &str) {
        let validate = self.tree.at(&format!("{path}.validate_clusters")).map(Tree::to_json);
        let may_be_missing = validate == Some(false.into());
        for DecodeError { field, reason } in table_problems(table) {
            self.report(&format!("{path}.{field}"), reason);
        }
        for (host_index, host) in table.virtual_hosts.iter().enumerate() {
            for (index, route) in host.routes.iter().enumerate() {
                let RouteAction::Forward(forward) = &route.action else { continue };
                let path = format!("{path}.virtual_hosts[{host_index}].routes[{index}].route");
                let mirrors = forward.mirrors.iter().map(|mirror| &mirror.cluster);
                let clusters = forward.clusters.iter().map(|cluster| &cluster.name);
                // Those that a header names are known only by then.
                let names = clusters.chain(mirrors).filter(|name| !name.is_empty());
                names.filter(|_| !may_be_missing).for_each(|name| self.check_cluster(name, &path));
            }
        }
    }

    fn check_cluster(&mut self, name: &str, path: &str) {
        if !self.clusters.contains(name) {
            self.report(path, format!("there is no cluster {name}"));
        }
    }

    /// What was found; when that is nothing, what `look` finds.
    fn report_all(&mut self, path: &str, found: Vec<DecodeError>, look: impl Fn() -> Vec<DecodeError>) {
        let found = if found.is_empty() { look() } else { found };
        for DecodeError { field, reason } in found {
            self.report(&format!("{path}.{field}"), reason);
        }
    }

    fn report(&mut self, field: &str, reason: impl Into<String>) {
        let line = self.tree.line_of(field);
        self.problems.push(BootstrapProblem { line, field: field.to_owned(), reason: reason.into() });
    }
}

fn is_within(field: &str, path: &str) -> bool {
    field.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

#[cfg(test)]
mod tests;
