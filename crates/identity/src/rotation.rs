use std::time::{Duration, SystemTime};

use leno_runtime::Tasks;
use leno_telemetry::metric::{Counter, Gauge};
use leno_telemetry::{Chain, Registry};
use tokio::task::JoinHandle;

use crate::join::{self, CsrClient, JoinConfig, JoinError};
use crate::{Identity, Svid};

/// Renewal begins at half life, give or take this share of it, so that a fleet started at once does not renew at once.
const JITTER: f64 = 0.1;
/// Before try n after a failure a random wait below `min(base * 2^n, max)`.
const BACK_OFF_BASE: Duration = Duration::from_secs(1);
const BACK_OFF_MAX: Duration = Duration::from_secs(60);
/// Between two renewals.
const LEAST_WAIT: Duration = Duration::from_secs(1);
/// Below this share of its life left, a failed renewal is a warning to the operator.
const WORRY: f64 = 0.2;

#[derive(Clone, Debug, Default)]
struct Metrics {
    expiry: Gauge,
    renewals: Counter,
    failures: Counter,
}

impl Metrics {
    fn register(registry: &Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "leno_identity_svid_expiry_timestamp_seconds",
            "When the current SVID expires, in seconds since 1970",
            metrics.expiry.clone(),
        );
        registry.register("leno_identity_renewals", "SVIDs obtained since the start", metrics.renewals.clone());
        registry.register("leno_identity_renewal_failures", "Attempts that gave no SVID", metrics.failures.clone());
        metrics
    }
}

/// Renews the SVID at half life for as long as `tasks` run.
pub fn spawn_rotation(identity: Identity, config: JoinConfig, tasks: &Tasks, registry: &Registry) {
    let metrics = Metrics::register(registry);
    tasks.spawn("svid-rotation", async move {
        let mut saving: Option<JoinHandle<()>> = None;
        loop {
            metrics.expiry.set(seconds(identity.current().not_after));
            let wait = until_renewal(identity.current().not_after, SystemTime::now(), rand::random());
            tokio::time::sleep(wait).await;
            let svid = renew(&identity, &config, &metrics).await;
            tracing::info!(id = %svid.id, "SVID renewed");
            identity.update(svid);
            metrics.renewals.inc();
            // In force before it is saved, and saved elsewhere: a disk that hangs holds up nothing.
            if saving.as_ref().is_none_or(JoinHandle::is_finished) {
                let (directory, svid) = (config.state_dir.clone(), identity.current());
                saving = Some(tokio::task::spawn_blocking(move || join::store(directory.as_deref(), &svid)));
            }
        }
    });
}

/// How long from `now` until half of what is left of a fresh SVID's life; `random` is in [0, 1).
///
/// Counted from what is left, not from `not_before`, which lies before the moment of issue; and never less than
/// [`LEAST_WAIT`], so that an authority that gives very short lives is not asked without pause.
fn until_renewal(not_after: SystemTime, now: SystemTime, random: f64) -> Duration {
    let left = not_after.duration_since(now).unwrap_or_default();
    left.mul_f64(0.5 + (random - 0.5) * JITTER).max(LEAST_WAIT)
}

/// Tries until it works.
async fn renew(identity: &Identity, config: &JoinConfig, metrics: &Metrics) -> Svid {
    let mut tries = 0_u32;
    loop {
        for address in &config.control {
            match renew_at(identity, config, address).await {
                Ok(svid) => return svid,
                Err(error) => report(identity, metrics, &error),
            }
        }
        let ceiling = BACK_OFF_BASE.saturating_mul(2_u32.saturating_pow(tries)).min(BACK_OFF_MAX);
        tries = tries.saturating_add(1);
        let wait = ceiling.mul_f64(rand::random());
        tokio::time::sleep(wait).await;
    }
}

/// With the SVID while it is good; after that only a join token can help.
async fn renew_at(identity: &Identity, config: &JoinConfig, address: &str) -> Result<Svid, JoinError> {
    let current = identity.current();
    if current.is_expired(SystemTime::now()) {
        let fresh = JoinConfig { state_dir: None, control: vec![address.to_owned()], ..config.clone() };
        let svid = join::join(&fresh).await?.current();
        return Svid::from_pem(&svid.chain_pem(), &svid.key_pem(), &svid.roots_pem())
            .map_err(|source| JoinError::Certificate { address: address.to_owned(), source });
    }
    let channel = join::connect_with_svid(identity, address, config.timeout).await?;
    CsrClient::with_svid(channel).fetch(&current.id, address, config.timeout).await
}

fn report(identity: &Identity, metrics: &Metrics, error: &JoinError) {
    metrics.failures.inc();
    let current = identity.current();
    let left = current.not_after.duration_since(SystemTime::now()).unwrap_or_default();
    let error = Chain(error);
    if left < current.lifetime().mul_f64(WORRY) {
        tracing::warn!(id = %current.id, left_seconds = left.as_secs(), %error, "the SVID cannot be renewed and will expire");
    } else {
        tracing::info!(id = %current.id, left_seconds = left.as_secs(), %error, "the SVID cannot be renewed yet");
    }
}

fn seconds(time: SystemTime) -> i64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renewal_comes_at_half_of_what_is_left_and_never_without_pause() {
        let now = SystemTime::UNIX_EPOCH;
        let wait = |left: u64, random: f64| until_renewal(now + Duration::from_secs(left), now, random);
        assert_eq!(wait(86_400, 0.5), Duration::from_secs(43_200));
        assert!(wait(86_400, 0.0) < wait(86_400, 0.99));
        assert_eq!(wait(0, 0.5), LEAST_WAIT);
        assert_eq!(wait(30, 0.5), Duration::from_secs(15));
    }
}
