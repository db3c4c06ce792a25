use std::sync::Arc;
use std::time::Duration;

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
    /// Look at what was found out of clusters ([`crate::dynamics`]).
    Refresh,
    /// How the endpoints are doing here.
    Status {
        done: oneshot::Sender<Vec<ClusterStatus>>,
    },
}
