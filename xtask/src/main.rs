//! The repository's own checks and rigs: `cargo xtask <command>`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bench;
mod command;
mod crds;
mod descriptors;
mod fuzz;
mod instructions;
mod lint;
mod packages;
mod schemas;
mod soak;
mod test;
mod tidy;
mod tools;

#[derive(Parser)]
#[command(about = "Checks, tests and benchmarks of the repository")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure Leno beside Envoy and HAProxy.
    Bench(bench::BenchArgs),
    /// What CI runs: `lint`, `test`, a short `fuzz`, `instructions`.
    Ci,
    /// Write the CustomResourceDefinitions and JSON Schemas of Leno's own kinds.
    Crds,
    /// Cut out of Envoy's API what a static bootstrap may name.
    Descriptors,
    /// Run the fuzz targets of all parsers of foreign bytes.
    Fuzz(fuzz::FuzzArgs),
    /// Count the instructions of hot paths and compare them with the baseline.
    Instructions(instructions::InstructionsArgs),
    /// Format, lints, licences, structure, documentation.
    Lint,
    /// Cut out of other projects' CRDs what their objects look like.
    Schemas,
    /// Load with changing configuration for a long time; every answer is checked.
    Soak(soak::SoakArgs),
    /// Set up what the tests need and run all of them.
    Test(test::TestArgs),
    /// Check the structure: dependency table, lint files, links, generated files.
    Tidy,
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Bench(args) => bench::run(&args),
        Command::Ci => lint::run()
            .and_then(|()| test::run(&test::TestArgs::default()))
            .and_then(|()| fuzz::run(&fuzz::FuzzArgs::default()))
            .and_then(|()| instructions::run(&instructions::InstructionsArgs::default())),
        Command::Crds => crds::run(),
        Command::Descriptors => descriptors::run(),
        Command::Fuzz(args) => fuzz::run(&args),
        Command::Instructions(args) => instructions::run(&args),
        Command::Lint => lint::run(),
        Command::Schemas => schemas::run(),
        Command::Soak(args) => soak::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Tidy => tidy::run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
