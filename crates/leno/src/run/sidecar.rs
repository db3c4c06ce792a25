//! The `leno proxy` child of `leno run`: started, started again when it ends, and stopped.
//!
//! Shape       start -> ready -> keep: (ended -> back-off -> start)* -> stop
//! Errors      the first start fails for good; later ones are tried again until somebody stops

use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use leno_proxy::BlockHold;
use leno_runtime::Tasks;
use nix::sys::signal::Signal;
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use super::send_signal;
use crate::notify::{Ready, ReadyInbox};

/// A sidecar that served for so long was well: the next end of it has another cause. Chosen: twice the longest back-off.
const HEALTHY_AFTER: Duration = Duration::from_secs(10);

/// Its standard input is our end of a pipe: when we are gone it sees the end and stops too.
pub(super) struct Sidecar {
    arguments: Vec<OsString>,
    inbox: ReadyInbox,
    child: Option<Child>,
    /// Our end of the pipe; apart from the child, because waiting for a child closes it.
    input: Option<ChildStdin>,
    /// Ours until the end: the application is told addresses of it.
    block: Option<BlockHold>,
}

/// A sidecar that is started again whenever it ends.
pub(super) struct Keeper {
    /// What the sidecar that runs, or ran last, has reported.
    pub(super) ready: watch::Receiver<Ready>,
    is_leaving: Arc<AtomicBool>,
    stop: oneshot::Sender<()>,
    stopped: oneshot::Receiver<Sidecar>,
}

enum Event {
    Ended(ExitStatus),
    Ready(Ready),
}

impl Sidecar {
    /// `socket` is where it reports; nothing is started yet.
    pub(super) fn new(arguments: Vec<OsString>, socket: PathBuf) -> anyhow::Result<Self> {
        Ok(Self { arguments, inbox: ReadyInbox::bind(socket)?, child: None, input: None, block: None })
    }

    /// Starts it and waits until it is ready.
    pub(super) async fn start(&mut self, limit: Duration) -> anyhow::Result<Ready> {
        self.spawn()?;
        match tokio::time::timeout(limit, self.event()).await {
            Ok(Event::Ready(ready)) => {
                self.hold_block(&ready)?;
                Ok(ready)
            }
            Ok(Event::Ended(status)) => anyhow::bail!("the sidecar ended before it was ready ({status})"),
            Err(_) => anyhow::bail!("the sidecar was not ready within {limit:?}"),
        }
    }

    /// Keeps the block of addresses for the next start.
    fn hold_block(&mut self, ready: &Ready) -> anyhow::Result<()> {
        let address: Ipv4Addr = ready.addresses.get("app").context("the sidecar names no address")?.parse()?;
        let [first, second, ..] = address.octets();
        let hold = BlockHold::new([first, second]).context("holding the sidecar's block of loopback addresses")?;
        self.block = Some(hold);
        self.arguments.extend(["--block".into(), format!("{first}.{second}").into()]);
        Ok(())
    }

    /// Hands a running sidecar to a task that starts it again as often as needed.
    pub(super) fn keep(self, ready: Ready, tasks: &Tasks) -> Keeper {
        let (sender, ready) = watch::channel(ready);
        let is_leaving = Arc::new(AtomicBool::new(false));
        let leaving = is_leaving.clone();
        let (stop, told) = oneshot::channel();
        let (done, stopped) = oneshot::channel();
        tasks.spawn("sidecar", async move {
            let mut sidecar = self;
            tokio::select! {
                () = sidecar.keep_running(&sender, &leaving) => {}
                // An error means that the keeper was dropped: nobody wants the sidecar any more.
                _ = told => {}
            }
            // Refused when the keeper was dropped; the sidecar ends with its owner.
            let _ = done.send(sidecar);
        });
        Keeper { ready, is_leaving, stop, stopped }
    }

    /// Lets it drain; it bounds that itself. Killed when the future is dropped.
    pub(super) async fn stop(mut self) {
        if let Some(mut child) = self.child.take() {
            send_signal(&child, Signal::SIGTERM);
            if let Err(error) = child.wait().await {
                tracing::warn!(%error, "waiting for the sidecar");
            }
        }
    }

    /// Never returns. May be dropped at any await: the child is in `self`.
    async fn keep_running(&mut self, ready: &watch::Sender<Ready>, is_leaving: &AtomicBool) {
        let mut back_off = BackOff::default();
        let mut ready_since = Some(Instant::now());
        loop {
            match self.event().await {
                Event::Ready(report) => {
                    tracing::info!(pid = report.pid, "the sidecar serves again");
                    ready_since = Some(Instant::now());
                    ready.send_replace(report);
                }
                Event::Ended(status) => {
                    tracing::warn!(%status, "the sidecar ended");
                    self.child = None;
                    tokio::time::sleep(back_off.next(ready_since.take().map(|since| since.elapsed()))).await;
                    if is_leaving.load(Ordering::Relaxed) {
                        return std::future::pending().await;
                    }
                    while let Err(error) = self.spawn() {
                        tracing::error!(error = format!("{error:#}"), "the sidecar cannot be started again");
                        tokio::time::sleep(back_off.next(None)).await;
                    }
                }
            }
        }
    }

    fn spawn(&mut self) -> anyhow::Result<()> {
        let program = std::env::current_exe().context("finding the leno program")?;
        let mut command = Command::new(program);
        command.arg("proxy").args(&self.arguments).arg("--exit-with-parent").arg("--notify").arg(self.inbox.path());
        command.stdin(std::process::Stdio::piped()).process_group(0).kill_on_drop(true);
        let mut child = command.spawn().context("starting the sidecar")?;
        self.input = child.stdin.take();
        self.child = Some(child);
        Ok(())
    }

    /// What happens to it next.
    async fn event(&mut self) -> Event {
        let Some(child) = &mut self.child else { return std::future::pending().await };
        let id = child.id();
        tokio::select! {
            status = child.wait() => Event::Ended(status.unwrap_or_default()),
            ready = report(&self.inbox, id) => Event::Ready(ready),
        }
    }
}

/// The report of the process `id`; one that ended meanwhile may have left another in the queue.
async fn report(inbox: &ReadyInbox, id: Option<u32>) -> Ready {
    loop {
        match inbox.next().await {
            Ok(ready) if Some(ready.pid) == id => return ready,
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "the sidecar's report cannot be read");
                tokio::time::sleep(BackOff::FIRST).await;
            }
        }
    }
}

impl Keeper {
    /// From now on a sidecar that ends stays so: the next would bring the workload back into the mesh. Service managers
    /// send SIGTERM to all processes at once.
    pub(super) fn leave(&self) {
        self.is_leaving.store(true, Ordering::Relaxed);
    }

    /// Lets the sidecar drain and end. Killed when the future is dropped.
    pub(super) async fn stop(self) {
        // Refused when the task has ended, that is, panicked: the sidecar is gone with it.
        let _ = self.stop.send(());
        if let Ok(sidecar) = self.stopped.await {
            sidecar.stop().await;
        }
    }
}

/// Waits before a start; doubled up to a limit.
#[derive(Debug)]
struct BackOff {
    next: Duration,
}

impl BackOff {
    const FIRST: Duration = Duration::from_millis(100);
    const LIMIT: Duration = Duration::from_secs(5);

    /// `served` is how long the sidecar was ready, if it was.
    fn next(&mut self, served: Option<Duration>) -> Duration {
        if served.is_some_and(|served| served >= HEALTHY_AFTER) {
            self.next = Self::FIRST;
        }
        let wait = self.next;
        self.next = (wait * 2).min(Self::LIMIT);
        wait
    }
}

impl Default for BackOff {
    fn default() -> Self {
        Self { next: Self::FIRST }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_back_off_grows_and_starts_over_after_a_healthy_time() {
        let mut back_off = BackOff::default();
        let mut waits =
            [None, None, Some(Duration::from_secs(1)), None].map(|served| back_off.next(served).as_millis());
        assert_eq!(waits, [100, 200, 400, 800]);
        waits = [None; 4].map(|served| back_off.next(served).as_millis());
        assert_eq!(waits, [1600, 3200, 5000, 5000]);
        assert_eq!(back_off.next(Some(HEALTHY_AFTER)), BackOff::FIRST);
    }
}
