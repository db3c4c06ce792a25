use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::time::MissedTickBehavior;

use super::Overload;

/// Between two attempts to give memory back, while there is need. Envoy's default.
const SHRINK_INTERVAL: Duration = Duration::from_secs(10);

/// Looks at the memory until cancelled.
pub(crate) async fn watch_memory(overload: Arc<Overload>) {
    let mut looks = tokio::time::interval(overload.refresh_interval());
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last_shrink: Option<Instant> = None;
    loop {
        looks.tick().await;
        let Ok(used_bytes) = leno_runtime::memory::resident_bytes() else {
            overload.failed_updates.fetch_add(1, Ordering::Relaxed);
            continue;
        };
        let is_due = last_shrink.is_none_or(|last| last.elapsed() >= SHRINK_INTERVAL);
        if overload.publish(used_bytes) && is_due {
            last_shrink = Some(Instant::now());
            // A panic in it was reported by the panic hook.
            let _ = tokio::task::spawn_blocking(leno_runtime::sys::trim_heap).await;
        }
    }
}
