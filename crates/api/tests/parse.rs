//! Problems name the line and the nearest valid word, and one bad document stops no other.

use leno_api::{Kind, Resource, parse};

const BROKEN: &str = r#"apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: reviews }
spec:
  hosts: [reviews]
  http:
    - route:
        - destination:
            hots: reviews
            subset: v1
          weight: -5
      timeout: 5 seconds
---
apiVersion: v1
kind: Service
metadata: { name: web, namespace: shop }
spec: { selector: { app: web }, ports: [{ name: http, port: 80, targetPort: 9080 }] }
---
apiVersion: v1
kind: Servce
metadata: { name: x }
---
a: [
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: web }
"#;

#[test]
fn every_problem_of_every_document_is_found() {
    let parsed = parse("shop.yaml", BROKEN);
    let shown: Vec<_> = parsed.problems.iter().map(|problem| (problem.line, problem.field.as_str())).collect();
    assert_eq!(
        shown,
        [
            (9, "spec.http[0].route[0].destination.hots"),
            (11, "spec.http[0].route[0].weight"),
            (12, "spec.http[0].timeout"),
            (20, "kind"),
            (23, ""),
        ],
        "{:#?}",
        parsed.problems
    );
    assert_eq!(parsed.problems[0].message, "unknown field `hots`, did you mean `host`?");
    assert_eq!(parsed.problems[3].message, "unknown kind `Servce`, did you mean `Service`?");
    let keys: Vec<_> = parsed.resources.iter().map(|located| located.value.key().to_string()).collect();
    assert_eq!(keys, ["Service shop/web"]);
    assert_eq!(parsed.skipped.len(), 1);
}

#[test]
fn json_and_yaml_give_the_object_back() {
    let parsed = parse("shop.yaml", BROKEN);
    let resource = &parsed.resources[0].value;
    assert_eq!(resource.kind(), Kind::Service);
    assert_eq!(Resource::from_json(&resource.to_json()).as_ref(), Ok(resource));
    assert_eq!(parse("", &resource.to_yaml()).resources.first().map(|located| &located.value), Some(resource));
}

#[test]
fn ports_of_workloads_may_be_named_by_number() {
    let text = "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: { name: a }\nspec: { address: 127.0.0.2, ports: { \"9080\": 41234, 9090: 7 } }\n";
    let parsed = parse("", text);
    assert!(parsed.problems.is_empty(), "{:?}", parsed.problems);
}

/// What a header value or a path ends a line with would become a line of the message.
#[test]
fn what_goes_into_the_head_of_a_message_cannot_break_it() {
    let text = r#"apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: reviews }
spec:
  hosts: [reviews]
  http:
    - route:
        - { destination: { host: reviews } }
      headers:
        request:
          add: { ":path": /x }
          set: { content-length: "5" }
          remove: [Transfer-Encoding, "a b"]
        response: { set: { x-a: "b\r\nset-cookie: c" } }
      rewrite: { uri: "/a b" }
    - redirect: { uri: "/a\r\nset-cookie: c" }
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: reviews }
spec:
  parentRefs: [{ kind: Service, group: "", name: reviews }]
  rules:
    - filters:
        - type: RequestHeaderModifier
          requestHeaderModifier: { set: [{ name: x-a, value: "b\nc" }] }
        - type: URLRewrite
          urlRewrite: { path: { type: ReplaceFullPath, replaceFullPath: "/a\rb" } }
      backendRefs: [{ name: reviews, port: 9080, weight: 4000000000 }, { name: reviews, port: 9081, weight: 4000000000 }]
"#;
    let fields: Vec<_> = parse("", text).problems.into_iter().map(|problem| problem.field).collect();
    assert_eq!(
        fields,
        [
            "spec.http[0].headers.request.add",
            "spec.http[0].headers.request.set",
            "spec.http[0].headers.request.remove[0]",
            "spec.http[0].headers.request.remove[1]",
            "spec.http[0].headers.response.set.x-a",
            "spec.http[0].rewrite.uri",
            "spec.http[1].redirect.uri",
            "spec.rules[0].filters[0].requestHeaderModifier.set[0].value",
            "spec.rules[0].filters[1].urlRewrite.path.replaceFullPath",
            "spec.rules[0].backendRefs",
        ]
    );
}

#[test]
fn limits_are_named_in_the_users_words() {
    let message = |text: &str| parse("", text).problems.remove(0).message;
    let port = "apiVersion: v1\nkind: Service\nmetadata: { name: a }\nspec: { ports: [{ port: 70000 }] }\n";
    assert_eq!(message(port), "expected a whole number from 0 to 65535, found integer `70000`");
    assert_eq!(message("kind: a\nkind: b\n"), "`kind` is there twice");
    assert_eq!(message(&format!("a: {}", "[".repeat(5000))), "nested too deeply");
    let bomb = "a: &a [1,1,1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n";
    assert!(message(bomb).starts_with("too many values"), "{}", message(bomb));
}

#[test]
fn weights_that_take_nothing_are_reported() {
    let text = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: { name: a }\nspec:\n  hosts: [a]\n  http:\n    - route: [{ destination: { host: a }, weight: 0 }, { destination: { host: b }, weight: 0 }]\n";
    let problems = parse("", text).problems;
    assert_eq!(problems.first().map(|problem| problem.field.as_str()), Some("spec.http[0].route"), "{problems:?}");
}

#[test]
fn a_hash_has_one_key_and_one_table() {
    let policy = |hash: &str| {
        let text = format!(
            "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{ name: a }}\nspec: {{ host: a, trafficPolicy: {{ loadBalancer: {{ consistentHash: {hash} }} }} }}\n"
        );
        let problems = parse("", &text).problems;
        let at = "spec.trafficPolicy.loadBalancer.consistentHash";
        problems
            .iter()
            .map(|problem| problem.field.strip_prefix(at).unwrap_or(&problem.field).to_owned())
            .collect::<Vec<_>>()
    };
    let none: Vec<String> = Vec::new();
    for fine in [
        "{ httpHeaderName: x-user }",
        "{ httpCookie: { name: cart, path: /, ttl: 0s }, ringHash: { minimumRingSize: 10 } }",
        "{ httpQueryParameterName: q, maglev: { tableSize: 251 } }",
        "{ useSourceIp: true, minimumRingSize: 4096 }",
    ] {
        assert_eq!(policy(fine), none, "{fine}");
    }
    assert_eq!(policy("{ maglev: {} }"), [""]);
    assert_eq!(policy("{ useSourceIp: true, httpHeaderName: x }"), [""]);
    assert_eq!(policy("{ useSourceIp: true, maglev: {}, ringHash: {} }"), [""]);
    assert_eq!(policy("{ httpCookie: { name: \"a b\", path: \"/;x\" } }"), [".httpCookie.name", ".httpCookie.path"]);
    assert_eq!(policy("{ httpHeader: x }"), [".httpHeader"]);
}
