use std::io;
use std::path::PathBuf;
use std::time::Duration;

use leno_xds::DeltaClient;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::metrics::Metrics;
use crate::state_file::StateFile;

/// Changes are gathered for this long before a write: endpoints come and go faster than a disk should be bothered.
const WRITE_DELAY: Duration = Duration::from_secs(1);
/// At the end a write may take this long.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(500);

/// Saves what is accepted. A disk that fails is no reason to stop serving.
pub(super) struct Saver {
    file: Option<StateFile>,
    node_id: String,
    metrics: Metrics,
    due: Option<Instant>,
    writing: Option<JoinHandle<io::Result<()>>>,
    failing: bool,
}

impl Saver {
    pub(super) fn new(path: Option<PathBuf>, node_id: String, metrics: Metrics) -> Self {
        Self { file: path.map(StateFile::new), node_id, metrics, due: None, writing: None, failing: false }
    }

    /// Reads the file into `client`. A few milliseconds of disk, once, before anything is served.
    pub(super) fn load(&self, client: &mut DeltaClient) {
        let Some(file) = &self.file else { return };
        let path = file.path().display();
        let bytes = match file.load() {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return,
            Err(error) => return tracing::warn!(%path, %error, "cannot read the saved configuration"),
        };
        match client.restore(&bytes, &self.node_id) {
            Ok(0) => tracing::debug!(%path, "saved configuration read"),
            Ok(left_out) => tracing::warn!(%path, left_out, "some saved resources cannot be used"),
            Err(error) => tracing::warn!(%path, %error, "saved configuration not used"),
        }
    }

    pub(super) fn mark_changed(&mut self) {
        if self.file.is_some() {
            self.due.get_or_insert_with(|| Instant::now() + WRITE_DELAY);
        }
    }

    /// When to call `start`.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due.filter(|_| self.writing.is_none())
    }

    pub(super) fn start(&mut self, client: &DeltaClient) {
        self.due = None;
        let Some(file) = self.file.clone() else { return };
        let bytes = client.to_bytes(&self.node_id);
        self.writing = Some(tokio::task::spawn_blocking(move || file.store(&bytes)));
    }

    /// The result of the write under way, never without one. Call `saved` with it. Cancel safe.
    pub(super) async fn writing(&mut self) -> io::Result<()> {
        match &mut self.writing {
            Some(writing) => writing.await.unwrap_or_else(|error| Err(io::Error::other(error))),
            None => std::future::pending().await,
        }
    }

    pub(super) fn saved(&mut self, result: io::Result<()>) {
        self.writing = None;
        let path = self.file.as_ref().map(|file| file.path().display().to_string()).unwrap_or_default();
        match result {
            Ok(()) if self.failing => tracing::info!(path, "the configuration can be saved again"),
            Ok(()) => {}
            Err(error) => {
                self.metrics.persist_failures.inc();
                if !self.failing {
                    tracing::warn!(path, %error, "cannot save the configuration; serving goes on without");
                }
                self.failing = true;
                return;
            }
        }
        self.failing = false;
    }

    /// Finishes what is due, bounded.
    pub(super) async fn flush(mut self, client: &DeltaClient) {
        let work = async {
            if self.writing.is_some() {
                let result = self.writing().await;
                self.saved(result);
            }
            if self.due.is_some() {
                self.start(client);
                let result = self.writing().await;
                self.saved(result);
            }
        };
        if tokio::time::timeout(FLUSH_TIMEOUT, work).await.is_err() {
            tracing::warn!("the configuration was not saved in time");
        }
    }
}
