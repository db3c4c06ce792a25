//! How quiet the machine was: a number that comes with every result.

use std::fmt;

use serde::Serialize;

use super::network;
use super::result::{Sample, median};

/// Above this share of foreign CPU time a round is not trusted.
pub(crate) const FOREIGN_CPU_LIMIT: f64 = 0.10;

#[derive(Debug, Default, Serialize)]
pub(crate) struct Machine {
    cpu: String,
    cpus: usize,
    kernel: String,
    congestion_control: String,
    congestion_control_of_namespaces: &'static str,
    foreign_cpu_median: f64,
    foreign_cpu_max: f64,
    rounds: usize,
    noisy_rounds: usize,
}

impl Machine {
    pub(crate) fn describe() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let information = read("/proc/cpuinfo");
        let cpu = information
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(':').map(|(_, name)| name.trim().to_owned()))
            .unwrap_or_default();
        Self {
            cpu,
            cpus: std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get),
            kernel: read("/proc/sys/kernel/osrelease"),
            congestion_control: read("/proc/sys/net/ipv4/tcp_congestion_control"),
            congestion_control_of_namespaces: network::CONGESTION_CONTROL,
            ..Self::default()
        }
    }

    pub(crate) fn finish(&mut self, samples: &[Sample]) {
        self.rounds = samples.len();
        self.noisy_rounds = samples.iter().filter(|sample| sample.foreign_cpu > FOREIGN_CPU_LIMIT).count();
        self.foreign_cpu_median = median(samples.iter().map(|sample| sample.foreign_cpu));
        self.foreign_cpu_max = samples.iter().map(|sample| sample.foreign_cpu).fold(0.0, f64::max);
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "machine: {} x {}, Linux {}, TCP {} (between two hosts and for bulk: {}); foreign CPU: median {:.1} %, worst {:.1} %, {} of {} rounds above {:.0} %",
            self.cpus,
            self.cpu,
            self.kernel,
            self.congestion_control,
            self.congestion_control_of_namespaces,
            self.foreign_cpu_median * 100.0,
            self.foreign_cpu_max * 100.0,
            self.noisy_rounds,
            self.rounds,
            FOREIGN_CPU_LIMIT * 100.0,
        )
    }
}

/// CPU time of the whole machine that was not idle, in seconds since boot. Clock ticks are 10 ms on Linux.
pub(crate) fn busy_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields: Vec<f64> =
        text.lines().next().unwrap_or("").split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal: all but idle and iowait.
    fields.iter().enumerate().filter(|(at, _)| !matches!(at, 3 | 4) && *at < 8).map(|(_, ticks)| ticks / 100.0).sum()
}
