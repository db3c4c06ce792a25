use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use leno_api::{Kind, Resource, ResourceKey};
use leno_ir::{Cluster, Config, Discovery, EndpointSet, Forward, HostRewrite, RouteAction, WeightedCluster};
use leno_model::{Protocol, Service, ServicePort, Snapshot};
use leno_routing::{CompiledRoutes, Matched};
use serde::Serialize;
use serde_json::Value;

use super::{Request, gateway};
use crate::loaded::Loaded;
use crate::mesh::Mesh;
use crate::misuse::Misuse;

/// One decision, and who made it.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Step {
    /// `caller`, `service`, `route`, `destination` …
    pub(crate) what: &'static str,
    pub(crate) text: String,
    /// Empty where no object says so but the mesh itself.
    pub(crate) object: String,
    pub(crate) field: String,
    pub(crate) source: String,
    /// From 1; 0 where there is no text.
    pub(crate) line: usize,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Explanation {
    pub(crate) request: String,
    /// Whether it reaches an endpoint, or is answered on purpose.
    pub(crate) is_served: bool,
    pub(crate) steps: Vec<Step>,
}

/// Who asks.
struct Caller {
    namespace: String,
    labels: BTreeMap<String, String>,
    key: Option<ResourceKey>,
}

pub(crate) fn explain(loaded: &Loaded, mesh: &mut Mesh, from: &str, request: &Request) -> anyhow::Result<Explanation> {
    if let Some(gateway) = gateway::named(&mesh.snapshot, from) {
        let seen = mesh.seen_by(&gateway.key.namespace, &BTreeMap::new());
        let config = mesh.gateway_config(&gateway.key);
        let mut explaining = Explaining { loaded, seen: &seen, config: &config, told: Explanation::default() };
        explaining.told.request = request.words();
        let text = format!("a stranger, at gateway {} in namespace {}", gateway.key.name, gateway.key.namespace);
        explaining.step("caller", text, Some(&gateway.key), "");
        gateway::explain(&mut explaining, &gateway, request);
        return Ok(explaining.told);
    }
    let is_namespace = || loaded.resources.iter().any(|resource| resource.key().namespace == "gateway");
    if from.starts_with("gateway/") && !is_namespace() {
        anyhow::bail!("there is no Gateway of Gateway API for \"{from}\"; Istio's Gateways are not explained yet");
    }
    let caller = caller(loaded, &mesh.snapshot, from)?;
    let seen = mesh.seen_by(&caller.namespace, &caller.labels);
    let config = mesh.config(&caller.namespace, &caller.labels);
    let mut explaining = Explaining { loaded, seen: &seen, config: &config, told: Explanation::default() };
    explaining.told.request = request.words();
    let text = format!("{from}, in namespace {}", caller.namespace);
    explaining.step("caller", text, caller.key.as_ref(), "");
    explaining.request(&caller, request);
    Ok(explaining.told)
}

fn caller(loaded: &Loaded, snapshot: &Snapshot, from: &str) -> anyhow::Result<Caller> {
    let entries = || {
        loaded.resources.iter().filter_map(|resource| match &**resource {
            Resource::WorkloadEntry(entry) => Some((resource.key(), entry)),
            _ => None,
        })
    };
    let labels = |entry: &leno_api::WorkloadEntry| {
        if entry.spec.labels.is_empty() { entry.metadata.labels.clone() } else { entry.spec.labels.clone() }
    };
    if let Some((namespace, account)) = from.split_once('/') {
        let of = entries().find(|(key, entry)| {
            key.namespace == namespace && entry.spec.service_account.as_deref().unwrap_or("default") == account
        });
        let labels = of.as_ref().map(|(_, entry)| labels(entry)).unwrap_or_default();
        return Ok(Caller { namespace: namespace.to_owned(), labels, key: of.map(|(key, _)| key) });
    }
    if let Some((key, entry)) = entries().find(|(key, _)| key.name == from) {
        return Ok(Caller { namespace: key.namespace.clone(), labels: labels(entry), key: Some(key) });
    }
    let of_name = snapshot.services.values().find(|service| service.key.name == from);
    let service = snapshot.service(from, leno_api::DEFAULT_NAMESPACE).or(of_name);
    match service {
        Some(service) => Ok(Caller {
            namespace: service.key.namespace.clone(),
            labels: service.workloads.first().map(|workload| workload.labels.clone()).unwrap_or_default(),
            key: service.origins.first().cloned(),
        }),
        None => Err(Misuse::error(format!(
            "there is no workload or service \"{from}\"; say NAMESPACE/SERVICE-ACCOUNT for one that is not running"
        ))),
    }
}

pub(super) struct Explaining<'a> {
    pub(super) loaded: &'a Loaded,
    seen: &'a Snapshot,
    pub(super) config: &'a Config,
    told: Explanation,
}

impl Explaining<'_> {
    pub(super) fn step(&mut self, what: &'static str, text: impl Into<String>, key: Option<&ResourceKey>, field: &str) {
        let document = key.and_then(|key| self.loaded.document(key));
        let place = document.map(|document| if field.is_empty() { document.start() } else { document.place(field) });
        self.told.steps.push(Step {
            what,
            text: text.into(),
            object: key.map(ToString::to_string).unwrap_or_default(),
            field: field.to_owned(),
            source: document.map(|document| document.source().to_string()).unwrap_or_default(),
            line: place.map_or(0, |place| place.line),
        });
    }

    fn request(&mut self, caller: &Caller, request: &Request) {
        let seen = self.seen;
        let Some(service) = seen.service(&request.host, &caller.namespace) else {
            let text = format!(
                "no service that {} sees is called {}: the forward proxy answers 502; without it the request leaves the mesh",
                caller.namespace, request.host
            );
            return self.step("service", text, None, "");
        };
        let origin = service.origins.first();
        let text = format!("{} has {} workloads", service.fqdn, service.workloads.len());
        self.step("service", text, origin, "");
        let Some(port) = service.port(request.port) else {
            let known: Vec<_> = service.ports.iter().map(|port| port.number.to_string()).collect();
            let text = format!("it has no port {}, only {}: nothing answers", request.port, known.join(", "));
            return self.step("port", text, origin, "spec.ports");
        };
        let index = service.ports.iter().position(|other| other.number == port.number).unwrap_or_default();
        let name = port.name.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
        let text = format!("{}{name} speaks {}", port.number, protocol(port.protocol));
        self.step("port", text, origin, &self.port_field(origin, port, index));
        if request.scheme == "https" || !port.protocol.may_be_http() {
            return self.as_connection(service, port);
        }
        let table = self.config.route_tables.get(&service.cluster_name(port.number, None)).cloned();
        let Some(table) = table else { return self.step("route", "there is no route table", origin, "") };
        let routes = CompiledRoutes::new(table);
        match routes.route(request, 0) {
            Some(matched) => self.route(&service.rules_keys(), &matched, request),
            None => {
                let key = service.rules_keys().pop();
                self.step("route", "no rule matches: 404 (NR)", key.as_ref(), "spec");
            }
        }
    }

    fn port_field(&self, origin: Option<&ResourceKey>, port: &ServicePort, index: usize) -> String {
        let resource = origin.and_then(|key| self.loaded.resource(key));
        let index = match resource.map(|resource| &**resource) {
            Some(Resource::Service(object)) => {
                object.spec.ports.iter().position(|other| other.port == port.number).unwrap_or(index)
            }
            _ => index,
        };
        format!("spec.ports[{index}]")
    }

    fn as_connection(&mut self, service: &Service, port: &ServicePort) {
        let cluster = service.cluster_name(port.number, None);
        self.step("route", "a connection, of which rules for HTTP see nothing", service.rules_keys().last(), "");
        self.destination(&cluster, "all connections");
    }

    /// `keys` are the objects that the route may come from.
    pub(super) fn route(&mut self, keys: &[ResourceKey], matched: &Matched<'_>, request: &Request) {
        let route = matched.route;
        let (key, field) =
            rule_of(keys, &route.name, self.loaded).map_or((None, String::new()), |(key, field)| (Some(key), field));
        let key = key.as_ref();
        let text = match key {
            Some(_) => format!("rule \"{}\" takes it", route.name),
            None => "no rules: it goes to all endpoints alike".to_owned(),
        };
        self.step("route", text, key, &field);
        for (name, config) in &route.filters {
            let shown = serde_json::to_string(config).unwrap_or_default();
            self.step("filter", format!("{name}: {shown}"), key, &field);
        }
        match &route.action {
            RouteAction::Direct(direct) => {
                // 5xx stands for a backend that is not there.
                self.told.is_served = direct.status < 500;
                self.step("answer", format!("{} \"{}\"", direct.status, direct.body.trim_end()), key, &field);
            }
            RouteAction::Redirect(redirect) => {
                self.told.is_served = true;
                let to = matched.redirect_location(redirect, request);
                self.step("answer", format!("{} to {to}", redirect.status), key, &field);
            }
            RouteAction::Forward(forward) => {
                self.changes(matched, forward, request, key, &field);
                self.limits(forward, key, &field);
                self.shares(&forward.clusters);
                for mirror in &forward.mirrors {
                    self.step("mirror", format!("a copy of {} to {}", mirror.fraction, mirror.cluster), key, &field);
                }
            }
        }
    }

    pub(super) fn shares(&mut self, clusters: &[WeightedCluster]) {
        let total: u64 = clusters.iter().map(|cluster| u64::from(cluster.weight)).sum();
        for cluster in clusters.iter().filter(|cluster| cluster.weight > 0) {
            let share = match clusters.len() {
                1 => "all requests".to_owned(),
                _ => format!("{:.1} % of the requests", f64::from(cluster.weight) * 100.0 / total as f64),
            };
            self.destination(&cluster.name, &share);
        }
    }

    /// What is done to the head of the request.
    fn changes(
        &mut self,
        of: &Matched<'_>,
        forward: &Forward,
        request: &Request,
        key: Option<&ResourceKey>,
        field: &str,
    ) {
        if let Some(path) = of.rewritten_path(&request.path) {
            self.step("rewrite", format!("path {path}"), key, field);
        }
        match &forward.host_rewrite {
            Some(HostRewrite::Literal(host)) => self.step("rewrite", format!("host {host}"), key, field),
            Some(other) => {
                let shown = serde_json::to_string(other).unwrap_or_default();
                self.step("rewrite", format!("host by {shown}"), key, field);
            }
            None => {}
        }
        for (of, operations) in [("request", &of.route.request_headers), ("response", &of.route.response_headers)] {
            for name in &operations.remove {
                self.step("header", format!("{of}: {name} removed"), key, field);
            }
            for added in &operations.add {
                self.step("header", format!("{of}: {}: {}", added.name, added.value), key, field);
            }
        }
    }

    fn limits(&mut self, forward: &Forward, key: Option<&ResourceKey>, field: &str) {
        let timeout = match forward.timeout {
            Some(timeout) => format!("{} for the whole exchange, tries included", humantime::format_duration(timeout)),
            None => "none".to_owned(),
        };
        self.step("timeout", timeout, key, field);
        let retries = match &forward.retry {
            None => "none".to_owned(),
            Some(policy) => {
                let on: Vec<_> = policy.on.iter().map(|on| on.as_str()).collect();
                let each = policy.per_try_timeout.map(|each| format!(", {} each", humantime::format_duration(each)));
                let any = if policy.retry_non_idempotent { "" } else { ", and only what surely was not processed" };
                format!("up to {}{} on {}{any}", policy.attempts, each.unwrap_or_default(), on.join(", "))
            }
        };
        self.step("retries", retries, key, field);
    }

    fn destination(&mut self, name: &str, share: &str) {
        // With TLS as a policy wants it.
        let plain = name.strip_prefix("tls|").unwrap_or(name);
        let mut parts = plain.splitn(4, '|').skip(1);
        let [_, subset, host] = [parts.next(), parts.next(), parts.next()].map(Option::unwrap_or_default);
        let seen = self.seen;
        let service = seen.services.values().find(|service| service.fqdn == host);
        let (key, field) = service.map_or((None, String::new()), |service| self.policy(service, subset));
        let Some(cluster) = self.config.clusters.get(name).cloned() else {
            return self.step(
                "destination",
                format!("{share} to {name}, which does not exist: 503 (NC)"),
                key.as_ref(),
                &field,
            );
        };
        let subset = if subset.is_empty() { String::new() } else { format!(", subset {subset}") };
        self.step("destination", format!("{share} to {host}{subset}"), key.as_ref(), &field);
        self.step("policy", policy_text(&cluster), key.as_ref(), &field);
        self.endpoints(&cluster);
    }

    /// The DestinationRule that a subset, or the policy of a whole service, is from.
    fn policy(&self, service: &Service, subset: &str) -> (Option<ResourceKey>, String) {
        let Some(policies) = &service.policies else { return (None, String::new()) };
        if subset.is_empty() {
            let whole = policies.whole.as_ref();
            let first = || (policies.objects.first().cloned(), String::new());
            return whole.map_or_else(first, |part| (Some(part.object.clone()), part.at.clone()));
        }
        for key in &policies.objects {
            if let Some(Resource::DestinationRule(rule)) = self.loaded.resource(key).map(|resource| &**resource)
                && let Some(index) = rule.spec.subsets.iter().position(|known| known.name == subset)
            {
                return (Some(key.clone()), format!("spec.subsets[{index}]"));
            }
        }
        (policies.objects.first().cloned(), String::new())
    }

    fn endpoints(&mut self, cluster: &Cluster) {
        let set: Option<Arc<EndpointSet>> = match &cluster.discovery {
            Discovery::Dns(dns) => Some(dns.endpoints.clone()),
            Discovery::Eds { service_name } => self.config.endpoints.get(service_name).cloned(),
            Discovery::Static(set) => Some(set.clone()),
            Discovery::Aggregate(_) | Discovery::DynamicHosts(_) | Discovery::OriginalDestination(_) => {
                self.told.is_served = true;
                return self.step("endpoint", "wherever the request was going", None, "");
            }
        };
        let endpoints: Vec<_> = set.iter().flat_map(|set| set.endpoints().cloned()).collect();
        if endpoints.is_empty() {
            return self.step("endpoint", "none: 503 (UH)", None, "");
        }
        for endpoint in endpoints {
            self.told.is_served |= endpoint.health.takes_traffic();
            let where_to = match &endpoint.resolve {
                Some(name) => format!("{name}:{} (by DNS)", endpoint.address.port()),
                None => endpoint.address.to_string(),
            };
            let health = serde_json::to_value(endpoint.health).unwrap_or_default();
            let health = health.as_str().filter(|health| *health != "unknown").map(|health| format!(", {health}"));
            let weight = if endpoint.weight == 1 { String::new() } else { format!(", weight {}", endpoint.weight) };
            let of = &endpoint.workload;
            let key = (!of.workload.is_empty())
                .then(|| ResourceKey::new(Kind::WorkloadEntry, of.namespace.clone(), of.workload.clone()));
            let text = format!("{where_to}{weight}{}", health.unwrap_or_default());
            self.step("endpoint", text, key.filter(|key| self.loaded.document(key).is_some()).as_ref(), "spec.address");
        }
    }
}

/// The object and field that a compiled route comes from: rules without a name are called `<object>.<index>`.
fn rule_of(keys: &[ResourceKey], name: &str, loaded: &Loaded) -> Option<(ResourceKey, String)> {
    keys.iter().find_map(|key| {
        let list = match key.kind {
            Kind::VirtualService => "http",
            Kind::GrpcRoute | Kind::HttpRoute => "rules",
            _ => return None,
        };
        let object = loaded.resource(key)?.to_json();
        let mut rules = object["spec"][list].as_array()?.iter().enumerate();
        let is_it = |(index, rule): &(usize, &Value)| match rule["name"].as_str() {
            Some(own) => own == name,
            None => name == format!("{}.{index}", key.name),
        };
        let (index, _) = rules.find(is_it)?;
        Some((key.clone(), format!("spec.{list}[{index}]")))
    })
}

fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Auto => "what each connection turns out to be",
        Protocol::Grpc => "gRPC",
        Protocol::Http => "HTTP",
        Protocol::Http2 => "HTTP/2",
        Protocol::Tcp => "TCP",
        Protocol::Tls => "TLS of the application's own",
    }
}

fn policy_text(cluster: &Cluster) -> String {
    let balancer = serde_json::to_value(&cluster.balancer).unwrap_or_default();
    let settings = balancer.as_object().and_then(|settings| settings.keys().next().cloned());
    let balancer = balancer.as_str().map(str::to_owned).or(settings).unwrap_or_default();
    let tls = if cluster.tls.is_some() { "TLS" } else { "no TLS" };
    let ejects = if cluster.outlier_detection.is_some() { ", failing endpoints are ejected" } else { "" };
    let connect = humantime::format_duration(cluster.connect_timeout);
    format!("balanced by {balancer}, {tls}, connected within {connect}{ejects}")
}

impl Explanation {
    pub(crate) fn render(&self) -> String {
        let mut text = format!("{}\n\n", self.request);
        for step in &self.steps {
            let _ = writeln!(text, "{:12} {}", step.what, step.text);
            let place = match (step.source.as_str(), step.line) {
                ("", _) => String::new(),
                (source, 0) => format!(" at {source}"),
                (source, line) => format!(" at {source}:{line}"),
            };
            if !step.object.is_empty() {
                let field = if step.field.is_empty() { String::new() } else { format!(": {}", step.field) };
                let _ = writeln!(text, "{:12}   by {}{field}{place}", "", step.object);
            }
        }
        text
    }
}
