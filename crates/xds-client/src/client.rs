use std::time::Duration;

use leno_identity::Identity;
use leno_runtime::Tasks;
use leno_telemetry::Registry;
use tokio::sync::{mpsc, watch};

use crate::driver::Driver;
use crate::metrics::Metrics;
use crate::{Update, XdsClientConfig};

/// Keeps a stream to the control plane for as long as its tasks run.
#[derive(Debug)]
pub struct XdsClient {
    close: watch::Sender<bool>,
    connected: watch::Receiver<bool>,
    done: watch::Receiver<()>,
}

/// `close` waits at most so long.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

impl XdsClient {
    /// Starts the client on the current runtime. Updates come one at a time; the receiver ends when the client does.
    pub fn start(
        config: XdsClientConfig,
        identity: Identity,
        tasks: &Tasks,
        registry: &Registry,
    ) -> (Self, mpsc::Receiver<Update>) {
        let (updates, receiver) = mpsc::channel(1);
        let (close, closing) = watch::channel(false);
        let (connection, connected) = watch::channel(false);
        let (alive, done) = watch::channel(());
        let driver = Driver::new(config, identity, updates, connection, Metrics::register(registry));
        tasks.spawn("xds-client", async move {
            driver.run(closing).await;
            drop(alive);
        });
        (Self { close, connected, done }, receiver)
    }

    /// Whether a stream to the control plane is open.
    pub fn connected(&self) -> watch::Receiver<bool> {
        self.connected.clone()
    }

    /// Ends the stream in order, so that the control plane deregisters this workload at once. Waits until it has heard,
    /// at most 2 s. No update follows.
    pub async fn close(&self) {
        self.close.send_replace(true);
        let mut done = self.done.clone();
        // An error is the news that the task has ended.
        let ended = async { while done.changed().await.is_ok() {} };
        if tokio::time::timeout(CLOSE_TIMEOUT, ended).await.is_err() {
            tracing::warn!("the control plane did not end the discovery stream in time");
        }
    }
}
