use std::sync::Arc;

use leno_ir::Config;
use leno_xds::Rejection;
use tokio::sync::oneshot;

/// A configuration to run, complete as far as the control plane has sent what belongs to it.
#[derive(Debug)]
pub struct Update {
    pub config: Arc<Config>,
    pub origin: Origin,
    /// What the proxy could not use, once it runs the rest; it keeps the last good version of each. Dropped unsent, all
    /// that is new counts as rejected. The next update comes only after this.
    pub reply: oneshot::Sender<Vec<Rejection>>,
}

/// Where a configuration comes from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Origin {
    Control,
    /// Saved by an earlier run; the control plane has not been heard yet.
    Disk,
}
