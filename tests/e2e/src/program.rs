use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::Context;

/// A process that ends with its owner.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) child: Child,
}

impl Program {
    /// What it says on standard error is added to `log`.
    pub(crate) fn start(command: &mut Command, log: &Path) -> anyhow::Result<Self> {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(log)?;
        let name = command.get_program().to_owned();
        let child = command.stderr(log).spawn().with_context(|| format!("starting {}", name.display()))?;
        Ok(Self { child })
    }

    /// What it says at all is added to `log`; nobody talks to it.
    pub(crate) fn start_alone(command: &mut Command, log: &Path) -> anyhow::Result<Self> {
        let output = std::fs::OpenOptions::new().create(true).append(true).open(log)?;
        Self::start(command.stdin(Stdio::null()).stdout(output), log)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It is ours; an error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
