use std::sync::Arc;

use leno_ir::{Config, Resources};

use super::{Rejection, ResourceType};
use crate::check;
use crate::tls::TlsContexts;

/// The configuration with what can be used: in the place of a cluster or route table that cannot its last good version, or
/// nothing.
pub(super) fn usable(config: Arc<Config>, running: &Config, contexts: &TlsContexts) -> (Arc<Config>, Vec<Rejection>) {
    let clusters = wrong(&config.clusters, |_, cluster| {
        let problems = check::cluster_problems(cluster, contexts);
        (!problems.is_empty()).then(|| check::describe(&problems))
    });
    let tables = wrong(&config.route_tables, |name, table| {
        // What runs was looked at before.
        let is_running = running.route_tables.get(name).is_some_and(|running| Arc::ptr_eq(running, table));
        if is_running { None } else { check::table_problem(table) }
    });
    let scopes = wrong(&config.scopes, |_, scope| scope.inline().and_then(|table| check::table_problem(table)));
    if clusters.is_empty() && tables.is_empty() && scopes.is_empty() {
        return (config, Vec::new());
    }
    let mut usable = Config::clone(&config);
    let mut rejections = Vec::with_capacity(clusters.len() + tables.len());
    for (name, reason) in clusters {
        restore(&mut usable.clusters, &running.clusters, &name);
        rejections.push(Rejection { resource_type: ResourceType::Cluster, name, reason });
    }
    for (name, reason) in tables {
        restore(&mut usable.route_tables, &running.route_tables, &name);
        rejections.push(Rejection { resource_type: ResourceType::RouteTable, name, reason });
    }
    for (name, reason) in scopes {
        restore(&mut usable.scopes, &running.scopes, &name);
        rejections.push(Rejection { resource_type: ResourceType::Scope, name, reason });
    }
    (Arc::new(usable), rejections)
}

/// Names and reasons.
fn wrong<T>(all: &Resources<T>, problem: impl Fn(&str, &Arc<T>) -> Option<String>) -> Vec<(String, String)> {
    all.iter().filter_map(|(name, value)| Some((name.to_owned(), problem(name, value)?))).collect()
}

fn restore<T>(all: &mut Resources<T>, running: &Resources<T>, name: &str) {
    match running.get(name) {
        Some(last_good) => all.insert(name, last_good.clone()),
        None => all.remove(name),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use leno_ir::{HeaderAppend, HeaderValue, RouteTable};

    fn config(value: &str) -> Config {
        let mut table = RouteTable::new("t", Vec::new());
        table.request_headers.add.push(HeaderValue::new("x-a", value, HeaderAppend::AppendOrAdd));
        let mut config = Config::default();
        config.route_tables.insert("t".to_owned(), Arc::new(table));
        config
    }

    #[test]
    fn a_table_with_a_wrong_operator_leaves_the_last_good_one() {
        let (good, wrong, contexts) = (config("%PROTOCOL%"), config("%NO_SUCH%"), TlsContexts::default());
        let (first, rejections) = usable(Arc::new(wrong.clone()), &Config::default(), &contexts);
        assert!(first.route_tables.is_empty(), "there is no last good one");
        let [rejection] = rejections.as_slice() else { panic!("{rejections:?}") };
        assert_eq!((rejection.resource_type, rejection.name.as_str()), (ResourceType::RouteTable, "t"));
        assert!(rejection.reason.contains("NO_SUCH"), "{}", rejection.reason);
        let (next, rejections) = usable(Arc::new(wrong), &good, &contexts);
        assert!(next.route_tables == good.route_tables && rejections.len() == 1);
        assert!(usable(Arc::new(good.clone()), &good, &contexts).1.is_empty());
    }
}
