//! `explain` and `diff` on a small shop.

use crate::diff::{self, Format};
use crate::explain::{Explanation, Request, explain};
use crate::files::Input;
use crate::loaded::Loaded;
use crate::mesh::Mesh;

const SHOP: &str = r#"apiVersion: v1
kind: Service
metadata: { name: reviews }
spec: { selector: { app: reviews }, ports: [{ name: http, port: 9080 }, { name: tcp-db, port: 9090 }] }
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: { name: reviews-v1 }
spec: { address: 127.0.0.1, serviceAccount: reviews, labels: { app: reviews, version: v1 } }
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: { name: reviews-v2 }
spec: { address: 127.0.0.2, serviceAccount: reviews, labels: { app: reviews, version: v2 } }
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: reviews }
spec:
  host: reviews
  subsets:
    - { name: v1, labels: { version: v1 } }
    - { name: v2, labels: { version: v2 } }
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: reviews }
spec:
  hosts: [reviews]
  http:
    - name: testers
      match: [{ headers: { end-user: { exact: jason } } }]
      timeout: 3s
      retries: { attempts: 4, perTryTimeout: 1s, retryOn: 5xx }
      route: [{ destination: { host: reviews, subset: v2 } }]
    - match: [{ uri: { exact: /old } }]
      redirect: { uri: /new }
    - route: [{ destination: { host: reviews, subset: v1 }, weight: 75 }, { destination: { host: reviews, subset: v2 }, weight: 25 }]
"#;

fn inputs(text: &str) -> Vec<Input> {
    vec![Input { source: "shop.yaml".to_owned(), text: text.to_owned() }]
}

const ENTRY: &str = r#"---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: { name: entry }
spec:
  gatewayClassName: leno
  listeners:
    - { name: all, port: 80, protocol: HTTP }
    - { name: shop, port: 80, protocol: HTTP, hostname: "*.shop.example" }
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: front }
spec:
  parentRefs: [{ name: entry, sectionName: shop }]
  rules:
    - matches: [{ path: { value: /reviews } }]
      timeouts: { request: 2s }
      backendRefs: [{ name: reviews, port: 9080 }]
"#;

fn explained(url: &str, headers: &[&str]) -> Explanation {
    explained_from(SHOP, "default/ratings", url, headers)
}

fn explained_from(text: &str, from: &str, url: &str, headers: &[&str]) -> Explanation {
    let loaded = Loaded::of(&inputs(text));
    assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
    let mut mesh = Mesh::of(&loaded.resources, &"cluster.local".parse().unwrap());
    let headers: Vec<_> = headers.iter().map(|header| (*header).to_owned()).collect();
    let request = Request::read("get", url, &headers).unwrap();
    explain(&loaded, &mut mesh, from, &request).unwrap()
}

/// `what text @field:line` of the steps of a kind.
fn steps(explanation: &Explanation, what: &str) -> Vec<String> {
    let steps = explanation.steps.iter().filter(|step| step.what == what);
    steps.map(|step| format!("{} @{}:{}", step.text, step.field, step.line)).collect()
}

#[test]
fn a_request_is_followed_to_its_endpoints() {
    let told = explained("http://reviews:9080/x", &["end-user: jason"]);
    assert!(told.is_served);
    assert_eq!(steps(&told, "route"), ["rule \"testers\" takes it @spec.http[0]:31"]);
    assert!(steps(&told, "timeout")[0].starts_with("3s"), "{told:#?}");
    assert!(steps(&told, "retries")[0].starts_with("up to 4, 1s each on 5xx"), "{told:#?}");
    let host = "reviews.default.svc.cluster.local";
    assert_eq!(steps(&told, "destination"), [format!("all requests to {host}, subset v2 @spec.subsets[1]:23")]);
    assert_eq!(steps(&told, "endpoint"), ["127.0.0.2:9080, healthy @spec.address:14"]);
    let text = told.render();
    assert!(text.contains("by VirtualService default/reviews: spec.http[0] at shop.yaml:31"), "{text}");
}

#[test]
fn shares_and_answers_are_told() {
    let told = explained("reviews:9080", &[]);
    let shares: Vec<_> = steps(&told, "destination").iter().map(|step| step[..6].to_owned()).collect();
    assert_eq!(shares, ["75.0 %", "25.0 %"]);
    let told = explained("http://reviews:9080/old", &[]);
    assert!(told.is_served && steps(&told, "answer")[0].starts_with("301 to http://reviews:9080/new"), "{told:#?}");
    let tcp = explained("http://reviews:9090/", &[]);
    assert!(tcp.is_served && steps(&tcp, "route")[0].starts_with("a connection"), "{tcp:#?}");
}

#[test]
fn a_request_that_goes_nowhere_is_told_why() {
    for (url, why) in [("http://nobody/", "502"), ("http://reviews:1/", "no port 1, only 9080, 9090")] {
        let told = explained(url, &[]);
        assert!(!told.is_served && told.render().contains(why), "{}", told.render());
    }
}

#[test]
fn what_changes_is_told_with_who_changes_it() {
    let domain = "cluster.local".parse().unwrap();
    let before = inputs(SHOP);
    let groups = diff::compare(&before, &before, false, &domain);
    assert_eq!(diff::render(&groups, Format::Text), "nothing changes for any proxy\n");
    let after = inputs(&SHOP.replace("weight: 75", "weight: 60").replace("weight: 25", "weight: 40"));
    let text = diff::render(&diff::compare(&before, &after, false, &domain), Format::Text);
    let expected = "\
for all proxies:
  ~ routes outbound|9080||reviews.default.svc.cluster.local
      virtual_hosts[0].routes[2].action.forward.clusters[0].weight: 75 becomes 60
      virtual_hosts[0].routes[2].action.forward.clusters[1].weight: 25 becomes 40
    by VirtualService default/reviews (changed, shop.yaml:25)
";
    assert_eq!(text, expected);
}

#[test]
fn applied_objects_join_those_that_are_there() {
    let domain = "cluster.local".parse().unwrap();
    let before = inputs(SHOP);
    let more =
        "apiVersion: v1\nkind: Service\nmetadata: { name: details }\nspec: { ports: [{ name: http, port: 80 }] }\n";
    let groups = diff::compare(&before, &inputs(more), true, &domain);
    let text = diff::render(&groups, Format::Text);
    assert!(text.contains("+ cluster outbound|80||details.default.svc.cluster.local"), "{text}");
    assert!(text.contains("by Service default/details (added, shop.yaml:1)") && !text.contains("  - "), "{text}");
    let xds: serde_json::Value = serde_json::from_str(&diff::render(&groups, Format::Xds)).unwrap();
    assert!(xds[0]["sent"].to_string().contains("envoy.config.cluster.v3.Cluster"), "{xds}");
    let gone = diff::render(&diff::compare(&before, &inputs(more), false, &domain), Format::Json);
    assert!(gone.contains("\"removed\""), "{gone}");
}

#[test]
fn a_request_to_a_gateway_is_followed_from_its_listener() {
    let shop = format!("{SHOP}{ENTRY}");
    let told = explained_from(&shop, "gateway/entry", "http://www.shop.example/reviews/1", &[]);
    assert!(told.is_served, "{}", told.render());
    let line = |text: &str| shop.lines().position(|line| line.contains(text)).unwrap() + 1;
    let listener = format!("shop on port 80, for *.shop.example @spec.listeners[1]:{}", line("name: shop"));
    assert_eq!(steps(&told, "listener"), [listener]);
    let rule = line("value: /reviews");
    assert_eq!(steps(&told, "route"), [format!("rule \"front.0\" takes it @spec.rules[0]:{rule}")]);
    assert_eq!(steps(&told, "timeout").len(), 1);
    assert_eq!(steps(&told, "endpoint").len(), 2);

    let elsewhere = explained_from(&shop, "gateway/default/entry", "http://other.example/reviews", &[]);
    assert!(!elsewhere.is_served && steps(&elsewhere, "route")[0].contains("404"), "{}", elsewhere.render());
    let closed = explained_from(&shop, "gateway/entry", "http://www.shop.example:81/", &[]);
    assert!(steps(&closed, "listener")[0].contains("nothing listens on port 81"), "{}", closed.render());
}
