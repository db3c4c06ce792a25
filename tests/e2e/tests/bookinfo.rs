//! The tasks of Istio's tutorial on its sample Bookinfo, with the tutorial's objects: what it promises is what happens.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use leno_e2e::{LIMIT, Mesh, Workload, WorkloadOptions, eventually};

const SERVICES: [(&str, &[&str]); 3] = [("details", &["v1"]), ("ratings", &["v1"]), ("reviews", &["v1", "v2", "v3"])];

/// Services, and `destination-rule-all.yaml`.
fn shop() -> String {
    let mut text = String::new();
    for (service, versions) in SERVICES {
        let subsets: String = versions.iter().fold(String::new(), |mut all, version| {
            let _ = writeln!(all, "  - name: {version}\n    labels:\n      version: {version}");
            all
        });
        let _ = write!(
            text,
            "---
apiVersion: v1
kind: Service
metadata: {{ name: {service}, labels: {{ app: {service} }} }}
spec: {{ selector: {{ app: {service} }}, ports: [{{ port: 9080, name: http }}] }}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata:
  name: {service}
spec:
  host: {service}
  subsets:
{subsets}"
        );
    }
    text
}

/// A VirtualService of a service with the tutorial's `http`.
fn routes(service: &str, http: &str) -> String {
    format!(
        "---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: {service}
spec:
  hosts:
  - {service}
  http:
{http}"
    )
}

/// One route: `subset`, or with a weight `subset=50`.
fn to(service: &str, subsets: &[&str]) -> String {
    let mut text = "  - route:\n".to_owned();
    for subset in subsets {
        let (subset, weight) = subset.split_once('=').map_or((*subset, None), |(name, weight)| (name, Some(weight)));
        let _ = writeln!(text, "    - destination:\n        host: {service}\n        subset: {subset}");
        if let Some(weight) = weight {
            let _ = writeln!(text, "      weight: {weight}");
        }
    }
    text
}

/// The same for the user jason alone, with what stands before `route`.
fn for_jason(service: &str, before: &str, subset: &str) -> String {
    format!(
        "  - match:
    - headers:
        end-user:
          exact: jason
{before}{}",
        to(service, &[subset]).replacen("  - route", "    route", 1)
    )
}

struct Shop {
    mesh: Mesh,
    page: Workload,
    _servers: Vec<Workload>,
}

impl Shop {
    fn open() -> anyhow::Result<Self> {
        let mesh = Mesh::start(&shop())?;
        let token = mesh.token(&["details", "ratings", "reviews", "productpage"], 6)?;
        let mut servers = Vec::new();
        for (service, versions) in SERVICES {
            for version in versions {
                let name = format!("{service}-{version}");
                servers.push(mesh.run(&WorkloadOptions {
                    version,
                    port: Some("9080:http"),
                    app: &["echo", "--name", &name],
                    ..WorkloadOptions::new(service, &name, &token)
                })?);
            }
        }
        let page = mesh.client("productpage", &token)?;
        let shop = Self { mesh, page, _servers: servers };
        for (service, versions) in SERVICES {
            for version in versions {
                let name = format!("{service}-{version}");
                eventually(&format!("{name} answers"), LIMIT, || (shop.ask(service, None)? == name).then_some(()));
            }
        }
        Ok(shop)
    }

    fn apply(&self, objects: &str) -> anyhow::Result<()> {
        self.mesh.write_resources("routes.yaml", objects)
    }

    /// Who answers a user; `None` for a failure.
    fn ask(&self, service: &str, user: Option<&str>) -> Option<String> {
        let answer = self.answer(service, user).ok().filter(|answer| answer.status == 200)?;
        answer.header("x-app").map(str::to_owned)
    }

    fn answer(&self, service: &str, user: Option<&str>) -> anyhow::Result<leno_e2e::Response> {
        let headers: Vec<_> = user.map(|user| ("end-user", user)).into_iter().collect();
        self.page.request("GET", &format!("{service}:9080"), "/", &headers, b"")
    }

    /// Waits until jason is answered by one and everybody else by another, always.
    fn settles(&self, service: &str, others: &str, jason: &str) {
        eventually(&format!("{jason} for jason and {others} for others"), LIMIT, || {
            let all = (0..12).all(|_| {
                self.ask(service, Some("jason")).as_deref() == Some(jason)
                    && self.ask(service, None).as_deref() == Some(others)
                    && self.ask(service, Some("anna")).as_deref() == Some(others)
            });
            all.then_some(())
        });
    }

    fn counts(&self, service: &str, requests: u32) -> BTreeMap<String, u32> {
        let mut counts = BTreeMap::new();
        for _ in 0..requests {
            *counts.entry(self.ask(service, None).unwrap_or_default()).or_default() += 1;
        }
        counts
    }
}

#[test]
fn requests_are_routed_shifted_and_mirrored() -> anyhow::Result<()> {
    let shop = Shop::open()?;
    // virtual-service-all-v1.yaml
    shop.apply(&routes("reviews", &to("reviews", &["v1"])))?;
    shop.settles("reviews", "reviews-v1", "reviews-v1");
    // virtual-service-reviews-test-v2.yaml
    let jason = for_jason("reviews", "", "v2");
    shop.apply(&routes("reviews", &format!("{jason}{}", to("reviews", &["v1"]))))?;
    shop.settles("reviews", "reviews-v1", "reviews-v2");
    // virtual-service-reviews-jason-v2-v3.yaml
    shop.apply(&routes("reviews", &format!("{jason}{}", to("reviews", &["v3"]))))?;
    shop.settles("reviews", "reviews-v3", "reviews-v2");
    // virtual-service-reviews-50-v3.yaml
    shop.apply(&routes("reviews", &to("reviews", &["v1=50", "v3=50"])))?;
    eventually("v1 answers again", LIMIT, || (shop.ask("reviews", None)? == "reviews-v1").then_some(()));
    let counts = shop.counts("reviews", 200);
    // Six standard deviations.
    assert!(counts.len() == 2 && counts.values().all(|count| (58..=142).contains(count)), "{counts:?}");
    // virtual-service-reviews-90-10.yaml
    shop.apply(&routes("reviews", &to("reviews", &["v1=90", "v2=10"])))?;
    eventually("v2 answers", LIMIT, || (shop.ask("reviews", None)? == "reviews-v2").then_some(()));
    let counts = shop.counts("reviews", 200);
    let of_v2 = counts.get("reviews-v2").copied().unwrap_or_default();
    assert!(counts.len() == 2 && (1..=46).contains(&of_v2), "{counts:?}");
    // virtual-service-reviews-v3.yaml
    shop.apply(&routes("reviews", &to("reviews", &["v3"])))?;
    shop.settles("reviews", "reviews-v3", "reviews-v3");
    // The task "Mirroring": v1 answers, v2 sees the same.
    let mirror = "    mirror:\n      host: reviews\n      subset: v2\n    mirrorPercentage:\n      value: 100.0\n";
    shop.apply(&routes("reviews", &format!("{}{mirror}", to("reviews", &["v1"]))))?;
    shop.settles("reviews", "reviews-v1", "reviews-v1");
    let seen = || shop.mesh.read_log("reviews-v2.access").lines().count();
    let before = seen();
    shop.answer("reviews", None)?;
    eventually("v2 sees it, too", LIMIT, || (seen() > before).then_some(()));
    Ok(())
}

#[test]
fn faults_and_timeouts_are_injected_for_one_user() -> anyhow::Result<()> {
    let shop = Shop::open()?;
    // virtual-service-ratings-test-delay.yaml; the tutorial's 7 s, scaled.
    let delay = "    fault:\n      delay:\n        percentage:\n          value: 100.0\n        fixedDelay: 700ms\n";
    let delayed = for_jason("ratings", delay, "v1");
    shop.apply(&routes("ratings", &format!("{delayed}{}", to("ratings", &["v1"]))))?;
    let takes = |user| {
        let started = Instant::now();
        shop.ask("ratings", Some(user)).map(|_| started.elapsed())
    };
    let wait = Duration::from_millis(700);
    eventually("jason waits", LIMIT, || (takes("jason")? >= wait).then_some(()));
    eventually("others do not", LIMIT, || (takes("anna")? < wait).then_some(()));
    // virtual-service-ratings-test-abort.yaml
    let abort = "    fault:\n      abort:\n        percentage:\n          value: 100.0\n        httpStatus: 500\n";
    let aborted = for_jason("ratings", abort, "v1");
    shop.apply(&routes("ratings", &format!("{aborted}{}", to("ratings", &["v1"]))))?;
    let failure = eventually("jason fails", LIMIT, || {
        shop.answer("ratings", Some("jason")).ok().filter(|answer| answer.status == 500)
    });
    assert_eq!(failure.text(), "fault filter abort");
    assert_eq!(shop.ask("ratings", None).as_deref(), Some("ratings-v1"));
    // The task "Request timeouts": half a second for what takes longer.
    let timeout = "    timeout: 0.5s\n    headers: { response: { set: { x-task: timeout } } }\n";
    shop.apply(&routes("details", &format!("{}{timeout}", to("details", &["v1"]))))?;
    eventually("the route is there", LIMIT, || {
        shop.answer("details", None).ok()?.header("x-task").is_some().then_some(())
    });
    let late = shop.page.request("GET", "details:9080", "/hold/for-ever", &[], b"")?;
    assert_eq!((late.status, late.text().as_str()), (504, "upstream request timeout"));
    assert_eq!(shop.ask("details", None).as_deref(), Some("details-v1"));
    Ok(())
}
