use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, ErrorKind};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use serde::Deserialize;

use crate::tools::eventually;

/// What a role reports with `--notify` once it serves.
#[derive(Clone, Debug, Deserialize)]
pub struct Ready {
    pub name: String,
    pub pid: i32,
    pub addresses: BTreeMap<String, String>,
    #[serde(default)]
    pub upstreams: BTreeMap<String, String>,
}

impl Ready {
    /// # Panics
    /// When the role did not report that address.
    pub fn address(&self, name: &str) -> &str {
        self.addresses.get(name).unwrap_or_else(|| panic!("{} has no {name} address", self.name))
    }
}

/// One report; a socket per process, so that reports cannot be mixed up.
#[derive(Debug)]
pub(crate) struct Inbox {
    listener: UnixListener,
    path: PathBuf,
}

impl Inbox {
    pub(crate) fn bind(directory: &Path, name: &str) -> anyhow::Result<Self> {
        let path = directory.join(format!("{name}.sock"));
        if path.exists() {
            std::fs::remove_file(&path).context("removing an old socket")?;
        }
        let listener = UnixListener::bind(&path).with_context(|| format!("making {}", path.display()))?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The report; `ended` says why there will be none.
    pub(crate) fn wait(&self, mut ended: impl FnMut() -> Option<String>) -> anyhow::Result<Ready> {
        let what = format!("readiness at {}", self.path.display());
        let stream = eventually(&what, Duration::from_secs(30), || match self.listener.accept() {
            Ok((stream, _)) => Some(Ok(stream)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => ended().map(|why| Err(anyhow::anyhow!(why))),
            Err(error) => Some(Err(error.into())),
        })?;
        stream.set_nonblocking(false)?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).context("reading a report")?;
        serde_json::from_str(&line).with_context(|| format!("reading {line}"))
    }
}
