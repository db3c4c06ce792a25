//! Load for a long time while endpoints and routes change: every answer is checked, and memory is watched.
//!
//! Shape       route version r leads to cluster r % 2; version e of a cluster's endpoints is the backend e % 3 of that
//!             cluster, so six backends; the route says its version in the answer (`x-route`), the backend its name
//! Invariants  an answer is right when its route is one from the last but one acknowledged before the request was sent up
//!             to the newest sent before the answer came, and its backend is one that the route's cluster had in that time
//! Units       memory in MB, its slope in MB per hour by least squares over the second half of the run

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Context;
use leno_ir::Config;
use serde::Serialize;

use crate::mesh::{self, Answer, Client, Mesh, ProxyArgs};
use crate::yaml::{Yaml, free_address};

const CHANGE_EVERY: Duration = Duration::from_millis(100);
const CONNECTIONS: usize = 16;
/// Share of what the proxy can serve that it is asked to.
const LOAD: f64 = 0.7;
const BACKENDS: u64 = 3;
/// Wrong answers that are told in full.
const TOLD: usize = 10;

#[derive(Debug, Serialize)]
pub struct Outcome {
    pub requests: u64,
    pub wrong: u64,
    /// The first of them.
    pub wrong_answers: Vec<String>,
    pub changes: u64,
    pub requests_per_second: f64,
    pub rss_first_mb: f64,
    pub rss_last_mb: f64,
    pub rss_slope_mb_per_hour: f64,
}

/// Newest version that was sent, and newest that was acknowledged.
#[derive(Debug, Default)]
struct Version {
    sent: AtomicU64,
    acked: AtomicU64,
}

impl Version {
    fn send(&self) -> u64 {
        self.sent.fetch_add(1, Ordering::SeqCst) + 1
    }

    fn ack(&self) {
        self.acked.store(self.sent.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    /// The oldest that a request sent now may meet.
    fn oldest(&self) -> u64 {
        self.acked.load(Ordering::SeqCst).saturating_sub(1)
    }

    fn newest(&self) -> u64 {
        self.sent.load(Ordering::SeqCst)
    }
}

struct World {
    listen: SocketAddr,
    /// Of cluster 0 and of cluster 1.
    backends: [Vec<SocketAddr>; 2],
    route: Version,
    endpoints: [Version; 2],
    wrong: Mutex<Vec<String>>,
    wrong_count: AtomicU64,
    requests: AtomicU64,
    over: AtomicBool,
}

impl World {
    fn new() -> anyhow::Result<Self> {
        let backends = |cluster: usize| {
            (0..BACKENDS).map(|n| mesh::backend(&format!("{cluster}-{n}"))).collect::<anyhow::Result<Vec<_>>>()
        };
        Ok(Self {
            listen: free_address()?,
            backends: [backends(0)?, backends(1)?],
            route: Version::default(),
            endpoints: Default::default(),
            wrong: Mutex::default(),
            wrong_count: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            over: AtomicBool::new(false),
        })
    }

    /// At the newest versions.
    fn config(&self) -> anyhow::Result<Config> {
        let mut yaml = Yaml::default();
        for (cluster, backends) in self.backends.iter().enumerate() {
            let at = (self.endpoints[cluster].newest() % BACKENDS) as usize;
            yaml.cluster(&format!("cluster-{cluster}"), &backends[at..=at]);
        }
        let version = self.route.newest();
        yaml.route("/", &format!("cluster-{}", version % 2), Some(version));
        mesh::configuration(&yaml.bootstrap(self.listen))
    }

    /// `before`: the oldest versions of the route and of each cluster's endpoints that the request may have met.
    fn check(&self, answer: &Answer, before: (u64, [u64; 2])) -> Result<(), String> {
        if answer.status != 200 {
            return Err(format!("status {}", answer.status));
        }
        let route: u64 = answer.route.parse().map_err(|_| format!("route {:?}", answer.route))?;
        let (oldest, newest) = (before.0, self.route.newest());
        if !(oldest..=newest).contains(&route) {
            return Err(format!("route {route}, where {oldest} to {newest} are right"));
        }
        let cluster = (route % 2) as usize;
        let (oldest, newest) = (before.1[cluster], self.endpoints[cluster].newest());
        let is_right = (oldest..=newest).any(|version| answer.backend == format!("{cluster}-{}", version % BACKENDS));
        if !is_right {
            let backend = &answer.backend;
            return Err(format!("backend {backend} by route {route}, where versions {oldest} to {newest} are right"));
        }
        Ok(())
    }

    fn ask(&self, client: &mut Option<Client>) {
        let before = (self.route.oldest(), [self.endpoints[0].oldest(), self.endpoints[1].oldest()]);
        let asked = match client {
            Some(client) => Ok(client),
            None => Client::connect(self.listen).map(|new| client.insert(new)),
        };
        let verdict = match asked.and_then(|client| client.get("/")) {
            Ok(answer) => self.check(&answer, before),
            Err(error) => {
                *client = None;
                Err(error.to_string())
            }
        };
        self.requests.fetch_add(1, Ordering::Relaxed);
        if let Err(wrong) = verdict {
            self.wrong_count.fetch_add(1, Ordering::Relaxed);
            if let Ok(mut told) = self.wrong.lock()
                && told.len() < TOLD
            {
                told.push(wrong);
            }
        }
    }

    /// Asks until it is over, once per `pace`, or as fast as answers come.
    #[allow(clippy::disallowed_methods, reason = "pacing is this program's work")]
    fn load(&self, pace: Option<Duration>) {
        let mut client = None;
        let mut due = Instant::now();
        while !self.over.load(Ordering::Relaxed) {
            self.ask(&mut client);
            if let Some(pace) = pace {
                // Behind its schedule it does not catch up: the load is a share, not a debt.
                due = (due + pace).max(Instant::now());
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
            }
        }
    }
}

/// # Errors
/// When the proxy does not start, rejects something or ends. Wrong answers are no error but counted.
pub fn run(args: &ProxyArgs, duration: Duration) -> anyhow::Result<Outcome> {
    let world = Arc::new(World::new()?);
    let mut mesh = Mesh::start(args, world.config()?)?;
    mesh::until(world.listen, "/", |answer| answer.status == 200).with_context(|| mesh.log())?;

    // What it can serve, changes included.
    let calibration = (duration / 10).clamp(Duration::from_secs(2), Duration::from_secs(10));
    under_load(&world, &mut mesh, calibration, None)?;
    let most = world.requests.swap(0, Ordering::SeqCst) as f64 / calibration.as_secs_f64();
    let pace = Duration::from_secs_f64(CONNECTIONS as f64 / (most * LOAD).max(1.0));

    let (changes, memory) = under_load(&world, &mut mesh, duration, Some(pace))?;
    let requests = world.requests.load(Ordering::SeqCst);
    let wrong_answers = world.wrong.lock().map(|wrong| wrong.clone()).unwrap_or_default();
    Ok(Outcome {
        requests,
        wrong: world.wrong_count.load(Ordering::SeqCst),
        wrong_answers,
        changes,
        requests_per_second: requests as f64 / duration.as_secs_f64(),
        rss_first_mb: memory.first().map_or(0.0, |(_, mb)| *mb),
        rss_last_mb: memory.last().map_or(0.0, |(_, mb)| *mb),
        rss_slope_mb_per_hour: slope(&memory[memory.len() / 2..]) * 3600.0,
    })
}

/// Number of changes, and memory by seconds.
#[allow(clippy::disallowed_methods, reason = "pacing is this program's work")]
fn under_load(
    world: &Arc<World>,
    mesh: &mut Mesh,
    duration: Duration,
    pace: Option<Duration>,
) -> anyhow::Result<(u64, Vec<(f64, f64)>)> {
    world.over.store(false, Ordering::SeqCst);
    let threads: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let world = world.clone();
            std::thread::spawn(move || world.load(pace))
        })
        .collect();
    let started = Instant::now();
    let (mut changes, mut memory, mut changed) = (0_u64, Vec::new(), Ok(()));
    while started.elapsed() < duration && changed.is_ok() {
        let due = started + CHANGE_EVERY * u32::try_from(changes + 1).unwrap_or(u32::MAX);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        changed = change(world, mesh, changes);
        changes += 1;
        if changes.is_multiple_of(10) {
            memory.push((started.elapsed().as_secs_f64(), rss_mb(mesh.proxy_id())));
        }
    }
    world.over.store(true, Ordering::SeqCst);
    for thread in threads {
        thread.join().map_err(|_panic| anyhow::anyhow!("a client panicked"))?;
    }
    changed?;
    Ok((changes, memory))
}

/// Routes and the endpoints of both clusters in turn.
fn change(world: &World, mesh: &mut Mesh, number: u64) -> anyhow::Result<()> {
    let (version, kind) = match number % 4 {
        1 => (&world.endpoints[0], "ClusterLoadAssignment"),
        3 => (&world.endpoints[1], "ClusterLoadAssignment"),
        _ => (&world.route, "RouteConfiguration"),
    };
    version.send();
    mesh.change(world.config()?, &[kind])?;
    version.ack();
    Ok(())
}

fn rss_mb(process: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let kilobytes =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse::<f64>().ok());
    kilobytes.unwrap_or(0.0) / 1024.0
}

/// By least squares.
fn slope(points: &[(f64, f64)]) -> f64 {
    let n = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / n.max(1.0);
    let (x, y) = (mean(|p| p.0), mean(|p| p.1));
    let (up, down) =
        points.iter().fold((0.0, 0.0), |(up, down), p| (up + (p.0 - x) * (p.1 - y), down + (p.0 - x) * (p.0 - x)));
    if down > 0.0 { up / down } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slope_of_a_line_is_found() {
        let points: Vec<(f64, f64)> = (0..10).map(|n| (f64::from(n), 3.0 + 0.5 * f64::from(n))).collect();
        assert!((slope(&points) - 0.5).abs() < 1e-9);
        assert!(slope(&[]).abs() < 1e-9);
    }
}
