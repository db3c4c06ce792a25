//! Load on a proxy: `wrk` and `h2load` for what a request costs, our own generators for the rest.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use serde::Deserialize;

use super::peers::Peer;
use super::process::{LOAD_CPU, pinned};
use super::result::Sample;
use super::scenario::{Load, Shape, Work};
use super::set_up::SetUp;
use crate::command::output;

/// What a load generator saw.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Seen {
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    bytes: u64,
    p50_us: Option<f64>,
    p99_us: Option<f64>,
    /// Handshakes that were resumed.
    resumed: Option<f64>,
    /// What went wrong last.
    error: Option<String>,
}

fn run(set_up: &SetUp<'_>, words: &[&str]) -> anyhow::Result<String> {
    let command: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    output(&mut pinned(&command, LOAD_CPU, set_up.near()))
}

fn run_bench(set_up: &SetUp<'_>, words: &[&str]) -> anyhow::Result<Seen> {
    let all: Vec<&str> = [set_up.programs.bench.as_str()].iter().chain(words).copied().collect();
    let text = run(set_up, &all)?;
    serde_json::from_str(&text).with_context(|| format!("reading the load generator's output {text}"))
}

/// One small exchange of the scenario's kind.
pub(crate) fn probe(set_up: &SetUp<'_>, peer: &Peer) -> anyhow::Result<()> {
    match (&set_up.scenario.work, set_up.scenario.shape) {
        (_, Shape::TcpSingle | Shape::TcpSidecars) => bulk(set_up, peer, 0).map(|_| ()),
        (Work::Load(Load::Connect { resume }), _) => {
            let seen = connect(set_up, peer, 0, *resume)?;
            ensure!(seen.errors == 0, "{}", seen.error.unwrap_or_default());
            Ok(())
        }
        (_, shape) => {
            let (url, host) = (format!("http://{}/bench", peer.address), format!("Host: {}", peer.host));
            let mut words = vec!["curl", "-sf", "-o", "/dev/null", "-m", "2", "-H", &host, &url];
            if shape == Shape::Http2Single {
                words.insert(1, "--http2-prior-knowledge");
            }
            run(set_up, &words).map(|_| ())
        }
    }
}

/// 64 keep-alive connections, each asking again as soon as it has its answer.
pub(crate) fn closed_loop(set_up: &SetUp<'_>, peer: &Peer, seconds: u32) -> anyhow::Result<Seen> {
    let (duration, host) = (format!("-d{seconds}s"), format!("Host: {}", peer.host));
    let url = format!("http://{}/bench", peer.address);
    let text = run(set_up, &["wrk", "-t1", "-c64", &duration, "-H", &host, &url])?;
    parse_wrk(&text).with_context(|| format!("reading the output of wrk: {text}"))
}

fn parse_wrk(text: &str) -> Option<Seen> {
    let mut requests = None;
    let mut errors = 0;
    for line in text.lines().map(str::trim) {
        if let Some((count, _)) = line.split_once(" requests in ") {
            requests = count.parse().ok();
        } else if let Some(count) = line.strip_prefix("Non-2xx or 3xx responses: ") {
            errors += count.parse::<u64>().ok()?;
        } else if let Some(counts) = line.strip_prefix("Socket errors: ") {
            errors += counts.split(", ").filter_map(|part| part.split(' ').nth(1)?.parse::<u64>().ok()).sum::<u64>();
        }
    }
    Some(Seen { requests: requests?, errors, ..Seen::default() })
}

/// 4 connections with 16 streams each; POST when there is a file to send.
pub(crate) fn http2(set_up: &SetUp<'_>, peer: &Peer, seconds: u32, body: Option<&str>) -> anyhow::Result<Seen> {
    let (duration, url) = (format!("--duration={seconds}"), format!("http://{}/bench", peer.address));
    let mut words = vec!["h2load", "-t1", "-c4", "-m16", &duration];
    if let Some(file) = body {
        words.extend(["-d", file, "-H", "content-type: application/grpc", "-H", "te: trailers"]);
    }
    words.push(&url);
    let text = run(set_up, &words)?;
    parse_h2load(&text).with_context(|| format!("reading the output of h2load: {text}"))
}

fn parse_h2load(text: &str) -> Option<Seen> {
    let line = |start: &str| text.lines().find_map(|line| line.strip_prefix(start));
    let count = |line: &str, what: &str| {
        line.split(", ").find_map(|part| part.trim().strip_suffix(what)?.trim().parse::<u64>().ok())
    };
    let requests = line("requests: ")?;
    let codes = line("status codes: ")?;
    let succeeded = count(codes, "2xx")?;
    let failed = count(requests, "failed")? + count(requests, "timeout")?;
    Some(Seen { requests: succeeded, errors: failed, ..Seen::default() })
}

/// 1,000 requests a second on their own schedule.
pub(crate) fn open_loop(set_up: &SetUp<'_>, peer: &Peer, seconds: u32) -> anyhow::Result<Seen> {
    let seconds = seconds.to_string();
    let to = ["--target", &peer.address, "--host", &peer.host];
    run_bench(set_up, &[&["open-loop", "--rate", "1000", "--seconds", &seconds], &to[..]].concat())
}

/// One connection, as many bytes as go through.
pub(crate) fn bulk(set_up: &SetUp<'_>, peer: &Peer, seconds: u32) -> anyhow::Result<Seen> {
    let seen = run_bench(set_up, &["bulk", "--target", &peer.address, "--seconds", &seconds.to_string()])?;
    Ok(Seen { requests: 1, ..seen })
}

/// A connection per request.
pub(crate) fn connect(set_up: &SetUp<'_>, peer: &Peer, seconds: u32, resume: bool) -> anyhow::Result<Seen> {
    let (seconds, pki) = (seconds.to_string(), set_up.pki.path(""));
    let mut words = vec!["connect", "--target", &peer.address, "--seconds", &seconds];
    if set_up.scenario.shape == Shape::TlsSingle {
        words.extend(["--pki", &pki]);
    }
    if resume {
        words.push("--resume");
    }
    run_bench(set_up, &words)
}

impl Seen {
    pub(crate) fn sample(&self, cpu_us: f64, seconds: f64, foreign_cpu: f64) -> Sample {
        let requests = self.requests.max(1) as f64;
        let resumed = self.resumed.map(|resumed| ("resumed".to_owned(), resumed / requests));
        Sample {
            requests: self.requests,
            errors: self.errors,
            bytes: self.bytes,
            cpu_us_per_request: cpu_us / requests,
            requests_per_second: requests / seconds,
            p50_us: self.p50_us,
            p99_us: self.p99_us,
            values: resumed.into_iter().collect::<BTreeMap<_, _>>(),
            foreign_cpu,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrk_output_is_understood() {
        let text = "  2 threads\n  60123 requests in 3.00s, 68MB read\n  Socket errors: connect 0, read 1, write 0, timeout 2\n  Non-2xx or 3xx responses: 4\n";
        let seen = parse_wrk(text).expect("a result");
        assert_eq!((seen.requests, seen.errors), (60123, 7));
    }

    #[test]
    fn h2load_output_is_understood() {
        let text = "finished in 3.00s, 300 req/s\nrequests: 1000 total, 1064 started, 1000 done, 998 succeeded, 2 failed, 0 errored, 0 timeout\nstatus codes: 998 2xx, 0 3xx, 0 4xx, 2 5xx\n";
        let seen = parse_h2load(text).expect("a result");
        assert_eq!((seen.requests, seen.errors), (998, 2));
    }
}
