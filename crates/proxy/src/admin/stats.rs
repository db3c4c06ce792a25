//! `/stats`: everything that has a name of Envoy's, as text, as JSON, or for Prometheus.
//!
//! Source      Envoy operations/admin, "GET /stats"; its Prometheus names and labels (`well_known_names`)

use std::fmt::Write;

use serde_json::{Value as Json, json};

use super::query::Query;
use crate::stats::{Histogram, Root, Snapshot, Stat, Value};

/// What Envoy shows of a distribution.
const QUANTILES: [f64; 10] = [0.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9, 100.0];

/// What is asked for.
#[derive(Debug)]
pub(super) struct Wanted {
    format: Format,
    buckets: Buckets,
    kind: Option<Kind>,
    used_only: bool,
    filter: Option<regex::Regex>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Format {
    Json,
    Prometheus,
    Text,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Buckets {
    Cumulative,
    Disjoint,
    Summary,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Counters,
    Gauges,
    Histograms,
    TextReadouts,
}

impl Wanted {
    /// # Errors
    /// What Envoy answers then.
    pub(super) fn new(query: &Query, default: Format) -> Result<Self, String> {
        let format = match query.get("format") {
            None => default,
            Some("json") => Format::Json,
            Some("prometheus") => Format::Prometheus,
            Some("text") => Format::Text,
            Some(_) => return Err("usage: /stats?format=(json|prometheus|text)\n\n".to_owned()),
        };
        let buckets = match query.get("histogram_buckets") {
            None | Some("" | "none" | "summary") => Buckets::Summary,
            Some("cumulative") => Buckets::Cumulative,
            Some("disjoint") => Buckets::Disjoint,
            Some(_) => return Err("usage: /stats?histogram_buckets=(cumulative|disjoint|summary)\n".to_owned()),
        };
        let kind = match query.get("type") {
            None | Some("All") => None,
            Some("Counters") => Some(Kind::Counters),
            Some("Gauges") => Some(Kind::Gauges),
            Some("Histograms") => Some(Kind::Histograms),
            Some("TextReadouts") => Some(Kind::TextReadouts),
            Some(_) => return Err("invalid &type= param".to_owned()),
        };
        Ok(Self { format, buckets, kind, used_only: query.has("usedonly"), filter: query.regex("filter")? })
    }

    pub(super) fn format(&self) -> Format {
        self.format
    }

    fn takes(&self, name: &str, stat: &Stat) -> bool {
        let (kind, is_used) = match &stat.value {
            Value::Counter(total) => (Kind::Counters, *total > 0),
            Value::Gauge(level) => (Kind::Gauges, *level != 0 || stat.is_used),
            Value::Histogram(histogram) => (Kind::Histograms, histogram.count() > 0),
        };
        self.kind.is_none_or(|wanted| wanted == kind)
            && (is_used || !self.used_only)
            && self.filter.as_ref().is_none_or(|filter| filter.is_match(name))
    }

    fn of<'a>(&self, snapshot: &'a Snapshot) -> impl Iterator<Item = (&'a str, &'a Stat)> {
        snapshot.stats.iter().map(|(name, stat)| (name.as_str(), stat)).filter(|(name, stat)| self.takes(name, stat))
    }

    pub(super) fn text(&self, snapshot: &Snapshot) -> String {
        let mut page = String::new();
        let mut histograms = String::new();
        for (name, stat) in self.of(snapshot) {
            // Writing to a String cannot fail.
            let _ = match &stat.value {
                Value::Counter(total) => writeln!(page, "{name}: {total}"),
                Value::Gauge(level) => writeln!(page, "{name}: {level}"),
                Value::Histogram(histogram) => writeln!(histograms, "{name}: {}", self.line(histogram)),
            };
        }
        page + &histograms
    }

    /// There is no flush interval here: the first of each pair, which Envoy gives for it, is never known.
    fn line(&self, histogram: &Histogram) -> String {
        if histogram.count() == 0 {
            return "No recorded values".to_owned();
        }
        let (letter, pairs): (_, Vec<(String, f64)>) = match self.buckets {
            Buckets::Summary => {
                let quantile = |of: f64| (of.to_string(), histogram.quantile(of / 100.0));
                ("P", QUANTILES.map(quantile).to_vec())
            }
            Buckets::Cumulative => ("B", self.buckets(histogram)),
            Buckets::Disjoint => ("B", self.buckets(histogram)),
        };
        let pairs = pairs.into_iter().map(|(name, value)| format!("{letter}{name}(nan,{value})"));
        pairs.collect::<Vec<_>>().join(" ")
    }

    fn buckets(&self, histogram: &Histogram) -> Vec<(String, f64)> {
        let mut sum = 0;
        let bounded = histogram.buckets().into_iter().filter(|(bound, _)| bound.is_finite());
        let bucket = |(bound, count): (f64, u64)| {
            sum += count;
            (bound.to_string(), if self.buckets == Buckets::Cumulative { sum } else { count } as f64)
        };
        bounded.map(bucket).collect()
    }

    pub(super) fn json(&self, snapshot: &Snapshot) -> Json {
        let mut stats = Vec::new();
        let mut histograms = Vec::new();
        for (name, stat) in self.of(snapshot) {
            match &stat.value {
                Value::Counter(total) => stats.push(json!({ "name": name, "value": total })),
                Value::Gauge(level) => stats.push(json!({ "name": name, "value": level })),
                Value::Histogram(histogram) => {
                    let value = |of: f64| match histogram.count() {
                        0 => json!({ "cumulative": null, "interval": null }),
                        _ => json!({ "cumulative": histogram.quantile(of / 100.0), "interval": null }),
                    };
                    histograms.push(json!({ "name": name, "values": QUANTILES.map(value) }));
                }
            }
        }
        if !histograms.is_empty() {
            let quantiles = QUANTILES.map(|of| if of.fract() == 0.0 { json!(of as u64) } else { json!(of) });
            stats.push(json!({ "histograms": {
                "supported_quantiles": quantiles, "computed_quantiles": histograms,
            }}));
        }
        json!({ "stats": stats })
    }

    /// Counters, gauges, histograms, each by name.
    pub(super) fn prometheus(&self, snapshot: &Snapshot) -> String {
        let mut rows: Vec<(u8, String, String, &Value)> = Vec::new();
        for (name, stat) in self.of(snapshot) {
            let (metric, labels) = metric(name, stat);
            let order = match stat.value {
                Value::Counter(_) => 0,
                Value::Gauge(_) => 1,
                Value::Histogram(_) => 2,
            };
            rows.push((order, metric, labels, &stat.value));
        }
        rows.sort_by(|one, other| (one.0, &one.1).cmp(&(other.0, &other.1)));
        let mut page = String::new();
        let mut last = String::new();
        for (_, metric, labels, value) in rows {
            let kind = match value {
                Value::Counter(_) => "counter",
                Value::Gauge(_) => "gauge",
                Value::Histogram(_) => "histogram",
            };
            if metric != last {
                let _ = writeln!(page, "# TYPE {metric} {kind}");
                last.clone_from(&metric);
            }
            let _ = match value {
                Value::Counter(total) => writeln!(page, "{metric}{{{labels}}} {total}"),
                Value::Gauge(level) => writeln!(page, "{metric}{{{labels}}} {level}"),
                Value::Histogram(histogram) => write_histogram(&mut page, &metric, &labels, histogram),
            };
        }
        page
    }
}

fn write_histogram(page: &mut String, metric: &str, labels: &str, histogram: &Histogram) -> std::fmt::Result {
    let comma = if labels.is_empty() { "" } else { "," };
    let mut sum = 0;
    for (bound, count) in histogram.buckets() {
        sum += count;
        let bound = if bound.is_finite() { bound.to_string() } else { "+Inf".to_owned() };
        writeln!(page, "{metric}_bucket{{{labels}{comma}le=\"{bound}\"}} {sum}")?;
    }
    writeln!(page, "{metric}_sum{{{labels}}} {}", histogram.sum())?;
    writeln!(page, "{metric}_count{{{labels}}} {sum}")
}

/// Envoy's name for Prometheus: what names a place or a status becomes a label.
fn metric(name: &str, stat: &Stat) -> (String, String) {
    let mut labels = Vec::new();
    let mut rest = name.to_owned();
    if let Some((root, scope)) = &stat.place {
        let start = format!("{}.{scope}.", root.as_str());
        let mut tail = name.strip_prefix(&start).unwrap_or(name).to_owned();
        if *root == Root::Listener
            && let Some((prefix, after)) = tail.strip_prefix("http.").and_then(|tail| tail.split_once(".downstream_"))
        {
            labels.push((Root::Http.label(), prefix.to_owned()));
            tail = format!("http.downstream_{after}");
        }
        labels.push((root.label(), scope.clone()));
        rest = format!("{}.{tail}", root.as_str());
    }
    if let Some((head, status)) = rest.rsplit_once("_rq_") {
        let digits = status.bytes().take_while(u8::is_ascii_digit).count();
        match (digits, status.len()) {
            (3, 3) => {
                labels.insert(0, ("envoy_response_code", status.to_owned()));
                rest = format!("{head}_rq");
            }
            (1, 3) if status.ends_with("xx") => {
                labels.insert(0, ("envoy_response_code_class", status[..1].to_owned()));
                rest = format!("{head}_rq_xx");
            }
            _ => {}
        }
    }
    let metric: String = rest.chars().map(|c| if c.is_ascii_alphanumeric() || c == ':' { c } else { '_' }).collect();
    let escaped = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let labels = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value)));
    (format!("envoy_{metric}"), labels.collect::<Vec<_>>().join(","))
}

/// The text format that scrapers without OpenMetrics read, of a page of OpenMetrics: counters are named in full.
pub(super) fn without_open_metrics(page: &str) -> String {
    let mut out = String::with_capacity(page.len());
    for line in page.lines().filter(|line| *line != "# EOF" && !line.starts_with("# UNIT ")) {
        let of_counter = line.strip_prefix("# TYPE ").and_then(|rest| rest.strip_suffix(" counter"));
        let _ = match of_counter {
            Some(name) => writeln!(out, "# TYPE {name}_total counter"),
            None => writeln!(out, "{line}"),
        };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(root: Root, scope: &str, name: &str) -> (String, String) {
        let stat = Stat { place: Some((root, scope.to_owned())), value: Value::Counter(1), is_used: true };
        metric(&format!("{}.{scope}.{name}", root.as_str()), &stat)
    }

    #[test]
    fn places_and_statuses_become_labels() {
        let (name, labels) = named(Root::Cluster, "a.b", "external.upstream_rq_200");
        assert_eq!(name, "envoy_cluster_external_upstream_rq");
        assert_eq!(labels, "envoy_response_code=\"200\",envoy_cluster_name=\"a.b\"");
        let (name, labels) = named(Root::Listener, "127.0.0.1_80", "http.web.downstream_rq_2xx");
        assert_eq!(name, "envoy_listener_http_downstream_rq_xx");
        assert_eq!(
            labels,
            "envoy_response_code_class=\"2\",envoy_http_conn_manager_prefix=\"web\",envoy_listener_address=\"127.0.0.1_80\""
        );
        assert_eq!(named(Root::Http, "web", "downstream_rq_total").0, "envoy_http_downstream_rq_total");
    }

    #[test]
    fn counters_of_open_metrics_are_named_in_full() {
        let page = "# HELP a x.\n# TYPE a counter\na_total 1\n# TYPE b gauge\nb 2\n# EOF\n";
        assert_eq!(without_open_metrics(page), "# HELP a x.\n# TYPE a_total counter\na_total 1\n# TYPE b gauge\nb 2\n");
    }
}
