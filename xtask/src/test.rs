//! `cargo xtask test`: sets up what the tests need, builds the release binary, runs every test.
//!
//! Order       unit, property and crate tests; the comparison with Envoy; the end-to-end tests, both with the release binary
//! Errors      a tool that is missing is named at the end, with the tests that need it not run; with CI=true that fails

use anyhow::bail;
use clap::Args;

use crate::command::{self, cargo, target};
use crate::tools::Tools;

#[derive(Args, Debug, Default)]
pub(crate) struct TestArgs {
    /// Only the end-to-end tests.
    #[arg(long)]
    e2e: bool,
    /// Passed to the end-to-end tests: part of a test's name.
    filter: Option<String>,
    /// Run the end-to-end tests this many times.
    #[arg(long, default_value_t = 1)]
    repeat: u32,
}

pub(crate) fn run(args: &TestArgs) -> anyhow::Result<()> {
    let tools = Tools::set_up();
    command::run(&mut cargo(&["build", "--release", "--locked", "--package", "leno"]))?;
    let leno = target().join("release/leno");
    if !args.e2e {
        let mut tests = cargo(&["test", "--workspace", "--locked", "--exclude", "leno-e2e", "--exclude"]);
        tests.arg("leno-differential");
        tools.apply(&mut tests);
        command::run(tests.env("LENO", &leno))?;
        let mut differential = cargo(&["test", "--locked", "--package", "leno-differential"]);
        tools.apply(&mut differential);
        command::run(differential.env("LENO", &leno))?;
    }
    for _ in 0..args.repeat.max(1) {
        let mut tests = cargo(&["test", "--locked", "--package", "leno-e2e", "--tests", "--"]);
        // Each test is a mesh of its own; more than two at once would measure the scheduler.
        tests.arg("--test-threads=2").args(&args.filter);
        tools.apply(&mut tests);
        command::run(tests.env("LENO", &leno))?;
    }
    report_missing(&tools)
}

fn report_missing(tools: &Tools) -> anyhow::Result<()> {
    if tools.missing.is_empty() {
        return Ok(());
    }
    let missing = tools.missing.join(", ");
    if std::env::var("CI").is_ok_and(|value| value == "true") {
        bail!("these tools are missing, so some tests DID NOT RUN: {missing}");
    }
    println!("xtask: these tools are missing, so some tests DID NOT RUN: {missing}");
    Ok(())
}
