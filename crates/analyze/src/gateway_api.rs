//! Our own analyses of Gateway API's kinds.
pub(crate) mod attachment;
pub(crate) mod listeners;
pub(crate) mod matches;
pub(crate) mod mutual_tls;
pub(crate) mod policies;
pub(crate) mod references;
pub(crate) mod weights;
