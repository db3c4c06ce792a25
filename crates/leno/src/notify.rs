//! "I am ready, and here is where": one JSON line over a Unix socket, from a role to whoever started it.
//!
//! Errors      a supervisor that is gone is not the role's problem: logged, ignored

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

/// What a role says once it serves.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Ready {
    /// `control`, or the name of the workload.
    pub(crate) name: String,
    pub(crate) pid: u32,
    /// `admin`, `http_proxy`, `dns`, `api`, `xds` … to address.
    pub(crate) addresses: BTreeMap<String, String>,
    /// Services of the mesh with the address at which this proxy offers them.
    #[serde(default)]
    pub(crate) upstreams: BTreeMap<String, String>,
}

pub(crate) async fn send(socket: &Path, ready: &Ready) {
    let attempt = async {
        let mut stream = UnixStream::connect(socket).await?;
        let mut line = serde_json::to_vec(ready).map_err(std::io::Error::other)?;
        line.push(b'\n');
        stream.write_all(&line).await?;
        stream.shutdown().await
    };
    if let Err(error) = attempt.await {
        tracing::warn!(socket = %socket.display(), %error, "cannot report readiness");
    }
}

/// The receiving end.
#[derive(Debug)]
pub(crate) struct ReadyInbox {
    listener: UnixListener,
    path: PathBuf,
}

impl ReadyInbox {
    /// # Errors
    /// When the socket cannot be made at `path`.
    pub(crate) fn bind(path: PathBuf) -> anyhow::Result<Self> {
        let listener = UnixListener::bind(&path).with_context(|| format!("making the socket {}", path.display()))?;
        Ok(Self { listener, path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The next role that reports.
    pub(crate) async fn next(&self) -> anyhow::Result<Ready> {
        loop {
            let (stream, _) = self.listener.accept().await.context("accepting a readiness report")?;
            let mut line = String::new();
            let mut reader = BufReader::new(stream);
            let read = reader.read_line(&mut line);
            // A peer that connects and says nothing must not hold up the others.
            if !matches!(tokio::time::timeout(Duration::from_secs(2), read).await, Ok(Ok(_))) {
                continue;
            }
            if let Ok(ready) = serde_json::from_str(&line) {
                return Ok(ready);
            }
        }
    }
}

impl Drop for ReadyInbox {
    fn drop(&mut self) {
        // Closing descriptors includes their name; a leftover socket file would only be in the way.
        let _ = std::fs::remove_file(&self.path);
    }
}
