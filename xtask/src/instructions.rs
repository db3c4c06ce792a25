//! `cargo xtask instructions`: how many instructions hot paths execute, counted by callgrind and held against a baseline.
//!
//! Shape       pure paths: `tests/instructions`; whole exchanges: the release binary with a bootstrap file, between a client
//!             and an origin
//! Units       instructions per run of the path: (count of 2n runs - count of n runs) / n, so that start-up cancels
//! Errors      fails when a path costs more than the limit above its baseline; `UPDATE=1` writes the baseline anew
//! Source      docs/performance.md. Counts depend on compiler and architecture, so there is one baseline for each architecture

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use clap::Args;

use crate::command::{self, cargo, output, root, target};
use crate::tools::{on_path, set_up_debian};

mod exchange;

/// Share of the baseline by which a path may grow.
const LIMIT: f64 = 0.03;
/// Instructions by which any path may grow: the C library compares and copies memory in ways that depend on processor and alignment, and on a
/// path of a few hundred instructions that alone is more than the share.
const SLACK: u64 = 60;

#[derive(Args, Debug, Default)]
pub(crate) struct InstructionsArgs {
    /// Only paths whose name contains this.
    filter: Option<String>,
}

pub(crate) fn run(args: &InstructionsArgs) -> anyhow::Result<()> {
    set_up_debian();
    for tool in ["valgrind", "h2load"] {
        if !on_path(tool) {
            // As with other tools: what did not run says so, and in CI that is a failure.
            if std::env::var("CI").is_ok_and(|value| value == "true") {
                bail!("{tool} is missing, so no instructions were counted");
            }
            println!("xtask: {tool} is missing, so NO INSTRUCTIONS WERE COUNTED");
            return Ok(());
        }
    }
    // Together, so that dependencies are built with the features that they have in the product.
    let packages = ["--package", "leno", "--package", "leno-bench", "--package", "leno-instructions"];
    command::run(cargo(&["build", "--release", "--locked"]).args(packages))?;
    let is_wanted = |name: &str| args.filter.as_ref().is_none_or(|filter| name.contains(filter.as_str()));
    let mut counts = BTreeMap::new();
    let program = target().join("release/leno-instructions");
    for (name, runs) in read_counts(&output(&mut Command::new(&program))?) {
        if is_wanted(&name) {
            let runs = u32::try_from(runs).context("so many runs")?;
            let count = per_run(runs, |runs| count_path(&program, &name, runs))?;
            counts.insert(name, count);
        }
    }
    for path in exchange::PATHS.iter().filter(|path| is_wanted(path.name)) {
        let counted = per_run(exchange::RUNS, |runs| exchange::count(path, runs));
        counts.insert(path.name.to_owned(), counted.with_context(|| format!("counting {}", path.name))?);
    }
    judge(&counts, args.filter.is_some())
}

fn per_run(runs: u32, mut count: impl FnMut(u32) -> anyhow::Result<u64>) -> anyhow::Result<u64> {
    let (once, twice) = (count(runs)?, count(2 * runs)?);
    Ok(twice.saturating_sub(once) / u64::from(runs))
}

fn count_path(program: &Path, name: &str, runs: u32) -> anyhow::Result<u64> {
    let counted = valgrind(None).arg(program).arg(name).arg(runs.to_string()).output().context("running valgrind")?;
    let text = String::from_utf8_lossy(&counted.stderr).into_owned();
    if !counted.status.success() {
        bail!("{name} failed: {text}");
    }
    collected(&text)
}

/// Callgrind whose words go to standard error, or to a file.
fn valgrind(log: Option<&Path>) -> Command {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    if let Some(log) = log {
        command.arg(format!("--log-file={}", log.display()));
    }
    command
}

/// The sum that callgrind tells at its end.
fn collected(text: &str) -> anyhow::Result<u64> {
    let line = text.lines().find_map(|line| line.split_once("Collected :"));
    let count = line.and_then(|(_, count)| count.trim().parse().ok());
    count.with_context(|| format!("callgrind told no count: {text}"))
}

fn baseline_file() -> PathBuf {
    root().join("tests/instructions/baseline").join(std::env::consts::ARCH)
}

/// Lines of name and count.
fn read_counts(text: &str) -> BTreeMap<String, u64> {
    let entry = |line: &str| {
        let (name, count) = line.split_once(' ')?;
        Some((name.to_owned(), count.trim().replace('_', "").parse().ok()?))
    };
    text.lines().filter(|line| !line.starts_with('#')).filter_map(entry).collect()
}

fn judge(counts: &BTreeMap<String, u64>, is_partial: bool) -> anyhow::Result<()> {
    let file = baseline_file();
    let mut baseline = read_counts(&std::fs::read_to_string(&file).unwrap_or_default());
    if std::env::var_os("UPDATE").is_some() {
        if !is_partial {
            baseline.clear();
        }
        baseline.extend(counts.clone());
        let lines: String = baseline.iter().map(|(name, count)| format!("{name} {count}\n")).collect();
        let text = format!("# Instructions per run; cargo xtask instructions, UPDATE=1 rewrites.\n{lines}");
        std::fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
    }
    let mut grown = Vec::new();
    println!("{:<32} {:>12} {:>12} {:>8}", "path", "instructions", "baseline", "change");
    for (name, &count) in counts {
        let Some(&before) = baseline.get(name) else {
            println!("{name:<32} {count:>12} {:>12}", "none");
            grown.push(name.as_str());
            continue;
        };
        let change = count as f64 / before.max(1) as f64 - 1.0;
        println!("{name:<32} {count:>12} {before:>12} {:>+7.1}%", change * 100.0);
        if change > LIMIT && count - before > SLACK {
            grown.push(name);
        }
    }
    if grown.is_empty() {
        return Ok(());
    }
    bail!(
        "more than {:.0} % and {SLACK} instructions above the baseline {}, or not in it: {}; if that is the price of something good, UPDATE=1 writes a new one",
        LIMIT * 100.0,
        file.display(),
        grown.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callgrind_output_is_understood() {
        assert_eq!(collected("==7== Events    : Ir\n==7== Collected : 4711\n").ok(), Some(4711));
        assert!(collected("==7== nothing").is_err());
    }

    #[test]
    fn baselines_are_names_and_counts() {
        let baseline = read_counts("# comment\nroute 120\npick 3_000\n");
        assert_eq!(baseline, BTreeMap::from([("pick".to_owned(), 3000), ("route".to_owned(), 120)]));
    }
}
