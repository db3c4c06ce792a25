//! `cargo xtask fuzz`: builds the fuzz targets with coverage counters and runs them against libFuzzer.
//!
//! Shape       `fuzz/seeds/<target>` (committed) -> libFuzzer -> `target/fuzz/corpus/<target>`, `target/fuzz/crashes`
//! Errors      a crash fails the run and names the input; it becomes a seed and a unit test with its repair

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, bail};
use clap::Args;

use crate::command::{self, cargo, output, root, target};

/// What `cargo-fuzz` sets without a sanitizer, which the stable compiler does not have.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";

/// Runs at once.
const JOBS: usize = 2;

#[derive(Args, Debug)]
pub(crate) struct FuzzArgs {
    /// Only these targets.
    targets: Vec<String>,
    /// How long each of them runs.
    #[arg(long, default_value_t = 30)]
    seconds: u32,
    /// Replay the seeds and what earlier runs have found, then stop.
    #[arg(long)]
    replay: bool,
}

impl Default for FuzzArgs {
    fn default() -> Self {
        Self { targets: Vec::new(), seconds: 30, replay: false }
    }
}

pub(crate) fn run(args: &FuzzArgs) -> anyhow::Result<()> {
    let programs = build()?;
    let known: Vec<&str> = programs.iter().filter_map(|program| program.file_name()?.to_str()).collect();
    if let Some(unknown) = args.targets.iter().find(|target| !known.contains(&target.as_str())) {
        bail!("there is no target {unknown}, only {}", known.join(", "));
    }
    let wanted = |name: &str| args.targets.is_empty() || args.targets.iter().any(|target| target == name);
    let mut crashed = Vec::new();
    let mut waiting = programs.iter().zip(&known).filter(|(_, name)| wanted(name));
    let mut running: Vec<(&str, PathBuf, Child)> = Vec::new();
    loop {
        while running.len() < JOBS {
            let Some((program, name)) = waiting.next() else { break };
            let (log, child) = start(program, name, args)?;
            running.push((name, log, child));
        }
        if running.is_empty() {
            break;
        }
        let (name, log, mut child) = running.remove(0);
        let status = child.wait().with_context(|| format!("waiting for {name}"))?;
        let said = std::fs::read_to_string(&log).unwrap_or_default();
        let summary = said.lines().rev().find(|line| line.contains("Done") || line.contains("cov:"));
        println!("fuzz {name}: {status}; {}", summary.unwrap_or_default().trim());
        if !status.success() {
            let end: Vec<&str> = said.lines().rev().take(40).collect();
            eprintln!("{}", end.into_iter().rev().collect::<Vec<_>>().join("\n"));
            crashed.push(name);
        }
    }
    if crashed.is_empty() { Ok(()) } else { bail!("crashed: {}", crashed.join(", ")) }
}

/// Every target's program.
fn build() -> anyhow::Result<Vec<PathBuf>> {
    let host = output(Command::new("rustc").arg("-vV"))?;
    let host = host.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc does not name its host")?;
    // With `--target` the flags stay away from build scripts and macros.
    let mut build = cargo(&["build", "--release", "--locked", "--target", host]);
    command::run(build.current_dir(root().join("fuzz")).env("CARGO_TARGET_DIR", directory()).env("RUSTFLAGS", FLAGS))?;
    let programs = directory().join(host).join("release");
    let mut targets: Vec<PathBuf> = std::fs::read_dir(root().join("fuzz/targets"))?
        .filter_map(|entry| Some(programs.join(Path::new(&entry.ok()?.file_name()).file_stem()?)))
        .collect();
    targets.sort();
    Ok(targets)
}

fn directory() -> PathBuf {
    target().join("fuzz")
}

fn start(program: &Path, name: &str, args: &FuzzArgs) -> anyhow::Result<(PathBuf, Child)> {
    let (corpus, crashes) = (directory().join("corpus").join(name), directory().join("crashes"));
    for directory in [&corpus, &crashes] {
        std::fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))?;
    }
    let log = directory().join(format!("{name}.log"));
    let file = std::fs::File::create(&log).with_context(|| format!("making {}", log.display()))?;
    let mut command = Command::new(program);
    command.arg(&corpus);
    let seeds = root().join("fuzz/seeds").join(name);
    if seeds.is_dir() {
        command.arg(seeds);
    }
    command.arg(format!("-artifact_prefix={}/{name}-", crashes.display()));
    command.args(["-timeout=5", "-rss_limit_mb=2048", "-max_len=8192"]);
    command.arg(if args.replay { "-runs=0".to_owned() } else { format!("-max_total_time={}", args.seconds) });
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file).spawn();
    Ok((log, child.with_context(|| format!("starting {}", program.display()))?))
}
