//! Our own analyses of Gateway API and SMI: what is wrong is found where it stands, what is right is left alone.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use leno_analyze::{Objects, analyze};

fn object(api_version: &str, kind: &str, name: &str, spec: &str) -> String {
    let (namespace, name) = name.split_once('/').unwrap_or(("default", name));
    format!(
        "---\napiVersion: {api_version}\nkind: {kind}\nmetadata: {{ name: {name}, namespace: {namespace} }}\nspec: {spec}\n"
    )
}

fn gateway_api(kind: &str, name: &str, spec: &str) -> String {
    object("gateway.networking.k8s.io/v1", kind, name, spec)
}

fn istio(kind: &str, name: &str, spec: &str) -> String {
    let group = if kind.ends_with("Authentication") { "security" } else { "networking" };
    object(&format!("{group}.istio.io/v1"), kind, name, spec)
}

fn service(name: &str) -> String {
    object(
        "v1",
        "Service",
        name,
        "{ selector: { app: x }, ports: [{ name: http, port: 80 }, { name: tcp-a, port: 90 }] }",
    )
}

/// `CODE field` of what our own analyses find in all but the first documents, which are taken as given.
fn found(parts: &[String]) -> Vec<String> {
    let text = parts.concat();
    let mut objects = Objects::new(0);
    for document in leno_api::documents("", &text) {
        let document = document.unwrap();
        objects.add(&document, "default", "");
    }
    let findings = analyze(&objects).into_iter().filter(|finding| finding.code.id.starts_with("LEN"));
    let findings = findings.map(|finding| {
        let object = objects.object(finding.object).unwrap();
        format!("{} {} {}", finding.code.id, object.name, finding.field)
    });
    findings.collect()
}

const GATEWAY: &str = "{ gatewayClassName: leno, listeners: [{ name: web, port: 80, protocol: HTTP, hostname: '*.example.com', allowedRoutes: { namespaces: { from: Same } } }] }";

#[test]
fn a_route_that_is_right_is_left_alone() {
    let route = "{ parentRefs: [{ name: edge, sectionName: web }], hostnames: [shop.example.com], rules: [{ backendRefs: [{ name: a, port: 80 }] }] }";
    let mesh = "{ parentRefs: [{ group: '', kind: Service, name: a, port: 80 }], rules: [{ matches: [{ path: { value: /x } }], backendRefs: [{ name: a, port: 80, weight: 9 }, { name: b, port: 80, weight: 1 }] }] }";
    let all = [
        gateway_api("Gateway", "edge", GATEWAY),
        service("a"),
        service("b"),
        gateway_api("HTTPRoute", "one", route),
        gateway_api("HTTPRoute", "two", mesh),
    ];
    assert_eq!(found(&all), Vec::<String>::new());
}

#[test]
fn references_that_lead_nowhere_are_found() {
    let route = "{ parentRefs: [{ name: none }, { name: edge, sectionName: nope }, { group: '', kind: Service, name: a, port: 81 }, { group: '', kind: Service, name: a, port: 90 }], rules: [{ filters: [{ type: RequestMirror, requestMirror: { backendRef: { name: gone, port: 80 } } }], backendRefs: [{ name: a, port: 99 }, { name: far, namespace: other, port: 80 }] }] }";
    let all = [
        gateway_api("Gateway", "edge", GATEWAY),
        service("a"),
        service("other/far"),
        gateway_api("HTTPRoute", "r", route),
    ];
    let expected = [
        "LEN0001 r spec.parentRefs[0].name",
        "LEN0002 r spec.parentRefs[1].sectionName",
        "LEN0002 r spec.parentRefs[2].port",
        "LEN0003 r spec.rules[0].filters[0].requestMirror.backendRef.name",
        "LEN0004 r spec.rules[0].backendRefs[0].port",
        "LEN0005 r spec.rules[0].backendRefs[1].namespace",
        "LEN0011 r spec.parentRefs[3]",
    ];
    assert_eq!(found(&all), expected);
}

#[test]
fn a_grant_opens_a_namespace_to_whom_it_names() {
    let rules = "rules: [{ backendRefs: [{ name: far, namespace: other, port: 80 }] }]";
    let route = format!("{{ parentRefs: [{{ name: edge }}], {rules} }}");
    let in_mesh = format!("{{ parentRefs: [{{ group: '', kind: Service, name: a }}], {rules} }}");
    let grant = |from: &str| {
        let spec = format!(
            "{{ from: [{{ group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: {from} }}], to: [{{ group: '', kind: Service }}] }}"
        );
        gateway_api("ReferenceGrant", "other/g", &spec)
    };
    let all = |from, route: &str| {
        let edge = gateway_api("Gateway", "edge", GATEWAY);
        [edge, service("a"), service("other/far"), gateway_api("HTTPRoute", "r", route), grant(from)]
    };
    assert_eq!(found(&all("default", &route)), Vec::<String>::new());
    assert_eq!(found(&all("else", &route)), ["LEN0005 r spec.rules[0].backendRefs[0].namespace"]);
    // Routes of the mesh open nothing (GEP-1294).
    assert_eq!(found(&all("else", &in_mesh)), Vec::<String>::new());
}

#[test]
fn a_gateway_that_takes_no_route_of_the_kind_is_told() {
    let of = |spec: &str| found(&[gateway_api("Gateway", "edge", GATEWAY), gateway_api("HTTPRoute", "shop/r", spec)]);
    assert_eq!(of("{ parentRefs: [{ name: edge, namespace: default }] }"), ["LEN0007 r spec.parentRefs[0]"]);
    let tcp = gateway_api("TCPRoute", "t", "{ parentRefs: [{ name: edge }] }");
    assert_eq!(found(&[gateway_api("Gateway", "edge", GATEWAY), tcp]), ["LEN0007 t spec.parentRefs[0]"]);
    let host = gateway_api("HTTPRoute", "h", "{ parentRefs: [{ name: edge }], hostnames: [example.org] }");
    assert_eq!(found(&[gateway_api("Gateway", "edge", GATEWAY), host]), ["LEN0007 h spec.parentRefs[0]"]);
}

#[test]
fn listeners_that_cannot_be_told_apart_are_found() {
    let listeners = "{ gatewayClassName: leno, listeners: [{ name: a, port: 80, protocol: HTTP }, { name: b, port: 80, protocol: HTTP, hostname: x.example.com }, { name: c, port: 80, protocol: TCP }, { name: u, port: 80, protocol: UDP }] }";
    let set =
        "{ parentRef: { name: edge }, listeners: [{ name: d, port: 80, protocol: HTTP, hostname: x.example.com }] }";
    let all = [gateway_api("Gateway", "edge", listeners), gateway_api("ListenerSet", "set", set)];
    assert_eq!(found(&all), ["LEN0009 edge spec.listeners[2]", "LEN0009 set spec.listeners[0]"]);
}

#[test]
fn matches_behind_equal_ones_are_found() {
    let parent = "parentRefs: [{ group: '', kind: Service, name: a }]";
    let one = format!(
        "{{ {parent}, rules: [{{ matches: [{{ path: {{ type: PathPrefix, value: / }}, headers: [{{ name: X-A, value: b }}] }}] }}, {{ matches: [{{ headers: [{{ name: x-a, type: Exact, value: b }}] }}, {{ path: {{ type: Exact, value: / }} }}] }}] }}"
    );
    let two = format!("{{ {parent}, rules: [{{ matches: [{{ path: {{ type: Exact, value: / }} }}] }}] }}");
    let all = [service("a"), gateway_api("HTTPRoute", "one", &one), gateway_api("HTTPRoute", "two", &two)];
    assert_eq!(found(&all), ["LEN0008 one spec.rules[1].matches[0]", "LEN0008 two spec.rules[0].matches[0]"]);
}

#[test]
fn weights_are_added_up() {
    let of = |weights: [&str; 2]| {
        let [a, b] = weights;
        let spec = format!(
            "{{ hosts: [a], http: [{{ route: [{{ destination: {{ host: a }}{a} }}, {{ destination: {{ host: b }}{b} }}] }}] }}"
        );
        !found(&[istio("VirtualService", "v", &spec)]).is_empty()
    };
    assert!(of([", weight: 80", ", weight: 10"]) && of([", weight: 100", ""]) && of([", weight: 0", ", weight: 0"]));
    assert!(!of([", weight: 80", ", weight: 20"]) && !of([", weight: 1", ", weight: 3"]));
}

#[test]
fn client_and_server_are_compared() {
    let peer = |name: &str, selector: &str, mode: &str| {
        istio("PeerAuthentication", name, &format!("{{ {selector} mtls: {{ mode: {mode} }} }}"))
    };
    let rule = |mode: &str| {
        istio("DestinationRule", "d", &format!("{{ host: a, trafficPolicy: {{ tls: {{ mode: {mode} }} }} }}"))
    };
    let strict = || peer("istio-system/mesh", "", "STRICT");
    let at = ["LEN0013 d spec.trafficPolicy.tls.mode"];
    assert_eq!(found(&[service("a"), strict(), rule("DISABLE")]), at);
    assert_eq!(found(&[service("a"), strict(), rule("ISTIO_MUTUAL")]), Vec::<String>::new());
    // The nearest policy holds.
    let off = peer("x", "selector: { matchLabels: { app: x } },", "DISABLE");
    assert_eq!(found(&[service("a"), strict(), off, rule("ISTIO_MUTUAL")]), at);
}

#[test]
fn splits_and_targets_lead_somewhere() {
    let split = "{ service: a, backends: [{ service: b, weight: 50 }, { service: gone, weight: 50 }], matches: [{ kind: HTTPRouteGroup, name: g }] }";
    let group = "{ matches: [{ name: all }] }";
    let target = "{ destination: { kind: ServiceAccount, name: x }, rules: [{ kind: HTTPRouteGroup, name: g, matches: [all, none] }, { kind: TCPRoute, name: t }], sources: [] }";
    let all = [
        service("a"),
        service("b"),
        object("split.smi-spec.io/v1alpha4", "TrafficSplit", "s", split),
        object("specs.smi-spec.io/v1alpha4", "HTTPRouteGroup", "g", group),
        object("access.smi-spec.io/v1alpha3", "TrafficTarget", "t", target),
        istio("VirtualService", "v", "{ hosts: [a], http: [] }"),
    ];
    let expected = [
        "LEN0015 s spec.backends[1].service",
        "LEN0017 s spec.service",
        "LEN0016 t spec.rules[0].matches[1]",
        "LEN0016 t spec.rules[1].name",
        "LEN0017 v spec.hosts[0]",
    ];
    assert_eq!(found(&all), expected);
}

#[test]
fn anything_can_be_analysed() {
    for text in [
        "[]",
        "kind: VirtualService\napiVersion: networking.istio.io/v1\nspec: []",
        "kind: Gateway\napiVersion: gateway.networking.k8s.io/v1\nspec: { listeners: [1, {}, []] }",
    ] {
        found(&[text.to_owned()]);
    }
}

fn own(kind: &str, name: &str, spec: &str) -> String {
    object("leno.dev/v1", kind, name, spec)
}

#[test]
fn own_policies_have_targets_of_their_own() {
    let all = [
        service("a"),
        own("RetryPolicy", "a", "{ targetRefs: [{ kind: Service, name: a }] }"),
        own("RetryPolicy", "b", "{ targetRefs: [{ kind: Service, name: a }, { kind: Service, name: none }] }"),
        own("RetryPolicy", "c", "{ targetRefs: [{ kind: Service, name: a, sectionName: http }] }"),
        own("DeadlinePolicy", "d", "{ request: 1s }"),
        own("DeadlinePolicy", "e", "{ request: 2s }"),
        own("HedgePolicy", "f", "{ after: 1s, targetRefs: [{ kind: HTTPRoute, name: a }] }"),
    ];
    let found = found(&all);
    assert_eq!(
        found,
        [
            "LEN0012 b spec.targetRefs[1].name",
            "LEN0018 b spec.targetRefs[0]",
            "LEN0018 e spec.targetRefs",
            "LEN0012 f spec.targetRefs[0].name"
        ]
    );
}
