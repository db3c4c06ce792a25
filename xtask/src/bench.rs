//! `cargo xtask bench`: what Leno costs beside its peers, measured in the same run.
//!
//! Shape       scenario -> peers, interleaved (A B C A B C ..) -> rounds -> medians, ratios per round, spread
//! Units       CPU in microseconds of all proxy processes per completed request; latency in microseconds; memory in MB
//! Method      proxies pinned to CPU 0, load and origin to CPU 1; CPU from /proc/PID/task/*/schedstat; errors must be 0;
//!             a round with more than 10 % foreign CPU is measured again (at most twice) and marked
//!             single proxy: loopback; two sidecars: two network namespaces and a veth pair (needs root)

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use serde::Serialize;

use crate::command::{self, cargo, target};
use crate::tools::Tools;

mod load;
mod network;
mod noise;
mod peers;
mod pki;
mod process;
mod scenarios;

use self::peers::Peer;
use self::scenarios::Scenario;

#[derive(Args, Clone, Debug)]
pub(crate) struct BenchArgs {
    /// Rounds per peer.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds per round.
    #[arg(long, default_value_t = 3)]
    seconds: u32,
    /// Only these scenarios; all unless given.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Where the JSON goes.
    #[arg(long, default_value = "target/bench.json")]
    output: PathBuf,
}

/// One peer in one round.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Sample {
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    pub(crate) cpu_us_per_request: f64,
    pub(crate) requests_per_second: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) p50_us: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) p99_us: Option<f64>,
    /// Share of all CPU time that neither proxies, load nor origin used.
    pub(crate) foreign_cpu: f64,
}

#[derive(Debug, Serialize)]
struct ScenarioResult {
    name: &'static str,
    unit: &'static str,
    peers: BTreeMap<String, Vec<Sample>>,
    /// Medians of the figure that the goal is about.
    medians: BTreeMap<String, f64>,
    /// Median over rounds of ours / theirs.
    ratios: BTreeMap<String, f64>,
    goals: Vec<GoalResult>,
}

#[derive(Debug, Serialize)]
struct GoalResult {
    against: String,
    at_most: f64,
    measured: f64,
    met: bool,
}

#[derive(Debug, Default, Serialize)]
struct Report {
    machine: noise::Machine,
    scenarios: Vec<ScenarioResult>,
    singles: BTreeMap<String, peers::Single>,
}

pub(crate) fn run(args: &BenchArgs) -> anyhow::Result<()> {
    let tools = Tools::set_up();
    command::run(&mut cargo(&["build", "--release", "--locked", "--package", "leno", "--package", "leno-bench"]))?;
    let programs = peers::Programs::find(&tools, &target())?;
    let mut report = Report { machine: noise::Machine::describe(), ..Report::default() };

    if args.only.is_empty() || args.only.iter().any(|name| name == "singles") {
        report.singles = peers::measure_singles(&programs)?;
        for (name, single) in &report.singles {
            println!(
                "{name:<24} {:>9.1} {:<4} goal <= {:<6} {}",
                single.measured,
                single.unit,
                single.goal,
                verdict(single.met())
            );
        }
    }
    for scenario in scenarios::all() {
        if args.only.is_empty() || args.only.iter().any(|name| name == scenario.name) {
            let result =
                run_scenario(&scenario, args, &programs).with_context(|| format!("scenario {}", scenario.name))?;
            print_scenario(&result);
            report.scenarios.push(result);
        }
    }
    report
        .machine
        .finish(&report.scenarios.iter().flat_map(|s| s.peers.values().flatten()).cloned().collect::<Vec<_>>());
    println!("\n{}", report.machine);
    let json = serde_json::to_string_pretty(&report).context("writing the report")?;
    std::fs::write(&args.output, json).with_context(|| format!("writing {}", args.output.display()))?;
    println!("written to {}", args.output.display());
    Ok(())
}

fn run_scenario(scenario: &Scenario, args: &BenchArgs, programs: &peers::Programs) -> anyhow::Result<ScenarioResult> {
    println!("\n{}: {}", scenario.name, scenario.about);
    let set_up = scenarios::SetUp::new(scenario, programs)?;
    let mut peers: Vec<Peer> = Vec::new();
    for kind in scenario.peers {
        peers.push(set_up.start(*kind).with_context(|| format!("starting {}", kind.name()))?);
    }
    let mut samples: BTreeMap<String, Vec<Sample>> = BTreeMap::new();
    for peer in &peers {
        // Warms connections, branch predictors and caches; not counted.
        set_up.round(peer, 1)?;
    }
    for round in 0..args.rounds {
        for peer in &peers {
            let sample = quiet_round(&set_up, peer, args.seconds)?;
            if sample.errors > 0 {
                bail!("{} gave {} errors in round {round}", peer.name, sample.errors);
            }
            print!(".");
            std::io::Write::flush(&mut std::io::stdout()).ok();
            samples.entry(peer.name.clone()).or_default().push(sample);
        }
    }
    println!();
    Ok(evaluate(scenario, samples))
}

/// Measures again, twice at most, when something else was using the machine.
fn quiet_round(set_up: &scenarios::SetUp<'_>, peer: &Peer, seconds: u32) -> anyhow::Result<Sample> {
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

fn evaluate(scenario: &Scenario, peers: BTreeMap<String, Vec<Sample>>) -> ScenarioResult {
    let figure = |sample: &Sample| (scenario.figure)(sample);
    let medians: BTreeMap<_, _> =
        peers.iter().map(|(name, samples)| (name.clone(), median(samples.iter().map(figure)))).collect();
    // Latency goals are about what a proxy adds to the bare connection.
    let floor = if scenario.added_to_direct { medians.get("direct").copied().unwrap_or(0.0) } else { 0.0 };
    let ours = peers.get("leno").cloned().unwrap_or_default();
    let ratios: BTreeMap<_, _> = peers
        .iter()
        .filter(|(name, _)| name.as_str() != "leno" && name.as_str() != "direct")
        .map(|(name, theirs)| {
            let pairs =
                ours.iter().zip(theirs).map(|(a, b)| (figure(a) - floor) / (figure(b) - floor).max(f64::MIN_POSITIVE));
            (name.clone(), median(pairs))
        })
        .collect();
    let goals = scenario
        .goals
        .iter()
        .filter_map(|(against, at_most)| {
            let measured = *ratios.get(*against)?;
            Some(GoalResult { against: (*against).to_owned(), at_most: *at_most, measured, met: measured <= *at_most })
        })
        .collect();
    ScenarioResult { name: scenario.name, unit: scenario.unit, peers, medians, ratios, goals }
}

fn print_scenario(result: &ScenarioResult) {
    println!("{:<18} {:>10} {:>10} {:>10} {:>12}", "peer", result.unit, "min", "max", "leno / peer");
    for (name, median) in &result.medians {
        let samples = &result.peers[name];
        let scenario = scenarios::all().into_iter().find(|scenario| scenario.name == result.name);
        let figures: Vec<f64> = scenario.map(|s| samples.iter().map(|x| (s.figure)(x)).collect()).unwrap_or_default();
        let (low, high) =
            (figures.iter().copied().fold(f64::MAX, f64::min), figures.iter().copied().fold(0.0, f64::max));
        let ratio = result.ratios.get(name).map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
        println!("{name:<18} {median:>10.1} {low:>10.1} {high:>10.1} {ratio:>12}");
    }
    for goal in &result.goals {
        println!("goal: <= {:.2} x {}: {:.2}, {}", goal.at_most, goal.against, goal.measured, verdict(goal.met));
    }
}

fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "NOT MET" }
}

pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        n if n % 2 == 1 => values[n / 2],
        n => f64::midpoint(values[n / 2 - 1], values[n / 2]),
    }
}

/// Longest wait for any program to be ready.
pub(crate) const START_LIMIT: Duration = Duration::from_secs(20);
