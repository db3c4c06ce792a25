use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::Workload;
use crate::http::Session;
use crate::tools::eventually;

/// Requests one after the other on a keep-alive connection, until it is finished.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    thread: JoinHandle<LoadReport>,
}

#[derive(Debug, Default)]
pub struct LoadReport {
    pub requests: u64,
    /// What was no 200, with the time since the start.
    pub failures: Vec<(Duration, String)>,
    pub slowest: Duration,
}

impl LoadReport {
    /// # Panics
    /// When a request failed.
    pub fn assert_clean(&self) {
        assert!(self.failures.is_empty(), "{} of {}: {:?}", self.failures.len(), self.requests, self.failures);
    }
}

impl Load {
    /// Requests of a client to `echo`, at the loopback address that its sidecar offers.
    pub fn to_echo(client: &Workload) -> Self {
        Self::start(&client.ready.upstreams["echo"], "echo:8080")
    }

    /// `GET /` with the header `host: authority`, at `address`.
    pub fn start(address: &str, authority: &str) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (address, authority) = (address.to_owned(), authority.to_owned());
        let (until, count) = (stop.clone(), answered.clone());
        let thread = std::thread::spawn(move || {
            let (begun, mut report, mut session) = (Instant::now(), LoadReport::default(), None);
            while !until.load(Ordering::Relaxed) {
                let sent = Instant::now();
                let failure = ask(&mut session, &address, &authority).err();
                report.requests += 1;
                report.slowest = report.slowest.max(sent.elapsed());
                match failure {
                    Some(error) => report.failures.push((begun.elapsed(), format!("{error:#}"))),
                    None => count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed),
                }
            }
            report
        });
        Self { stop, answered, thread }
    }

    /// Waits until `more` requests have been answered with 200 from now on.
    pub fn answered(&self, more: u64) {
        let goal = self.answered.load(Ordering::Relaxed) + more;
        eventually(&format!("{more} more answers"), Duration::from_secs(30), || {
            (self.answered.load(Ordering::Relaxed) >= goal).then_some(())
        });
    }

    /// # Panics
    /// When its thread did.
    pub fn finish(self) -> LoadReport {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the load ends")
    }
}

fn ask(session: &mut Option<Session>, address: &str, authority: &str) -> anyhow::Result<()> {
    let mut open = match session.take() {
        Some(open) => open,
        None => Session::connect(address)?,
    };
    let response = open.request("GET", "/", &[("host", authority)], b"")?;
    let closes = response.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    if !closes {
        *session = Some(open);
    }
    anyhow::ensure!(response.status == 200, "{} {}", response.status, response.text());
    Ok(())
}
