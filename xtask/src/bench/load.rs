//! Load on a proxy: `wrk` for what a request costs, our open-loop generator for how long it takes.

use anyhow::Context;
use serde::Deserialize;

use super::Sample;
use super::process::{LOAD_CPU, pinned};
use crate::command::output;

/// What a load generator saw.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    pub(crate) p50_us: Option<f64>,
    pub(crate) p99_us: Option<f64>,
}

/// 64 keep-alive connections, each asking again as soon as it has its answer.
pub(crate) fn closed_loop(address: &str, host: &str, seconds: u32, namespace: Option<&str>) -> anyhow::Result<Load> {
    let command: Vec<String> = [
        "wrk",
        "-t1",
        "-c64",
        &format!("-d{seconds}s"),
        "-H",
        &format!("Host: {host}"),
        &format!("http://{address}/bench"),
    ]
    .map(str::to_owned)
    .to_vec();
    let text = output(&mut pinned(&command, LOAD_CPU, namespace))?;
    parse_wrk(&text).with_context(|| format!("reading the output of wrk: {text}"))
}

fn parse_wrk(text: &str) -> Option<Load> {
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
    Some(Load { requests: requests?, errors, p50_us: None, p99_us: None })
}

#[derive(Deserialize)]
struct OpenLoopResult {
    requests: u64,
    errors: u64,
    p50_us: f64,
    p99_us: f64,
}

/// 1,000 requests a second on their own schedule.
pub(crate) fn open_loop(
    bench: &str,
    address: &str,
    host: &str,
    seconds: u32,
    namespace: Option<&str>,
) -> anyhow::Result<Load> {
    let seconds = seconds.to_string();
    let command = [bench, "open-loop", "--target", address, "--host", host, "--rate", "1000", "--seconds", &seconds];
    let text = output(&mut pinned(&command.map(str::to_owned), LOAD_CPU, namespace))?;
    let result: OpenLoopResult = serde_json::from_str(&text).context("reading the load generator's output")?;
    Ok(Load {
        requests: result.requests,
        errors: result.errors,
        p50_us: Some(result.p50_us),
        p99_us: Some(result.p99_us),
    })
}

impl Load {
    pub(crate) fn sample(&self, cpu_us: f64, seconds: f64, foreign_cpu: f64) -> Sample {
        let requests = self.requests.max(1) as f64;
        Sample {
            requests: self.requests,
            errors: self.errors,
            cpu_us_per_request: cpu_us / requests,
            requests_per_second: requests / seconds,
            p50_us: self.p50_us,
            p99_us: self.p99_us,
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
        let load = parse_wrk(text).expect("a result");
        assert_eq!((load.requests, load.errors), (60123, 7));
    }
}
