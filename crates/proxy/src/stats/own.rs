use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use leno_ir::Direction;

use super::cells::{Cell64, Level};

/// What one worker counts beside traffic.
#[derive(Debug, Default)]
pub(super) struct WorkerCells {
    /// Inbound, then outbound.
    pub(super) downstream_connections: [Level; 2],
    pub(super) active_requests: [Level; 2],
    pub(super) peer_refused: Cell64,
    pub(super) proxy_headers: [Cell64; ProxyHeaderResult::ALL.len()],
    pub(super) handshakes: [[Cell64; HandshakeResult::ALL.len()]; 2],
}

/// What is counted once per proxy.
#[derive(Debug, Default)]
pub(super) struct GlobalCells {
    config_version: AtomicU64,
    config_rejections: AtomicU64,
    pub(super) access_log_dropped: Arc<AtomicU64>,
}

impl GlobalCells {
    pub(super) fn config_applied(&self, rejected: u64) {
        self.config_version.fetch_add(1, Ordering::Relaxed);
        self.config_rejections.fetch_add(rejected, Ordering::Relaxed);
    }

    pub(super) fn config_version(&self) -> u64 {
        self.config_version.load(Ordering::Relaxed)
    }

    pub(super) fn config_rejections(&self) -> u64 {
        self.config_rejections.load(Ordering::Relaxed)
    }
}

/// Whose handshake it was: with a client of ours, or with an upstream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum TlsSide {
    Downstream,
    Upstream,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum HandshakeResult {
    Failed,
    Ok,
    TimedOut,
}

impl HandshakeResult {
    pub(super) const ALL: [Self; 3] = [Self::Failed, Self::Ok, Self::TimedOut];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Ok => "ok",
            Self::TimedOut => "timed_out",
        }
    }
}

/// How a connection that should begin with a PROXY header did.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ProxyHeaderResult {
    Absent,
    Disallowed,
    Error,
    Ok,
}

impl ProxyHeaderResult {
    pub(super) const ALL: [Self; 4] = [Self::Absent, Self::Disallowed, Self::Error, Self::Ok];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Disallowed => "disallowed",
            Self::Error => "error",
            Self::Ok => "ok",
        }
    }
}

impl WorkerCells {
    pub(super) fn tls_handshake(&self, side: TlsSide, result: HandshakeResult) {
        self.handshakes[side as usize][result as usize].add(1);
    }

    pub(super) fn downstream_connection(self: &Arc<Self>, direction: Direction) -> ActiveGuard {
        ActiveGuard::new(self, Kind::Connection, slot(direction))
    }

    pub(super) fn active_request(self: &Arc<Self>, direction: Direction) -> ActiveGuard {
        ActiveGuard::new(self, Kind::Request, slot(direction))
    }
}

const fn slot(direction: Direction) -> usize {
    match direction {
        Direction::Inbound => 0,
        Direction::Outbound | Direction::Unspecified => 1,
    }
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Connection,
    Request,
}

/// Something under way, counted until dropped. Stays on its worker.
#[derive(Debug)]
#[must_use]
pub(crate) struct ActiveGuard {
    cells: Arc<WorkerCells>,
    kind: Kind,
    slot: usize,
    _stays_on_its_thread: std::marker::PhantomData<std::rc::Rc<()>>,
}

impl ActiveGuard {
    fn new(cells: &Arc<WorkerCells>, kind: Kind, slot: usize) -> Self {
        let guard = Self { cells: cells.clone(), kind, slot, _stays_on_its_thread: std::marker::PhantomData };
        guard.level().add(1);
        guard
    }

    fn level(&self) -> &Level {
        match self.kind {
            Kind::Connection => &self.cells.downstream_connections[self.slot],
            Kind::Request => &self.cells.active_requests[self.slot],
        }
    }
}

impl Drop for ActiveGuard {
    fn drop(&mut self) {
        self.level().add(-1);
    }
}
