//! `cargo xtask bench`: what Leno costs beside its peers, measured in the same run.
//!
//! Shape       scenario -> peers, interleaved (A B C A B C ..) -> rounds -> medians, ratios per round, spread
//! Units       CPU in microseconds of all proxy processes per completed request; latency in microseconds; memory in MB
//! Method      proxies pinned to CPU 0, load and origin to CPU 1; CPU from /proc/PID/task/*/schedstat; errors must be 0;
//!             a round with more than 10 % foreign CPU is measured again (at most twice) and marked
//!             single proxy: loopback; two sidecars: two network namespaces and a veth pair (needs root)
//! Errors      a peer or a scenario that cannot be measured says why in the table; the others go on

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use serde::Serialize;

use crate::command::{self, cargo, target};
use crate::tools::Tools;

pub(crate) mod bootstrap;
mod load;
mod network;
mod noise;
mod peers;
mod pki;
mod process;
mod result;
mod scenario;
mod scenarios;
mod set_up;
mod trials;

pub(crate) use self::peers::free_port;
use self::peers::{Kind, Peer};
use self::result::{Sample, ScenarioResult};
use self::scenario::{Scenario, Work};
use self::set_up::SetUp;

/// Longest wait for any program to be ready.
pub(crate) const START_LIMIT: Duration = Duration::from_secs(20);

#[derive(Args, Clone, Debug)]
pub(crate) struct BenchArgs {
    /// Rounds per peer.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds per round.
    #[arg(long, default_value_t = 3)]
    seconds: u32,
    /// Only these scenarios; all unless given.
    #[arg(long, value_delimiter = ',', num_args = 1..)]
    only: Vec<String>,
    /// Name the scenarios and end.
    #[arg(long)]
    list: bool,
    /// Where the JSON goes.
    #[arg(long, default_value = "target/bench.json")]
    output: PathBuf,
}

#[derive(Debug, Default, Serialize)]
struct Report {
    machine: noise::Machine,
    rounds: usize,
    seconds: u32,
    scenarios: Vec<ScenarioResult>,
    /// Scenarios that did not run, and why.
    failed: BTreeMap<String, String>,
}

pub(crate) fn run(args: &BenchArgs) -> anyhow::Result<()> {
    let all = scenarios::all();
    if args.list {
        all.iter().for_each(|scenario| println!("{:<20} {}", scenario.name, scenario.about));
        return Ok(());
    }
    if let Some(name) = args.only.iter().find(|name| all.iter().all(|scenario| scenario.name != **name)) {
        bail!("there is no scenario {name}; cargo xtask bench --list names them");
    }
    let tools = Tools::set_up();
    command::run(&mut cargo(&["build", "--release", "--locked", "--package", "leno", "--package", "leno-bench"]))?;
    let programs = peers::Programs::find(&tools, &target())?;
    let mut report =
        Report { machine: noise::Machine::describe(), rounds: args.rounds, seconds: args.seconds, ..Report::default() };
    for scenario in all {
        if !args.only.is_empty() && args.only.iter().all(|name| name != scenario.name) {
            continue;
        }
        println!("\n{}: {}", scenario.name, scenario.about);
        match run_scenario(&scenario, args, &programs) {
            Ok(result) => {
                result.print();
                report.scenarios.push(result);
            }
            Err(error) => {
                println!("NOT MEASURED: {error:#}");
                report.failed.insert(scenario.name.to_owned(), format!("{error:#}"));
            }
        }
    }
    report.finish();
    let json = serde_json::to_string_pretty(&report).context("writing the report")?;
    std::fs::write(&args.output, json).with_context(|| format!("writing {}", args.output.display()))?;
    println!("written to {}", args.output.display());
    Ok(())
}

impl Report {
    fn finish(&mut self) {
        let samples: Vec<Sample> = self.scenarios.iter().flat_map(|s| s.samples.values().flatten()).cloned().collect();
        self.machine.finish(&samples);
        println!("\n| scenario | ours | peers | goals |\n|---|---|---|---|");
        self.scenarios.iter().for_each(|scenario| print!("{}", scenario.rows()));
        for (name, reason) in &self.failed {
            println!("| {name} | not measured | {reason} | |");
        }
        println!("\n{}", self.machine);
    }
}

fn run_scenario(scenario: &Scenario, args: &BenchArgs, programs: &peers::Programs) -> anyhow::Result<ScenarioResult> {
    let set_up = SetUp::new(scenario, programs)?;
    let mut rounds = Rounds { set_up: &set_up, running: Vec::new(), samples: BTreeMap::new(), failed: BTreeMap::new() };
    rounds.start();
    for _ in 0..args.rounds {
        for &kind in scenario.peers {
            rounds.measure(kind, args.seconds);
            print!(".");
            std::io::Write::flush(&mut std::io::stdout()).ok();
        }
    }
    println!();
    let Rounds { samples, failed, .. } = rounds;
    if samples.is_empty() {
        bail!("no peer could be measured: {failed:?}");
    }
    Ok(result::evaluate(scenario, samples, failed))
}

/// The rounds of one scenario. A peer that fails once is out.
struct Rounds<'a> {
    set_up: &'a SetUp<'a>,
    running: Vec<(Kind, Peer)>,
    samples: BTreeMap<String, Vec<Sample>>,
    failed: BTreeMap<String, String>,
}

impl Rounds<'_> {
    /// Peers under load are started once and warmed: connections, branch predictors, caches.
    fn start(&mut self) {
        if let Work::Trial(_) = self.set_up.scenario.work {
            return;
        }
        for &kind in self.set_up.scenario.peers {
            let started = self.set_up.start(kind).and_then(|peer| self.set_up.round(&peer, 1).map(|_| peer));
            match started {
                Ok(peer) => self.running.push((kind, peer)),
                Err(error) => self.fail(kind, &error),
            }
        }
    }

    fn measure(&mut self, kind: Kind, seconds: u32) {
        if self.failed.contains_key(kind.name()) {
            return;
        }
        let sample = match self.set_up.scenario.work {
            Work::Trial(trial) => trial(self.set_up, kind),
            Work::Load(_) => match self.running.iter().find(|(of, _)| *of == kind) {
                Some((_, peer)) => quiet_round(self.set_up, peer, seconds),
                None => return,
            },
        };
        match sample {
            Ok(sample) if sample.errors > 0 => {
                self.fail(kind, &anyhow::anyhow!("{} of its answers were errors", sample.errors));
            }
            Ok(sample) => self.samples.entry(kind.name().to_owned()).or_default().push(sample),
            Err(error) => self.fail(kind, &error),
        }
    }

    fn fail(&mut self, kind: Kind, error: &anyhow::Error) {
        self.samples.remove(kind.name());
        self.failed.insert(kind.name().to_owned(), format!("{error:#}"));
    }
}

/// Measures again, twice at most, when something else was using the machine.
fn quiet_round(set_up: &SetUp<'_>, peer: &Peer, seconds: u32) -> anyhow::Result<Sample> {
    let mut best = set_up.round(peer, seconds)?;
    for _ in 0..2 {
        if best.foreign_cpu <= noise::FOREIGN_CPU_LIMIT {
            break;
        }
        let again = set_up.round(peer, seconds)?;
        if again.foreign_cpu < best.foreign_cpu {
            best = again;
        }
    }
    Ok(best)
}
