//! A large mesh in the control plane's core, on one core: how long it takes to compile, and to follow single changes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use leno_api::Resource;
use leno_compile::Compiler;
use leno_ir::{Config, Flavor, Node, ResourceChange, Resources};
use leno_model::{Builder, MeshSettings, service_keys};
use leno_names::ServiceKey;
use leno_xds::codec;
use serde::Serialize;

use crate::large::{self, Place};

#[derive(Args)]
pub(crate) struct ScaleArgs {
    #[arg(long, default_value_t = 10_000)]
    services: usize,
    /// Of each service.
    #[arg(long, default_value_t = 10)]
    endpoints: usize,
    #[arg(long, default_value_t = 5_000)]
    routes: usize,
    /// Of each change; the median is printed.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

/// Milliseconds and bytes.
#[derive(Serialize)]
struct Outcome {
    services: usize,
    endpoints: usize,
    routes: usize,
    /// From the objects to the encoded resources of a node.
    full_compile_ms: f64,
    /// Resources that the node is sent.
    full_sent: usize,
    endpoint_change_ms: f64,
    endpoint_change_sent: usize,
    route_change_ms: f64,
    route_change_sent: usize,
    resident_bytes: u64,
}

pub(crate) fn run(args: &ScaleArgs) -> anyhow::Result<()> {
    let resources = resources(args);
    let indices: BTreeMap<_, _> = service_keys(&resources).into_iter().zip(256..).collect();
    let mut core = Core {
        builder: Builder::new(MeshSettings::new("cluster.local".parse()?)),
        compiler: Compiler::new(),
        indices,
        node: large::node("client.default".to_owned(), "default"),
        config: Arc::default(),
    };
    let (full, resources_sent) = core.take(resources);
    let changes = |core: &mut Core, make: &dyn Fn(usize) -> Resource| {
        let mut took: Vec<_> = (0..args.rounds).map(|round| core.take(vec![Arc::new(make(round))])).collect();
        took.sort();
        took[took.len() / 2]
    };
    let (endpoint, endpoint_sent) = changes(&mut core, &|round| large::workload(place(0), 0, 100 + round));
    let (route, route_sent) = changes(&mut core, &|round| large::route(place(args.routes - 1), 2 + round as u32));
    let outcome = Outcome {
        services: args.services,
        endpoints: args.services * args.endpoints,
        routes: args.routes,
        full_compile_ms: milliseconds(full),
        full_sent: resources_sent,
        endpoint_change_ms: milliseconds(endpoint),
        endpoint_change_sent: endpoint_sent,
        route_change_ms: milliseconds(route),
        route_change_sent: route_sent,
        resident_bytes: resident_bytes()?,
    };
    println!("{}", serde_json::to_string(&outcome)?);
    Ok(())
}

/// What the control plane does between a changed object and the bytes for one node.
struct Core {
    builder: Builder,
    compiler: Compiler,
    indices: BTreeMap<ServiceKey, u16>,
    node: Node,
    config: Arc<Config>,
}

impl Core {
    /// Takes over objects; gives how long it took, and how many resources the node is sent.
    fn take(&mut self, resources: Vec<Arc<Resource>>) -> (Duration, usize) {
        let changes: Vec<_> = resources.into_iter().map(|resource| (resource.key(), Some(resource))).collect();
        let started = Instant::now();
        let snapshot = self.builder.update(changes, &self.indices).clone();
        self.compiler.update(&snapshot);
        let new = self.compiler.node(&self.node);
        let old = std::mem::replace(&mut self.config, new);
        let (new, flavor) = (&self.config, Flavor::Leno);
        let sent = encoded(&old.clusters, &new.clusters, |value| codec::encode_cluster(value, flavor))
            + encoded(&old.endpoints, &new.endpoints, |value| codec::encode_endpoints(value, flavor))
            + encoded(&old.listeners, &new.listeners, |value| codec::encode_listener(value, flavor))
            + encoded(&old.route_tables, &new.route_tables, |value| codec::encode_route_table(value, flavor));
        let took = started.elapsed();
        let problems = self.builder.problems();
        assert!(problems.is_empty(), "{}", problems[0]);
        (took, sent)
    }
}

/// Encodes what is new; nothing is kept, as in the control plane while no stream holds it.
fn encoded<T>(old: &Resources<T>, new: &Resources<T>, encode: impl Fn(&T) -> leno_xds::Resource) -> usize {
    let encode = |change| match change {
        ResourceChange::Set(_, value) => drop(std::hint::black_box(encode(value))),
        ResourceChange::Removed(_) => {}
    };
    new.changes_since(old).map(encode).count()
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

pub(crate) fn resident_bytes() -> anyhow::Result<u64> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes: u64 = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok()).unwrap_or_default();
    Ok(kilobytes * 1024)
}

fn place(service: usize) -> Place<'static> {
    Place { namespace: "default", service }
}

/// Services, then their workloads, then routes.
fn resources(args: &ScaleArgs) -> Vec<Arc<Resource>> {
    let services = (0..args.services).map(|service| large::service(place(service)));
    let workloads = (0..args.services)
        .flat_map(|service| (0..args.endpoints).map(move |index| large::workload(place(service), index, 0)));
    let routes = (0..args.routes.min(args.services)).map(|index| large::route(place(index), 1));
    services.chain(workloads).chain(routes).map(Arc::new).collect()
}
