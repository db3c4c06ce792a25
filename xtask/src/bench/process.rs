//! Child processes of a benchmark: pinned, measured, and gone when the benchmark is.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::Context;

/// Where the proxies run, and where everything else does.
pub(crate) const PROXY_CPU: &str = "0";
pub(crate) const LOAD_CPU: &str = "1";

/// A running child; killed when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Starts `command` on one CPU, in a network namespace if given, its output in `log`.
    pub(crate) fn spawn(command: &[String], cpu: &str, namespace: Option<&str>, log: &Path) -> anyhow::Result<Self> {
        let mut pinned = pinned(command, cpu, namespace);
        let file = File::create(log).with_context(|| format!("making {}", log.display()))?;
        pinned.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = pinned.spawn().with_context(|| format!("starting {}", command.join(" ")))?;
        Ok(Self { child })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// CPU time of all threads so far, in microseconds, from the scheduler's own nanosecond account.
    pub(crate) fn cpu_us(&self) -> f64 {
        let Ok(threads) = std::fs::read_dir(format!("/proc/{}/task", self.id())) else { return 0.0 };
        threads
            .flatten()
            .filter_map(|thread| std::fs::read_to_string(thread.path().join("schedstat")).ok())
            .filter_map(|text| text.split_whitespace().next()?.parse::<f64>().ok())
            .sum::<f64>()
            / 1000.0
    }

    /// Resident memory in MB.
    pub(crate) fn rss_mb(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap_or_default();
        let kilobytes =
            status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse::<f64>().ok());
        kilobytes.unwrap_or(0.0) / 1024.0
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is ours and must be gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `taskset -c CPU` and `ip netns exec NS` replace themselves by the program, so the child's id is the program's.
pub(crate) fn pinned(command: &[String], cpu: &str, namespace: Option<&str>) -> Command {
    let mut words: Vec<&str> = Vec::new();
    if let Some(namespace) = namespace {
        words.extend(["ip", "netns", "exec", namespace]);
    }
    words.extend(["taskset", "-c", cpu]);
    words.extend(command.iter().map(String::as_str));
    let mut pinned = Command::new(words[0]);
    pinned.args(&words[1..]);
    pinned
}
