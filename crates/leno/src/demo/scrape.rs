//! What the proxies of the demo have counted, read from `/stats/prometheus` and added up to edges. Keeps no history.
//!
//! Shape       n proxies -> text -> `Sample`s -> edges (from, to, version)
//! Units       latencies in milliseconds, interpolated within the buckets of `istio_request_duration_milliseconds`
//! Source      Prometheus text format 0.0.4; Istio standard metrics, `reporter="source"`

use std::collections::BTreeMap;

use serde::Serialize;

/// One line of an exposition.
#[derive(Debug, PartialEq)]
struct Sample<'a> {
    name: &'a str,
    labels: Vec<(&'a str, String)>,
    value: f64,
}

impl Sample<'_> {
    fn label(&self, name: &str) -> &str {
        self.labels.iter().find(|(key, _)| *key == name).map_or("", |(_, value)| value.as_str())
    }
}

fn parse_line(line: &str) -> Option<Sample<'_>> {
    if line.starts_with('#') {
        return None;
    }
    let Some((name, rest)) = line.split_once('{') else {
        let (name, value) = line.split_once(' ')?;
        return Some(Sample { name, labels: Vec::new(), value: value.trim().parse().ok()? });
    };
    let (labels, rest) = parse_labels(rest)?;
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some(Sample { name, labels, value })
}

/// `a="b",c="d"} …`: the labels and what follows the brace.
fn parse_labels(mut rest: &str) -> Option<(Vec<(&str, String)>, &str)> {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start_matches(',');
        if let Some(after) = rest.strip_prefix('}') {
            return Some((labels, after));
        }
        let (key, after) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut characters = after.char_indices();
        let end = loop {
            match characters.next()? {
                (at, '"') => break at,
                (_, '\\') => value.push(match characters.next()?.1 {
                    'n' => '\n',
                    other => other,
                }),
                (_, other) => value.push(other),
            }
        };
        labels.push((key, value));
        rest = &after[end + 1..];
    }
}

/// Who called whom, as the caller's proxy counted it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Edge {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) version: String,
    pub(crate) requests: u64,
    /// Share of answers below 500.
    pub(crate) success_rate: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// Every request was under mutual TLS.
    pub(crate) mtls: bool,
}

/// Sums over all proxies since they started.
#[derive(Clone, Debug, Default)]
pub(crate) struct Totals {
    edges: BTreeMap<(String, String, String), EdgeTotals>,
    pub(crate) ejections: u64,
    pub(crate) retries: u64,
}

#[derive(Clone, Debug, Default)]
struct EdgeTotals {
    requests: u64,
    failures: u64,
    mutual_tls: u64,
    /// Upper bound in microseconds to cumulative count.
    buckets: BTreeMap<u64, u64>,
}

impl Totals {
    /// Adds what one proxy has exposed.
    pub(crate) fn add(&mut self, exposition: &str) {
        for sample in exposition.lines().filter_map(parse_line) {
            let count = sample.value as u64;
            match sample.name {
                "istio_requests_total" if sample.label("reporter") == "source" => {
                    let failed =
                        sample.label("response_code").parse::<u16>().is_ok_and(|code| code == 0 || code >= 500);
                    let mutual = sample.label("connection_security_policy") == "mutual_tls";
                    let edge = self.edge(&sample);
                    edge.requests += count;
                    edge.failures += if failed { count } else { 0 };
                    edge.mutual_tls += if mutual { count } else { 0 };
                }
                "istio_request_duration_milliseconds_bucket" if sample.label("reporter") == "source" => {
                    let bound = sample.label("le").parse::<f64>().unwrap_or(f64::INFINITY);
                    let micros = if bound.is_finite() { (bound * 1000.0) as u64 } else { u64::MAX };
                    *self.edge(&sample).buckets.entry(micros).or_default() += count;
                }
                "leno_proxy_outlier_ejections_total" => self.ejections += count,
                "leno_proxy_retries_total" => self.retries += count,
                _ => {}
            }
        }
    }

    fn edge(&mut self, sample: &Sample<'_>) -> &mut EdgeTotals {
        let name = |label: &str| sample.label(label).to_owned();
        let key = (name("source_canonical_service"), name("destination_service_name"), name("destination_version"));
        self.edges.entry(key).or_default()
    }

    pub(crate) fn edges(&self) -> Vec<Edge> {
        self.edges
            .iter()
            .filter(|(_, totals)| totals.requests > 0)
            .map(|((from, to, version), totals)| Edge {
                from: from.clone(),
                to: to.clone(),
                version: version.clone(),
                requests: totals.requests,
                success_rate: share(totals.requests - totals.failures, totals.requests),
                p50_ms: totals.quantile_ms(0.5),
                p99_ms: totals.quantile_ms(0.99),
                mtls: totals.mutual_tls == totals.requests,
            })
            .collect()
    }

    pub(crate) fn requests(&self) -> u64 {
        self.edges.values().map(|edge| edge.requests).sum()
    }

    pub(crate) fn success_rate(&self) -> f64 {
        let failures: u64 = self.edges.values().map(|edge| edge.failures).sum();
        share(self.requests() - failures, self.requests())
    }

    pub(crate) fn mtls_rate(&self) -> f64 {
        share(self.edges.values().map(|edge| edge.mutual_tls).sum(), self.requests())
    }
}

impl EdgeTotals {
    /// By linear interpolation within the bucket, as Prometheus' `histogram_quantile`.
    fn quantile_ms(&self, quantile: f64) -> f64 {
        let total = self.buckets.get(&u64::MAX).copied().unwrap_or_default();
        let rank = quantile * total as f64;
        let (mut lower, mut below) = (0_u64, 0_u64);
        for (&upper, &count) in &self.buckets {
            if count as f64 >= rank && count > below {
                let upper = if upper == u64::MAX { lower } else { upper };
                let inside = (rank - below as f64) / (count - below) as f64;
                let micros = lower as f64 + (upper - lower) as f64 * inside;
                return (micros / 10.0).round() / 100.0;
            }
            (lower, below) = (upper, count);
        }
        0.0
    }
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { ((part as f64 / whole as f64) * 1e6).round() / 1e6 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
# TYPE istio_requests_total counter
istio_requests_total{reporter="source",source_canonical_service="web",destination_service_name="reviews",destination_version="v1",response_code="200",connection_security_policy="mutual_tls"} 90
istio_requests_total{reporter="source",source_canonical_service="web",destination_service_name="reviews",destination_version="v1",response_code="503",connection_security_policy="mutual_tls"} 10
istio_requests_total{reporter="destination",source_canonical_service="web",destination_service_name="reviews",response_code="200"} 90
istio_request_duration_milliseconds_bucket{le="1.0",reporter="source",source_canonical_service="web",destination_service_name="reviews",destination_version="v1"} 50
istio_request_duration_milliseconds_bucket{le="2.0",reporter="source",source_canonical_service="web",destination_service_name="reviews",destination_version="v1"} 100
istio_request_duration_milliseconds_bucket{le="+Inf",reporter="source",source_canonical_service="web",destination_service_name="reviews",destination_version="v1"} 100
leno_proxy_outlier_ejections_total{cluster="a\"b"} 2
"#;

    #[test]
    fn edges_are_what_the_callers_counted() {
        let mut totals = Totals::default();
        totals.add(TEXT);
        let edges = totals.edges();
        assert_eq!(edges.len(), 1);
        let edge = &edges[0];
        assert_eq!((edge.requests, edge.success_rate, edge.mtls), (100, 0.9, true));
        assert_eq!((edge.p50_ms, edge.p99_ms), (1.0, 1.98));
        assert_eq!(totals.ejections, 2);
    }
}
