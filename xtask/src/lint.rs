//! `cargo xtask lint`: what CI checks before the tests, in the order in which failures are cheapest.

use std::process::Command;

use anyhow::Context;

use crate::command::{self, cargo, root, target};
use crate::tidy;

const CARGO_DENY_VERSION: &str = "0.20.2";

pub(crate) fn run() -> anyhow::Result<()> {
    tidy::run()?;
    command::run(&mut cargo(&["fmt", "--all", "--check"]))?;
    command::run(&mut cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]))?;
    deny()?;
    command::run(cargo(&["doc", "--workspace", "--no-deps", "--locked"]).env("RUSTDOCFLAGS", "-D warnings"))
}

/// Licences, sources and banned crates. Advisories need a database from the network and are left to a scheduled job.
fn deny() -> anyhow::Result<()> {
    let tools = target().join("tools");
    let program = tools.join("bin/cargo-deny");
    if !program.exists() {
        let mut install =
            cargo(&["install", "cargo-deny", "--debug", "--locked", "--quiet", "--version", CARGO_DENY_VERSION]);
        command::run(install.arg("--root").arg(&tools).env("CARGO_TARGET_DIR", tools.join("target")))
            .context("installing cargo-deny")?;
        // Only the program is wanted; its build directory is large.
        std::fs::remove_dir_all(tools.join("target")).context("removing cargo-deny's build directory")?;
    }
    command::run(Command::new(program).args(["check", "licenses", "bans", "sources"]).current_dir(root()))
}
