//! Child processes of a benchmark: pinned, measured, and gone when the benchmark is.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::Context;

/// Where the proxies run, and where everything else does.
pub(crate) const PROXY_CPU: &str = "0";
pub(crate) const LOAD_CPU: &str = "1";

/// A running child; killed when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` on one CPU, in a network namespace if given, its output in `log`.
    pub(crate) fn spawn(command: &[String], cpu: &str, namespace: Option<&str>, log: &Path) -> anyhow::Result<Self> {
        let mut pinned = pinned(command, cpu, namespace);
        let file = File::create(log).with_context(|| format!("making {}", log.display()))?;
        pinned.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = pinned.spawn().with_context(|| format!("starting {}", command.join(" ")))?;
        Ok(Self { child, log: log.to_owned() })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Itself, when it has ended.
    pub(crate) fn ended(&mut self) -> Option<&Self> {
        matches!(self.child.try_wait(), Ok(Some(_))).then_some(self)
    }

    /// The end of what it printed.
    pub(crate) fn last_words(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(3).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join(" / ")
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

/// CPU time of children that have ended, in seconds (`cutime` and `cstime`, ticks of 10 ms).
pub(crate) fn children_cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let Some((_, fields)) = text.rsplit_once(')') else { return 0.0 };
    // After the name: state is field 3, cutime 16, cstime 17.
    fields.split_whitespace().skip(13).take(2).filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() / 100.0
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
