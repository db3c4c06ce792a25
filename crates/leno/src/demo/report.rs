//! What the demo found: the JSON of `leno demo --json`, and whether the mesh did its job.

use serde::Serialize;

use super::scrape::{Edge, Totals};

#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Report {
    pub(crate) ok: bool,
    /// Over all edges.
    pub(crate) requests: u64,
    pub(crate) success_rate: f64,
    pub(crate) mtls_rate: f64,
    pub(crate) edges: Vec<Edge>,
    pub(crate) proxies: Vec<ProxyState>,
    /// Why `ok` is false.
    pub(crate) problems: Vec<String>,
}

/// What the control plane says.
#[derive(Clone, Debug, Default)]
pub(crate) struct MeshStatus {
    pub(crate) proxies: Vec<ProxyState>,
    /// Files and objects that it refused.
    pub(crate) errors: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct ProxyState {
    pub(crate) name: String,
    pub(crate) in_sync: bool,
}

/// Least share of requests that must succeed although one version always fails.
const LEAST_SUCCESS: f64 = 0.99;
/// From so many requests to `reviews` on, the 90/10 split is held to `SPLIT` (five standard deviations at 500).
const SPLIT_SAMPLE: u64 = 500;
const SPLIT: std::ops::RangeInclusive<f64> = 0.83..=0.97;

impl Report {
    /// `own_rules` is true when the demo runs its own routing, whose outcome is known.
    pub(crate) fn new(totals: &Totals, status: MeshStatus, own_rules: bool) -> Self {
        let mut report = Self {
            ok: false,
            requests: totals.requests(),
            success_rate: totals.success_rate(),
            mtls_rate: totals.mtls_rate(),
            edges: totals.edges(),
            proxies: status.proxies,
            problems: status.errors,
        };
        report.judge(own_rules, totals.ejections);
        report
    }

    fn judge(&mut self, own_rules: bool, ejections: u64) {
        let mut problems = std::mem::take(&mut self.problems);
        if self.requests == 0 {
            problems.push("no request went through the mesh".to_owned());
        }
        if self.success_rate < LEAST_SUCCESS {
            problems.push(format!("only {:.2} % of the requests succeeded", self.success_rate * 100.0));
        }
        if self.mtls_rate < 1.0 {
            problems.push(format!("only {:.2} % of the requests were under mutual TLS", self.mtls_rate * 100.0));
        }
        for proxy in self.proxies.iter().filter(|proxy| !proxy.in_sync) {
            problems.push(format!("proxy {} is not in sync", proxy.name));
        }
        if own_rules {
            problems.extend(self.judge_split());
            if ejections == 0 {
                problems.push("reviews v3 fails but was never ejected".to_owned());
            }
        }
        self.ok = problems.is_empty();
        self.problems = problems;
    }

    fn judge_split(&self) -> Option<String> {
        let to_reviews = || self.edges.iter().filter(|edge| edge.to == "reviews");
        let all: u64 = to_reviews().map(|edge| edge.requests).sum();
        let stable: u64 = to_reviews().filter(|edge| edge.version == "v1").map(|edge| edge.requests).sum();
        let share = stable as f64 / all as f64;
        (all >= SPLIT_SAMPLE && !SPLIT.contains(&share))
            .then(|| format!("reviews v1 got {:.1} % of the requests instead of 90 %", share * 100.0))
    }
}
