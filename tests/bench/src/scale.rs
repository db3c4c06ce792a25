//! A large mesh in the control plane's core, on one core: how long it takes to compile, and to follow single changes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use leno_api::{BackendRef, GatewayHttpRoute, HttpRouteRule, ParentRef, Resource, Service, ServicePort, WorkloadEntry};
use leno_compile::Compiler;
use leno_ir::{Flavor, Node};
use leno_model::{MeshSettings, Snapshot, service_keys};
use serde::Serialize;

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
    full_compile_ms: f64,
    /// From the changed object to the endpoint sets of a node.
    endpoint_change_ms: f64,
    /// From the changed object to the route tables of a node.
    route_change_ms: f64,
    resident_bytes: u64,
}

pub(crate) fn run(args: &ScaleArgs) -> anyhow::Result<()> {
    let mut resources = resources(args);
    let settings = MeshSettings::new("cluster.local".parse()?);
    let indices: BTreeMap<_, _> = service_keys(&resources).into_iter().zip(256..).collect();
    let node = node();
    let mut compiler = Compiler::new();
    let mut compile = |resources: &[Arc<Resource>]| {
        let started = Instant::now();
        let (snapshot, problems) = Snapshot::build(resources, &settings, &indices);
        compiler.update(&Arc::new(snapshot));
        let config = compiler.node(&node);
        assert!(problems.is_empty(), "{}", problems[0]);
        std::hint::black_box(config);
        started.elapsed()
    };
    let full = compile(&resources);
    let mut change = |resources: &mut Vec<Arc<Resource>>, place: usize, make: &dyn Fn(usize) -> Resource| {
        let mut took: Vec<_> = (0..args.rounds)
            .map(|round| {
                resources[place] = Arc::new(make(round));
                compile(resources)
            })
            .collect();
        took.sort();
        took[took.len() / 2]
    };
    let endpoint = change(&mut resources, args.services, &|round| workload(0, 0, 100 + round));
    let route_place = resources.len() - 1;
    let route = change(&mut resources, route_place, &|round| route(args.routes - 1, 1 + round as u32));
    let outcome = Outcome {
        services: args.services,
        endpoints: args.services * args.endpoints,
        routes: args.routes,
        full_compile_ms: milliseconds(full),
        endpoint_change_ms: milliseconds(endpoint),
        route_change_ms: milliseconds(route),
        resident_bytes: resident_bytes()?,
    };
    println!("{}", serde_json::to_string(&outcome)?);
    Ok(())
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn resident_bytes() -> anyhow::Result<u64> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes: u64 = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok()).unwrap_or_default();
    Ok(kilobytes * 1024)
}

fn name(index: usize) -> String {
    format!("service-{index:05}")
}

/// Services, then their workloads, then routes.
fn resources(args: &ScaleArgs) -> Vec<Arc<Resource>> {
    let services = (0..args.services).map(service);
    let workloads =
        (0..args.services).flat_map(|service| (0..args.endpoints).map(move |index| workload(service, index, 0)));
    let routes = (0..args.routes.min(args.services)).map(|index| route(index, 1));
    services.chain(workloads).chain(routes).map(Arc::new).collect()
}

fn service(index: usize) -> Resource {
    let mut service = Service::default();
    service.metadata.name = name(index);
    service.spec.selector = BTreeMap::from([("app".to_owned(), name(index))]);
    service.spec.ports = vec![ServicePort { name: Some("http".to_owned()), port: 80, ..ServicePort::default() }];
    service.into()
}

fn workload(service: usize, index: usize, weight: usize) -> Resource {
    let mut entry = WorkloadEntry::default();
    entry.metadata.name = format!("{}-{index}", name(service));
    let number = service * 64 + index;
    entry.spec.address = Some(format!("10.{}.{}.{}", number >> 16 & 255, number >> 8 & 255, number & 255));
    entry.spec.labels = BTreeMap::from([("app".to_owned(), name(service)), ("version".to_owned(), "v1".to_owned())]);
    entry.spec.service_account = Some(name(service));
    entry.spec.weight = u32::try_from(weight).ok().filter(|weight| *weight > 0);
    entry.into()
}

fn route(index: usize, weight: u32) -> Resource {
    let mut route = GatewayHttpRoute::default();
    route.metadata.name = name(index);
    route.spec.parent_refs = vec![ParentRef {
        group: Some(String::new()),
        kind: Some("Service".to_owned()),
        name: name(index),
        ..ParentRef::default()
    }];
    let backend = |name, weight| BackendRef { name, port: Some(80), weight: Some(weight), ..BackendRef::default() };
    let backend_refs = vec![backend(name(index), weight), backend(name(index + 1), 9)];
    route.spec.rules = vec![HttpRouteRule { backend_refs, ..HttpRouteRule::default() }];
    route.into()
}

fn node() -> Node {
    Node {
        id: "client.default".to_owned(),
        flavor: Flavor::Leno,
        locality: leno_names::Locality::default(),
        namespace: "default".to_owned(),
        service_account: "client".to_owned(),
        workload: "client".to_owned(),
        service: None,
        labels: BTreeMap::new(),
        address: None,
        ports: Vec::new(),
        outbound_prefix: Some([127, 64]),
        http_proxy: None,
        gateway: None,
        access_log: None,
        access_log_format: None,
        control: None,
    }
}
