//! `cargo xtask crds`: writes `deploy/crds` and `deploy/schemas`. The types know what is in them, and a test of theirs holds the
//! files against it: the same test writes them.

use crate::command::{self, cargo};

pub(crate) fn run() -> anyhow::Result<()> {
    command::run(cargo(&["test", "--package", "leno-api", "--test", "crds", "--locked"]).env("UPDATE", "1"))
}
