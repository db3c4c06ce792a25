//! `testdata/<case>/in.yaml` compiles to `out.yaml`, whatever the order of its objects. `UPDATE=1` rewrites.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use leno_compile::{Compiler, compile};
use leno_ir::{Config, Flavor, GatewayRole, HashSource, Node, Resources, RouteAction, WorkloadPort};
use leno_model::api::{Kind, Resource, parse};
use leno_model::{Builder, MeshSettings, Snapshot, service_keys};

fn node(flavor: Flavor) -> Node {
    let port = WorkloadPort {
        app: 9080,
        app_address: "127.0.0.1:9080".parse().unwrap(),
        inbound: 15006,
        protocol: String::new(),
    };
    Node {
        id: "web-1.default".to_owned(),
        flavor,
        locality: "eu/a/1".parse().unwrap(),
        namespace: "default".to_owned(),
        service_account: "web".to_owned(),
        workload: "web-1".to_owned(),
        service: Some("web".to_owned()),
        labels: BTreeMap::from([("app".to_owned(), "web".to_owned())]),
        address: Some("127.0.0.9".parse().unwrap()),
        ports: vec![port],
        outbound_prefix: Some([127, 9]),
        http_proxy: Some("127.9.0.1:15001".parse().unwrap()),
        access_log: Some("-".to_owned()),
        gateway: None,
        access_log_format: None,
        control: Some("192.0.2.1:15012".parse().unwrap()),
    }
}

/// A gateway as `leno proxy --gateway istio-ingressgateway -n istio-system` is one.
fn ingress() -> Node {
    let (namespace, name) = ("istio-system".to_owned(), "istio-ingressgateway".to_owned());
    let labels = [("app", name.as_str()), ("istio", "ingressgateway")];
    Node {
        id: "ingress-1.istio-system".to_owned(),
        namespace: namespace.clone(),
        service_account: name.clone(),
        workload: "ingress-1".to_owned(),
        service: None,
        labels: labels.map(|(label, value)| (label.to_owned(), value.to_owned())).into(),
        ports: Vec::new(),
        outbound_prefix: None,
        http_proxy: None,
        gateway: Some(GatewayRole { namespace, name, bind: "0.0.0.0".parse().unwrap() }),
        ..node(Flavor::Leno)
    }
}

fn load(case: &Path) -> Vec<Arc<Resource>> {
    let parsed = parse("in.yaml", &std::fs::read_to_string(case.join("in.yaml")).unwrap());
    assert!(parsed.problems.is_empty(), "{:#?}", parsed.problems);
    parsed.resources.into_iter().map(|located| Arc::new(located.value)).collect()
}

fn snapshot(resources: &[Arc<Resource>]) -> (Snapshot, Vec<String>) {
    let indices = service_keys(resources).into_iter().zip(256..).collect();
    let settings = MeshSettings::new("cluster.local".parse().unwrap());
    let (snapshot, problems) = Snapshot::build(resources, &settings, &indices);
    (snapshot, problems.iter().map(ToString::to_string).collect())
}

fn output(resources: &[Arc<Resource>]) -> String {
    let (snapshot, mut problems) = snapshot(resources);
    let mut text = String::new();
    for flavor in [Flavor::Leno, Flavor::Grpc, Flavor::Envoy] {
        let compiled = compile(&snapshot, &node(flavor));
        if flavor == Flavor::Leno {
            problems.extend(compiled.problems.iter().map(ToString::to_string));
            text.push_str(&serde_saphyr::to_string(&BTreeMap::from([("problems", &problems)])).unwrap());
        }
        text.push_str("---\n");
        text.push_str(&serde_saphyr::to_string(&compiled.config).unwrap());
    }
    if resources.iter().any(|resource| resource.kind() == Kind::IstioGateway) {
        let compiled = compile(&snapshot, &ingress());
        text.push_str("---\n");
        let found: Vec<_> = compiled.problems.iter().map(ToString::to_string).collect();
        text.push_str(&serde_saphyr::to_string(&BTreeMap::from([("gateway problems", found)])).unwrap());
        text.push_str("---\n");
        text.push_str(&serde_saphyr::to_string(&compiled.config).unwrap());
    }
    text
}

#[test]
fn cases_compile_as_recorded_in_any_order() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    for case in std::fs::read_dir(root).unwrap().flatten().map(|entry| entry.path()) {
        let mut resources = load(&case);
        let text = output(&resources);
        for _ in 0..resources.len() {
            resources.rotate_left(1);
            assert_eq!(output(&resources), text, "{} depends on the order", case.display());
        }
        resources.reverse();
        assert_eq!(output(&resources), text, "{} depends on the order", case.display());
        let file = case.join("out.yaml");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&file, &text).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&file).unwrap_or_default(), text, "{} (UPDATE=1 rewrites)", case.display());
    }
}

#[test]
fn one_new_endpoint_changes_one_services_endpoint_sets_and_nothing_else() {
    let case = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/bookinfo");
    let mut resources = load(&case);
    let mut compiler = Compiler::new();
    compiler.update(&Arc::new(snapshot(&resources).0));
    let before = compiler.node(&node(Flavor::Leno));
    let extra = "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: { name: reviews-v1-b }\nspec: { address: 127.0.1.9, labels: { app: reviews, version: v1 }, serviceAccount: reviews }\n";
    resources.push(Arc::new(parse("", extra).resources.remove(0).value));
    compiler.update(&Arc::new(snapshot(&resources).0));
    let after = compiler.node(&node(Flavor::Leno));
    let same = before.clusters.iter().all(|(name, cluster)| Arc::ptr_eq(cluster, &after.clusters[name]))
        && before.route_tables.iter().all(|(name, table)| Arc::ptr_eq(table, &after.route_tables[name]))
        && before.listeners.iter().all(|(name, listener)| Arc::ptr_eq(listener, &after.listeners[name]));
    assert!(same);
    let changed: Vec<_> = before
        .endpoints
        .iter()
        .filter(|(name, set)| !Arc::ptr_eq(set, &after.endpoints[name]))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(
        changed,
        ["outbound|9080|v1|reviews.default.svc.cluster.local", "outbound|9080||reviews.default.svc.cluster.local"]
    );
}

#[test]
fn what_a_service_hashes_by_is_seen_by_the_routes_of_others() {
    let service = |name: &str| {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{ name: {name} }}\nspec: {{ ports: [{{ name: http, port: 80 }}] }}\n---\n"
        )
    };
    let rules = |header: &str| {
        format!(
            "{}{}apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{ name: a }}\nspec: {{ hosts: [a], http: [{{ route: [{{ destination: {{ host: b }} }}] }}] }}\n---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{ name: b }}\nspec: {{ host: b, trafficPolicy: {{ loadBalancer: {{ consistentHash: {{ httpHeaderName: {header} }} }} }} }}\n",
            service("a"),
            service("b")
        )
    };
    let mut compiler = Compiler::new();
    let mut hashed_by = |header: &str| {
        let parsed = parse("", &rules(header));
        assert!(parsed.problems.is_empty(), "{:#?}", parsed.problems);
        let resources: Vec<_> = parsed.resources.into_iter().map(|located| Arc::new(located.value)).collect();
        compiler.update(&Arc::new(snapshot(&resources).0));
        let config = compiler.node(&node(Flavor::Leno));
        let table = &config.route_tables["outbound|80||a.default.svc.cluster.local"];
        match &table.virtual_hosts[0].routes[0].action {
            RouteAction::Forward(forward) => forward.hash_policies.clone(),
            _ => Vec::new(),
        }
    };
    assert_eq!(hashed_by("X-User"), [HashSource::Header("x-user".to_owned()).into()]);
    assert_eq!(hashed_by("x-tenant"), [HashSource::Header("x-tenant".to_owned()).into()]);
}

/// The objects of all cases, coming and going: what is followed change by change is what would be made anew.
#[test]
fn changes_one_by_one_make_the_same_as_all_at_once() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let mut random: u64 = 1;
    for case in std::fs::read_dir(root).unwrap().flatten().map(|entry| entry.path()) {
        let all = load(&case);
        let numbers: BTreeMap<_, _> = service_keys(&all).into_iter().zip(256..).collect();
        let settings = MeshSettings::new("cluster.local".parse().unwrap());
        let nodes = [node(Flavor::Leno), node(Flavor::Grpc), ingress(), elsewhere()];
        let mut builder = Builder::new(settings.clone());
        let mut compiler = Compiler::new();
        let mut present = BTreeMap::new();
        for step in 0..8 * all.len() {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            // Most of them are there after the first third; then single ones go and come back.
            let object = if step < all.len() { &all[step] } else { &all[(random >> 33) as usize % all.len()] };
            let key = object.key();
            // One of the same name that is there is replaced.
            let is_there = present.get(&key).is_some_and(|there| Arc::ptr_eq(there, object));
            let new = (!is_there).then(|| object.clone());
            match &new {
                Some(new) => drop(present.insert(key.clone(), new.clone())),
                None => drop(present.remove(&key)),
            }
            let snapshot = builder.update([(key.clone(), new)], &numbers).clone();
            compiler.update(&snapshot);
            let resources: Vec<_> = present.values().cloned().collect();
            let (anew, problems) = Snapshot::build(&resources, &settings, &numbers);
            let place = format!("{} after step {step}, {key}", case.display());
            assert_eq!(builder.problems(), problems, "{place}");
            assert!(*snapshot == anew, "another snapshot: {place}");
            // A fresh compiler is slow: each node is looked at once in a while.
            let node = &nodes[step % nodes.len()];
            let fresh = compile(&anew, node);
            assert_eq!(differing(&compiler.node(node), &fresh.config), Vec::<String>::new(), "{place}");
        }
    }
}

/// Names of what is not equal.
fn differing(one: &Config, other: &Config) -> Vec<String> {
    fn of<'a, T: PartialEq>(one: &'a Resources<T>, other: &'a Resources<T>) -> impl Iterator<Item = String> + 'a {
        let own = one.iter().filter(|(name, value)| other.get(name) != Some(*value)).map(|(name, _)| name.to_owned());
        own.chain(other.keys().filter(|name| !one.contains_key(name)).map(str::to_owned))
    }
    let listeners = of(&one.listeners, &other.listeners).chain(of(&one.route_tables, &other.route_tables));
    listeners.chain(of(&one.clusters, &other.clusters)).chain(of(&one.endpoints, &other.endpoints)).collect()
}

/// A sidecar of another namespace, which is of another scope where anything is said of namespaces.
fn elsewhere() -> Node {
    Node {
        id: "cart-1.shop".to_owned(),
        namespace: "shop".to_owned(),
        workload: "cart-1".to_owned(),
        labels: BTreeMap::from([("app".to_owned(), "cart".to_owned())]),
        http_proxy: None,
        ..node(Flavor::Leno)
    }
}
