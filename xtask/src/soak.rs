//! `cargo xtask soak`: 70 % load with endpoints and routes changing every 100 ms, for half an hour unless told otherwise.
//!
//! Errors      fails on a wrong answer, and when memory grew by more than a tenth and 2 MB

use std::process::Command;

use anyhow::{Context, bail};
use clap::Args;
use serde::Deserialize;

use crate::command::{self, cargo, output, target};

#[derive(Args, Debug)]
pub(crate) struct SoakArgs {
    #[arg(long, default_value_t = 30.0)]
    minutes: f64,
}

#[derive(Deserialize)]
struct Outcome {
    requests: u64,
    wrong: u64,
    wrong_answers: Vec<String>,
    changes: u64,
    requests_per_second: f64,
    rss_first_mb: f64,
    rss_last_mb: f64,
    rss_slope_mb_per_hour: f64,
}

pub(crate) fn run(args: &SoakArgs) -> anyhow::Result<()> {
    command::run(&mut cargo(&["build", "--release", "--locked", "--package", "leno", "--package", "leno-bench"]))?;
    let program = |name: &str| target().join("release").join(name);
    let mut soak = Command::new(program("leno-bench"));
    soak.args(["soak", "--minutes", &args.minutes.to_string(), "--leno"]).arg(program("leno"));
    let text = output(&mut soak)?;
    let seen: Outcome = serde_json::from_str(&text).with_context(|| format!("reading what the soak says: {text}"))?;
    println!(
        "{} requests ({:.0} a second), {} changes, {} wrong answers; memory {:.1} MB at first, {:.1} MB at last, {:+.2} MB an hour",
        seen.requests,
        seen.requests_per_second,
        seen.changes,
        seen.wrong,
        seen.rss_first_mb,
        seen.rss_last_mb,
        seen.rss_slope_mb_per_hour
    );
    if seen.wrong > 0 {
        bail!("{} wrong answers: {}", seen.wrong, seen.wrong_answers.join("; "));
    }
    if seen.rss_last_mb > seen.rss_first_mb * 1.1 + 2.0 {
        bail!("memory grew from {:.1} to {:.1} MB", seen.rss_first_mb, seen.rss_last_mb);
    }
    Ok(())
}
