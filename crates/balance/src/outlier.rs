//! Members that are left out for a while, as all workers of the process see them together.
//!
//! ```text
//!  worker ─ counts ─▶ Host (failures in a row: atomics) ── threshold ──▶ Outliers ─▶ ejected, generation + 1
//!         └────────▶ Tally (rates: one writer each) ─── once per interval ──┘            │
//!  worker ◀─────────────── looks at the generation with every choice ◀──────────────────┘
//! ```
//!
//! Invariants  a host is known as long as a worker has it; who is out is changed under the lock alone
//! Cost        per request: one load of the generation, loads of the counters of failures (written only when they change), and
//!             where rates are judged two stores to a line of the worker's own; the lock only on ejection and once per interval
//! Source      Envoy outlier_detection_impl.cc, 1.40
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use leno_ir::{Consecutive, OutlierDetection};
use leno_names::Fraction;

/// What a try told about its endpoint.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Signal {
    /// No connection, a reset, a time-out: no answer of the endpoint's own.
    LocalFailure,
    /// A response. A gRPC status counts as the HTTP status it maps to.
    Response { status: u16 },
    /// A TCP connection was made.
    Success,
}

impl Signal {
    pub(crate) fn is_failure(self) -> bool {
        match self {
            Self::LocalFailure => true,
            Self::Response { status } => status >= 500,
            Self::Success => false,
        }
    }
}

/// Successes among all, counted by one worker.
#[derive(Debug, Default)]
struct Rate {
    successes: AtomicU32,
    total: AtomicU32,
}

impl Rate {
    fn count(&self, is_success: bool) {
        // Nobody else writes.
        let add =
            |counter: &AtomicU32| counter.store(counter.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        add(&self.total);
        if is_success {
            add(&self.successes);
        }
    }

    fn read(&self) -> [u32; 2] {
        [self.successes.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed)]
    }
}

/// What one worker counts of one host: of its answers, and of what happens on the way.
#[derive(Debug, Default)]
struct Tally {
    answers: Rate,
    local_origin: Rate,
}

/// One address of a cluster.
#[derive(Debug, Default)]
struct Host {
    consecutive_5xx: AtomicU32,
    consecutive_gateway_errors: AtomicU32,
    consecutive_local_failures: AtomicU32,
    is_ejected: AtomicBool,
    record: Mutex<Record>,
}

/// Looked at when somebody is ejected or let back in.
#[derive(Debug, Default)]
struct Record {
    ejected_until: Option<Instant>,
    /// So far, less one per interval spent in rotation.
    ejections: u32,
    /// What each worker has counted, and what of it was judged already.
    tallies: Vec<(Weak<Tally>, [[u32; 2]; 2])>,
}

/// The outliers of one cluster.
#[derive(Debug, Default)]
pub struct Outliers {
    /// Grows whenever somebody is ejected or let back in.
    generation: AtomicU64,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    hosts: HashMap<SocketAddr, Weak<Host>>,
    next_sweep: Option<Instant>,
}

/// A host as one worker watches it.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    host: Arc<Host>,
    tally: Arc<Tally>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watch {
    pub(crate) fn is_ejected(&self) -> bool {
        self.host.is_ejected.load(Ordering::Relaxed)
    }

    pub(crate) fn ejected_until(&self) -> Option<Instant> {
        lock(&self.host.record).ejected_until
    }

    /// Counts `signal`; the detector whose threshold is reached, which begins anew.
    ///
    /// As in Envoy, without `split_local_origin` a local failure counts as a 503.
    pub(crate) fn count(&self, signal: Signal, config: &OutlierDetection) -> Option<Consecutive> {
        let host = &*self.host;
        let has_rates = config.success_rate.is_some() || config.failure_percentage.is_some();
        if config.split_local_origin {
            let is_local = signal == Signal::LocalFailure;
            if has_rates {
                self.tally.local_origin.count(!is_local);
            }
            let reached = step(&host.consecutive_local_failures, is_local, config.consecutive_local_origin_failures);
            if is_local || reached.is_some() {
                return reached;
            }
        }
        let (is_5xx, is_gateway_error) = match signal {
            Signal::LocalFailure => (true, true),
            Signal::Response { status } => (status >= 500, matches!(status, 502..=504)),
            Signal::Success => (false, false),
        };
        if has_rates {
            self.tally.answers.count(!is_5xx);
        }
        let gateway = step(&host.consecutive_gateway_errors, is_gateway_error, config.consecutive_gateway_errors);
        let of_5xx = step(&host.consecutive_5xx, is_5xx, config.consecutive_5xx);
        gateway.or(of_5xx)
    }
}

fn step(counter: &AtomicU32, has_failed: bool, detector: Option<Consecutive>) -> Option<Consecutive> {
    if !has_failed {
        // Read first, so that the line stays shared while all goes well.
        if counter.load(Ordering::Relaxed) > 0 {
            counter.store(0, Ordering::Relaxed);
        }
        return None;
    }
    let count = counter.fetch_add(1, Ordering::Relaxed).saturating_add(1);
    let reached = detector.filter(|detector| count >= detector.threshold.max(1))?;
    counter.store(0, Ordering::Relaxed);
    Some(reached)
}

impl Outliers {
    /// Differs from before when somebody was ejected or let back in.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    fn has_changed(&self) {
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Begins to watch the host at an address, which is one for all workers.
    pub(crate) fn watch(&self, address: SocketAddr) -> Watch {
        let mut known = lock(&self.known);
        let host = match known.hosts.get(&address).and_then(Weak::upgrade) {
            Some(host) => host,
            None => {
                known.hosts.retain(|_, host| host.strong_count() > 0);
                let host = Arc::new(Host::default());
                known.hosts.insert(address, Arc::downgrade(&host));
                host
            }
        };
        let tally = Arc::new(Tally::default());
        lock(&host.record).tallies.push((Arc::downgrade(&tally), [[0; 2]; 2]));
        Watch { host, tally }
    }

    /// Ejects a host whose threshold was reached, if there may be one more. Whether it is out now, and was not before.
    pub(crate) fn eject(
        &self,
        watch: &Watch,
        config: &OutlierDetection,
        enforced: Fraction,
        now: Instant,
        random: u64,
    ) -> bool {
        // Held until it is out, so that two workers do not each take the last place.
        let known = lock(&self.known);
        let hosts: Vec<_> = known.hosts.values().filter_map(Weak::upgrade).collect();
        let ejected = hosts.iter().filter(|host| host.is_ejected.load(Ordering::Relaxed)).count();
        let may = !watch.is_ejected() && may_eject(config, ejected, hosts.len()) && is_enforced(enforced, random);
        if may {
            eject(&watch.host, config, now, random);
            self.has_changed();
        }
        may
    }

    /// Ends an ejection. Whether there was one.
    pub(crate) fn readmit(&self, watch: &Watch) -> bool {
        let was_ejected = lock(&watch.host.record).ejected_until.take().is_some();
        if was_ejected {
            watch.host.is_ejected.store(false, Ordering::Relaxed);
            self.has_changed();
        }
        was_ejected
    }

    /// Lets hosts back in whose time is over, and ejects those whose rates are out of line; does nothing more often than
    /// every `interval`, whichever worker asks.
    pub(crate) fn sweep(&self, config: &OutlierDetection, now: Instant, random: &mut impl FnMut() -> u64) {
        let mut known = lock(&self.known);
        let is_first = known.next_sweep.is_none();
        if known.next_sweep.is_some_and(|next| now < next) {
            return;
        }
        known.next_sweep = now.checked_add(config.interval);
        if is_first {
            return;
        }
        let mut hosts: Vec<_> = known.hosts.iter().filter_map(|(at, host)| Some((*at, host.upgrade()?))).collect();
        // The same whatever the order of the map.
        hosts.sort_by_key(|(address, _)| *address);
        let hosts: Vec<Arc<Host>> = hosts.into_iter().map(|(_, host)| host).collect();
        let mut has_changed = hosts.iter().filter(|host| sweep(host, now)).count() > 0;
        let mut ejected = hosts.iter().filter(|host| host.is_ejected.load(Ordering::Relaxed)).count();
        for (at, enforced) in judge(&hosts, config) {
            let host = &hosts[at];
            let may = !host.is_ejected.load(Ordering::Relaxed) && may_eject(config, ejected, hosts.len());
            if may && is_enforced(enforced, random()) {
                eject(host, config, now, random());
                ejected += 1;
                has_changed = true;
            }
        }
        if has_changed {
            self.has_changed();
        }
    }
}

/// Whether one more of `total` members may be out, `ejected` being out already.
fn may_eject(config: &OutlierDetection, ejected: usize, total: usize) -> bool {
    let most = u64::from(config.max_ejection.parts_per_million()) * total as u64;
    (ejected == 0 && config.always_eject_one) || (ejected as u64 + 1) * 1_000_000 <= most
}

/// Whether a detection with this share of enforcement ejects.
fn is_enforced(enforced: Fraction, random: u64) -> bool {
    random % 1_000_000 < u64::from(enforced.parts_per_million())
}

/// Leaves a host out: the base time times the number of ejections, at most the maximum.
fn eject(host: &Host, config: &OutlierDetection, now: Instant, random: u64) {
    let mut record = lock(&host.record);
    let times = record.ejections.saturating_add(1);
    let longest = config.max_ejection_time.max(config.base_ejection_time);
    let time = config.base_ejection_time.checked_mul(times).unwrap_or(longest).min(longest);
    let jitter = u64::try_from(config.max_ejection_time_jitter.as_millis()).unwrap_or(u64::MAX);
    let jitter = Duration::from_millis(random.checked_rem(jitter).unwrap_or(0));
    record.ejections = times;
    record.ejected_until = now.checked_add(time + jitter);
    host.is_ejected.store(true, Ordering::Relaxed);
}

/// One sweep over one host; `true` when it is let back in. A sweep spent in rotation forgives one ejection.
fn sweep(host: &Host, now: Instant) -> bool {
    let mut record = lock(&host.record);
    match record.ejected_until {
        Some(until) if until <= now => {
            record.ejected_until = None;
            host.is_ejected.store(false, Ordering::Relaxed);
            true
        }
        Some(_) => false,
        None => {
            record.ejections = record.ejections.saturating_sub(1);
            false
        }
    }
}

/// What all workers have counted since the last time: successes and total, of answers and on the way.
fn counted(host: &Host) -> [[u32; 2]; 2] {
    let mut sums = [[0_u32; 2]; 2];
    lock(&host.record).tallies.retain_mut(|(tally, judged)| {
        let Some(tally) = tally.upgrade() else { return false };
        let now = [tally.answers.read(), tally.local_origin.read()];
        for (sums, (now, judged)) in sums.iter_mut().zip(now.iter().zip(judged.iter())) {
            for (sum, (now, judged)) in sums.iter_mut().zip(now.iter().zip(judged)) {
                *sum = sum.saturating_add(now.wrapping_sub(*judged));
            }
        }
        *judged = now;
        true
    });
    sums
}

/// The hosts in rotation whose rates of the interval are out of line, each with the share of enforcement; and begins the
/// next interval.
fn judge(hosts: &[Arc<Host>], config: &OutlierDetection) -> Vec<(usize, Fraction)> {
    let mut found = Vec::new();
    if config.success_rate.is_none() && config.failure_percentage.is_none() {
        return found;
    }
    let (answers, on_the_way): (Vec<_>, Vec<_>) = hosts.iter().map(|host| counted(host)).map(<[_; 2]>::into).unzip();
    let origins = if config.split_local_origin { 2 } else { 1 };
    for (number, counts) in [answers, on_the_way].iter().enumerate().take(origins) {
        let percents = |volume: u32| -> Vec<(usize, f64)> {
            let in_rotation = hosts.iter().enumerate().filter(|(_, host)| !host.is_ejected.load(Ordering::Relaxed));
            in_rotation.filter_map(|(at, _)| Some((at, percent(counts[at], volume)?))).collect()
        };
        if let Some(config) = &config.success_rate {
            let enforced = if number == 0 { config.enforced } else { config.local_origin_enforced };
            let of = percents(config.request_volume);
            if !of.is_empty() && of.len() >= config.minimum_hosts as usize && enforced > Fraction::ZERO {
                let least = least_rate(&of, f64::from(config.stdev_factor_thousandths) / 1000.0);
                found.extend(of.iter().filter(|(_, percent)| *percent < least).map(|(at, _)| (*at, enforced)));
            }
        }
        if let Some(config) = &config.failure_percentage {
            let enforced = if number == 0 { config.enforced } else { config.local_origin_enforced };
            let of = percents(config.request_volume);
            if !of.is_empty() && of.len() >= config.minimum_hosts as usize && enforced > Fraction::ZERO {
                let most = f64::from(config.threshold_percent);
                found.extend(of.iter().filter(|(_, percent)| 100.0 - percent >= most).map(|(at, _)| (*at, enforced)));
            }
        }
    }
    found
}

/// `None`: too few to tell.
fn percent([successes, total]: [u32; 2], volume: u32) -> Option<f64> {
    (total > 0 && total >= volume).then(|| 100.0 * f64::from(successes) / f64::from(total))
}

/// The mean less some standard deviations.
fn least_rate(percents: &[(usize, f64)], factor: f64) -> f64 {
    let count = percents.len() as f64;
    let mean = percents.iter().map(|(_, percent)| percent).sum::<f64>() / count;
    let variance = percents.iter().map(|(_, percent)| (percent - mean).powi(2)).sum::<f64>() / count;
    mean - factor * variance.sqrt()
}
