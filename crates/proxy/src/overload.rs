//! What is shed when memory or connections run short: how much, and that it is seen. Who sheds is told, and asks.
//!
//! Shape       1 proxy -> 0..1 `Overload`; `monitor` looks at the memory and publishes, workers read
//! Units       pressure and states of actions are parts per million: of the memory, and of what an action would do
//! Invariants  without configuration there is none of this; the limit of connections is exact over all workers
//! Cost        a request: one relaxed load per action it can meet; a connection: one atomic step when there is a limit; a look
//!             reads one small file, on the control runtime
//! Source      Envoy overload manager v1.40

mod metrics;
mod monitor;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use leno_ir::OverloadActionKind;
use leno_telemetry::Registry;
use tokio::sync::watch;

pub(crate) use monitor::watch_memory;

const WHOLE: u32 = 1_000_000;

/// The state that workers read.
#[derive(Debug)]
pub(crate) struct Overload {
    config: leno_ir::Overload,
    pressure: AtomicU32,
    /// By kind.
    states: [AtomicU32; OverloadActionKind::ALL.len()],
    /// Listeners wait while it is true.
    stops_accepting: watch::Sender<bool>,
    connections: AtomicU64,
    shed: [AtomicU64; Shed::ALL.len()],
    failed_updates: AtomicU64,
}

/// What was shed, for the counters.
#[derive(Clone, Copy, Debug)]
enum Shed {
    Connection,
    Keepalive,
    Request,
}

impl Shed {
    const ALL: [Self; 3] = [Self::Connection, Self::Keepalive, Self::Request];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Keepalive => "keepalive",
            Self::Request => "request",
        }
    }
}

/// A connection that is counted until this is dropped.
#[derive(Debug)]
pub(crate) struct ConnectionSlot(Arc<Overload>);

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Overload {
    /// Adds its metrics to what `registry` exports.
    pub(crate) fn register(config: leno_ir::Overload, registry: &Registry) -> Arc<Self> {
        let overload = Arc::new(Self {
            config,
            pressure: AtomicU32::default(),
            states: Default::default(),
            stops_accepting: watch::Sender::new(false),
            connections: AtomicU64::default(),
            shed: Default::default(),
            failed_updates: AtomicU64::default(),
        });
        registry.register_collector(metrics::OverloadCollector(overload.clone()));
        overload
    }

    /// Whether a request is to be answered 503.
    pub(crate) fn sheds_request(&self, random: impl FnOnce() -> u64) -> bool {
        self.sheds(OverloadActionKind::StopAcceptingRequests, Shed::Request, random)
    }

    /// Whether a connection is to end after the exchange that is beginning on it.
    pub(crate) fn ends_keepalive(&self, random: impl FnOnce() -> u64) -> bool {
        self.sheds(OverloadActionKind::DisableHttpKeepalive, Shed::Keepalive, random)
    }

    fn sheds(&self, kind: OverloadActionKind, what: Shed, random: impl FnOnce() -> u64) -> bool {
        let state = self.state(kind);
        let sheds = state > 0 && (state >= WHOLE || random() % u64::from(WHOLE) < u64::from(state));
        if sheds {
            self.shed[what as usize].fetch_add(1, Ordering::Relaxed);
        }
        sheds
    }

    fn state(&self, kind: OverloadActionKind) -> u32 {
        self.states[kind as usize].load(Ordering::Relaxed)
    }

    /// A place for one more connection. `Err`: there are too many; `Ok(None)`: nobody counts.
    pub(crate) fn admit(self: &Arc<Self>) -> Result<Option<ConnectionSlot>, TooManyConnections> {
        let Some(limit) = self.config.max_downstream_connections else { return Ok(None) };
        if self.connections.fetch_add(1, Ordering::Relaxed) < limit {
            return Ok(Some(ConnectionSlot(self.clone())));
        }
        self.connections.fetch_sub(1, Ordering::Relaxed);
        self.shed[Shed::Connection as usize].fetch_add(1, Ordering::Relaxed);
        Err(TooManyConnections)
    }

    /// Resolves when listeners are to stop (`true`) or go on (`false`) accepting; at once when it is so.
    pub(crate) async fn stops_accepting(&self, stops: bool) {
        // The sender is our own, so that it cannot have gone.
        let _ = self.stops_accepting.subscribe().wait_for(|now| *now == stops).await;
    }

    /// What follows from that much memory in use; `true` when the heap should shrink.
    fn publish(&self, used_bytes: u64) -> bool {
        let Some(limit) = self.config.max_heap_size_bytes else { return false };
        let pressure = used_bytes as f64 / limit as f64;
        self.pressure.store(parts(pressure), Ordering::Relaxed);
        for action in &self.config.actions {
            let state = parts(action.trigger.value(pressure));
            let before = self.states[action.kind as usize].swap(state, Ordering::Relaxed);
            if (before > 0) != (state > 0) {
                report(action.kind, state > 0, used_bytes, limit);
            }
        }
        // Envoy as well stops only when all of it is due.
        let stops = self.state(OverloadActionKind::StopAcceptingConnections) >= WHOLE;
        self.stops_accepting.send_if_modified(|now| std::mem::replace(now, stops) != stops);
        self.state(OverloadActionKind::ShrinkHeap) >= WHOLE
    }

    fn refresh_interval(&self) -> Duration {
        self.config.refresh_interval
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct TooManyConnections;

fn parts(share: f64) -> u32 {
    // A cast of a float saturates.
    (share * f64::from(WHOLE)).round() as u32
}

fn report(kind: OverloadActionKind, is_active: bool, used_bytes: u64, limit_bytes: u64) {
    let action = kind.as_str();
    if is_active {
        tracing::warn!(action, used_bytes, limit_bytes, "overload: the action is on");
    } else {
        tracing::info!(action, used_bytes, limit_bytes, "overload: the action is off");
    }
}

#[cfg(test)]
mod tests;
