use std::sync::Arc;
use std::time::Duration;

use leno_ir::{Direction, Listener};
use tokio::sync::oneshot;

use super::Plan;
use crate::admin::ClusterStatus;
use crate::proxy::{NewSockets, Rejection};

/// What the proxy tells a worker. The channel holds few: the proxy waits for each answer.
#[derive(Debug)]
pub(crate) enum Command {
    Apply {
        plan: Arc<Plan>,
        sockets: NewSockets,
        done: oneshot::Sender<Vec<Rejection>>,
    },
    /// Finish what is under way until `deadline`, then end the rest. Answered with whether all had finished. The worker
    /// ends.
    Drain {
        deadline: Duration,
        done: oneshot::Sender<bool>,
    },
    /// Connections of listeners are asked to end; new ones are still taken.
    DrainListeners(Which),
    /// Listeners take no new connections; those that are there go on. Answered once their sockets are closed.
    StopListeners {
        which: Which,
        done: oneshot::Sender<()>,
    },
    /// Look at what was found out of clusters ([`crate::dynamics`]).
    Refresh,
    /// How the endpoints are doing here.
    Status {
        done: oneshot::Sender<Vec<ClusterStatus>>,
    },
}

/// A part of the listeners.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Which {
    All,
    Inbound,
}

impl Which {
    pub(crate) fn has(self, listener: &Listener) -> bool {
        self == Self::All || listener.direction == Direction::Inbound
    }
}
