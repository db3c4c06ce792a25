//! How long a change of configuration takes, and what requests notice of it.
//!
//! Units       milliseconds from the moment a change is handed to the xDS server until the proxy has acknowledged it, and
//!             until the first request got the new answer; microseconds for the slowest request

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use leno_ir::Config;
use serde::Serialize;

use crate::mesh::{self, Client, Mesh, ProxyArgs};
use crate::yaml::{Yaml, free_address};

const CLUSTERS: usize = 1000;
const ENDPOINTS: usize = 10;
const CHANGES: usize = 20;
/// Requests per second of each of the two connections while changes are made.
const PACE: Duration = Duration::from_millis(4);
const CHANGE_EVERY: Duration = Duration::from_millis(100);

#[derive(Debug, Serialize)]
pub struct Times {
    /// 1,000 clusters with ten endpoints each and 1,000 routes: acknowledged; a request for the last of them answered.
    apply_ack_ms: f64,
    apply_request_ms: f64,
    /// One endpoint replaced by another, medians.
    change_ack_ms: f64,
    change_request_ms: f64,
    /// The slowest request and the 99.9th of a thousand, with a changed endpoint every 100 ms and without.
    slowest_changing_us: f64,
    slowest_quiet_us: f64,
    p999_changing_us: f64,
    p999_quiet_us: f64,
}

struct World {
    listen: SocketAddr,
    backends: [SocketAddr; 2],
}

impl World {
    /// With so many clusters beside the one that is asked; `live` is the backend of that one.
    fn config(&self, clusters: usize, live: usize) -> anyhow::Result<Config> {
        let mut yaml = Yaml::default();
        yaml.cluster("live", &[self.backends[live % 2]]);
        for n in 0..clusters {
            let mut endpoints: Vec<SocketAddr> = (0..ENDPOINTS)
                .map(|at| SocketAddr::from(([10, (n / 250) as u8, (n % 250) as u8, at as u8], 80)))
                .collect();
            if n + 1 == clusters {
                endpoints = vec![self.backends[1]; 1];
            }
            yaml.cluster(&format!("cluster-{n}"), &endpoints);
            yaml.route(&format!("/cluster-{n}/"), &format!("cluster-{n}"), None);
        }
        yaml.route("/", "live", None);
        mesh::configuration(&yaml.bootstrap(self.listen))
    }

    /// The same with another backend.
    fn with_live(&self, config: &Config, live: usize) -> anyhow::Result<Config> {
        let (mut changed, small) = (config.clone(), self.config(0, live)?);
        changed.endpoints.extend(small.endpoints.iter().map(|(name, set)| (name, set.clone())));
        Ok(changed)
    }
}

/// # Errors
/// When the proxy does not start, rejects something or does not answer.
pub fn run(args: &ProxyArgs, seconds: u32) -> anyhow::Result<Times> {
    let world = World { listen: free_address()?, backends: [mesh::backend("0")?, mesh::backend("1")?] };
    let mut mesh = Mesh::start(args, world.config(0, 0)?)?;
    mesh::until(world.listen, "/", |answer| answer.backend == "0").with_context(|| mesh.log())?;

    let large = world.config(CLUSTERS, 0)?;
    let path = format!("/cluster-{}/", CLUSTERS - 1);
    let started = Instant::now();
    // Watched from a thread of its own: the acknowledgement may come before or after.
    let watching = std::thread::spawn({
        let (listen, path) = (world.listen, path.clone());
        move || mesh::until(listen, &path, |answer| answer.backend == "1")
    });
    let acked = mesh.change(large.clone(), &["Cluster", "ClusterLoadAssignment", "RouteConfiguration"])?;
    let answered = watching.join().map_err(|_panic| anyhow::anyhow!("the watching thread panicked"))??;
    let (apply_ack_ms, apply_request_ms) = (milliseconds(acked - started), milliseconds(answered - started));

    let (mut acks, mut answers) = (Vec::new(), Vec::new());
    for number in 1..=CHANGES {
        let (config, wanted) = (world.with_live(&large, number)?, (number % 2).to_string());
        let started = Instant::now();
        let watching = std::thread::spawn({
            let listen = world.listen;
            move || mesh::until(listen, "/", |answer| answer.backend == wanted)
        });
        acks.push(milliseconds(mesh.change(config, &["ClusterLoadAssignment"])? - started));
        let answered = watching.join().map_err(|_panic| anyhow::anyhow!("the watching thread panicked"))??;
        answers.push(milliseconds(answered - started));
    }

    let configs = [world.with_live(&large, 0)?, world.with_live(&large, 1)?];
    let quiet = slowest(&world, seconds, || Ok(()))?;
    let mut number = 0;
    let changing = slowest(&world, seconds, || {
        number += 1;
        mesh.change(configs[number % 2].clone(), &["ClusterLoadAssignment"]).map(|_| ())
    })?;
    Ok(Times {
        apply_ack_ms,
        apply_request_ms,
        change_ack_ms: median(acks),
        change_request_ms: median(answers),
        slowest_changing_us: changing.0,
        slowest_quiet_us: quiet.0,
        p999_changing_us: changing.1,
        p999_quiet_us: quiet.1,
    })
}

/// The slowest request of some seconds, and the 99.9th percentile, while `change` is called again and again.
#[allow(clippy::disallowed_methods, reason = "pacing is this program's work")]
fn slowest(world: &World, seconds: u32, mut change: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<(f64, f64)> {
    let over = Arc::new(AtomicBool::new(false));
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let (listen, over) = (world.listen, over.clone());
            std::thread::spawn(move || -> anyhow::Result<Vec<f64>> {
                let mut client = Client::connect(listen)?;
                let mut seen = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    let started = Instant::now();
                    let answer = client.get("/").context("asking")?;
                    anyhow::ensure!(answer.status == 200, "an answer is {}", answer.status);
                    seen.push(started.elapsed().as_secs_f64() * 1e6);
                    std::thread::sleep(PACE);
                }
                Ok(seen)
            })
        })
        .collect();
    let end = Instant::now() + Duration::from_secs(seconds.into());
    let mut changed = Ok(());
    while Instant::now() < end && changed.is_ok() {
        std::thread::sleep(CHANGE_EVERY);
        changed = change();
    }
    over.store(true, Ordering::Relaxed);
    let mut all = Vec::new();
    for thread in threads {
        all.extend(thread.join().map_err(|_panic| anyhow::anyhow!("a client panicked"))??);
    }
    changed?;
    all.sort_by(f64::total_cmp);
    let at = |share: f64| all.get((share * all.len().saturating_sub(1) as f64) as usize).copied().unwrap_or(0.0);
    Ok((at(1.0), at(0.999)))
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
