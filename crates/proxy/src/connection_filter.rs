//! What decides about a connection before it is served: Envoy's network filters but the last one of a chain.
//!
//! Shape       1 filter chain -> n filters, asked in order -> `Admission`, held while the connection lasts, or `Refusal`
//! Invariants  all are asked before an upstream hears of the connection; in Envoy the rules of RBAC are asked at the client's
//!             first byte, after the upstream was dialled, so that a server that speaks first is heard by everybody
//! Cost        a chain without filters: one look at an empty slice
//! Source      Envoy network filters rbac, local_ratelimit, connection_limit v1.40

mod limit;
mod rbac;

use std::borrow::Cow;
use std::pin::pin;
use std::time::{Duration, Instant};

use leno_ir::ConnectionFilter as Config;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub(crate) use self::limit::RateLimitFilter;
use self::limit::{LimitFilter, LimitPermit};
use self::rbac::RbacFilter;
use crate::connection::Connection;
use crate::flags::ResponseFlags;
use crate::stream::Stream;
use crate::worker::Worker;

/// How long a refused client may take to close. Chosen: some round trips.
const LINGER: Duration = Duration::from_secs(1);

/// The filters of one chain, on one worker.
#[derive(Debug, Default)]
pub(crate) struct ConnectionFilters {
    filters: Box<[Filter]>,
}

#[derive(Debug)]
enum Filter {
    Limit(LimitFilter),
    RateLimit(RateLimitFilter),
    Rbac(Box<RbacFilter>),
}

/// What a connection holds of limits.
#[derive(Debug, Default)]
#[must_use]
pub(crate) struct Admission {
    _permits: Vec<LimitPermit>,
}

/// A connection that is not served.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) flags: ResponseFlags,
    /// Envoy's `%CONNECTION_TERMINATION_DETAILS%`; empty: none.
    pub(crate) termination_details: Cow<'static, str>,
    /// How long the client has to wait for its end.
    pub(crate) delay: Option<Duration>,
    /// What the client still sends is read, so that it sees an end and not a reset.
    lingers: bool,
    /// The client counts while it waits.
    _held: Admission,
}

impl ConnectionFilters {
    /// `place` names the chain among all of the configuration.
    pub(crate) fn new(configs: &[Config], place: &str, worker: &Worker) -> Self {
        let filter = |(index, config): (usize, &Config)| match config {
            Config::Limit(limit) => {
                Filter::Limit(LimitFilter::new(limit, &format!("{place}.filters[{index}]"), worker))
            }
            Config::RateLimit(limit) => {
                Filter::RateLimit(RateLimitFilter::of_chain(limit, &format!("{place}.filters[{index}]"), worker))
            }
            Config::Rbac(rbac) => Filter::Rbac(Box::new(RbacFilter::new(rbac, &worker.stats))),
        };
        Self { filters: configs.iter().enumerate().map(filter).collect() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.filters.is_empty()
    }

    /// Whether an upstream may be dialled while it is found out what the client speaks, before it is admitted: not on
    /// behalf of somebody who will be refused, and not where connections are counted.
    pub(crate) fn allow_early_dial(&self, connection: &Connection) -> bool {
        self.filters.iter().all(|filter| match filter {
            Filter::Limit(_) | Filter::RateLimit(_) => false,
            Filter::Rbac(rbac) => rbac.allows(connection),
        })
    }

    /// # Errors
    /// Why the connection is to be closed.
    pub(crate) fn admit(&self, connection: &Connection, now: Instant) -> Result<Admission, Refusal> {
        let mut admission = Admission::default();
        for filter in &self.filters {
            match filter {
                Filter::Limit(limit) => {
                    let (permit, is_within) = limit.take();
                    admission._permits.push(permit);
                    if !is_within {
                        let flags = ResponseFlags::NONE;
                        let termination_details = Cow::Borrowed("");
                        let delay = limit.delay();
                        return Err(Refusal { flags, termination_details, delay, lingers: false, _held: admission });
                    }
                }
                Filter::RateLimit(limit) => {
                    if !limit.take(now) {
                        // Envoy's flag for it, of all flags.
                        let flags = ResponseFlags::RETRY_LIMIT_EXCEEDED;
                        let termination_details = Cow::Borrowed("");
                        return Err(Refusal {
                            flags,
                            termination_details,
                            delay: None,
                            lingers: false,
                            _held: admission,
                        });
                    }
                }
                Filter::Rbac(rbac) => {
                    if let Err(details) = rbac.enforce(connection) {
                        return Err(Refusal {
                            flags: ResponseFlags::NONE,
                            termination_details: Cow::Owned(details),
                            delay: rbac.delay(),
                            lingers: true,
                            _held: admission,
                        });
                    }
                }
            }
        }
        Ok(admission)
    }
}

impl Refusal {
    /// Lets the client wait, unless it is time to leave, and then closes.
    pub(crate) async fn close(&self, mut stream: Stream, connection: &Connection) {
        let mut leaving = pin!(connection.drain.draining());
        if let Some(delay) = self.delay {
            tokio::select! {
                () = &mut leaving => {}
                () = tokio::time::sleep(delay) => {}
            }
        }
        if self.lingers {
            tokio::select! {
                () = &mut leaving => {}
                () = tokio::time::sleep(LINGER) => {}
                () = end(&mut stream) => {}
            }
        }
    }
}

/// Tells the client that nothing follows, and reads until it says the same.
async fn end(stream: &mut Stream) {
    // A client that cannot be told is gone.
    if stream.shutdown().await.is_ok() {
        let mut ignored = [0; 512];
        while matches!(stream.read(&mut ignored).await, Ok(1..)) {}
    }
}

#[cfg(test)]
mod tests;
