use std::pin::Pin;
use std::time::Duration;

use leno_proto::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use rand::Rng;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::XdsClientConfig;
use crate::backoff::Backoff;
use crate::connect::{ConnectError, Connection, Target};
use crate::metrics::Metrics;

pub(super) type Request = DeltaDiscoveryRequest;
pub(super) type Response = DeltaDiscoveryResponse;

/// Requests that wait to be sent. More than this means that the control plane does not read; then we reconnect.
const REQUESTS: usize = 64;
/// After our side is closed the control plane has this long to close its own.
const GOODBYE_TIMEOUT: Duration = Duration::from_millis(1500);

/// The stream, or what stands in for it.
pub(super) enum Link {
    Connecting {
        requests: mpsc::Sender<Request>,
        opening: Pin<Box<dyn Future<Output = Result<Connection, ConnectError>> + Send>>,
    },
    Idle {
        until: Instant,
    },
    Open {
        requests: mpsc::Sender<Request>,
        connection: Box<Connection>,
    },
}

pub(super) enum LinkEvent {
    Broken(LinkError),
    Connect,
    Connected(Box<Connection>),
    Response(Box<Response>),
}

#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("the control plane ended the stream")]
    Ended,
    #[error("the control plane does not read our requests")]
    Stuck,
    #[error("the stream broke ({code:?}): {message}")]
    Stream { code: tonic::Code, message: String },
}

impl Link {
    pub(super) fn idle() -> Self {
        Self::Idle { until: Instant::now() }
    }

    /// Waits for the next event; reads responses only when `reads`. Cancel safe.
    pub(super) async fn next_event(&mut self, reads: bool) -> LinkEvent {
        match self {
            Self::Connecting { opening, .. } => match opening.await {
                Ok(connection) => LinkEvent::Connected(Box::new(connection)),
                Err(error) => LinkEvent::Broken(error.into()),
            },
            Self::Idle { until } => {
                sleep_until(*until).await;
                LinkEvent::Connect
            }
            Self::Open { requests, .. } if requests.capacity() == 0 => LinkEvent::Broken(LinkError::Stuck),
            Self::Open { connection, .. } if reads => match connection.responses.message().await {
                Ok(Some(response)) => LinkEvent::Response(Box::new(response)),
                Ok(None) => LinkEvent::Broken(LinkError::Ended),
                Err(status) => {
                    LinkEvent::Broken(LinkError::Stream { code: status.code(), message: status.message().to_owned() })
                }
            },
            Self::Open { .. } => std::future::pending().await,
        }
    }

    pub(super) fn send(&self, request: Request) {
        if let Self::Connecting { requests, .. } | Self::Open { requests, .. } = self {
            // A full or closed channel shows as a broken link at the next event.
            let _ = requests.try_send(request);
        }
    }

    /// Closes our side and waits, bounded, until the control plane closes its own.
    pub(super) async fn close(self) {
        let Self::Open { requests, mut connection } = self else { return };
        drop(requests);
        let ended = async { while let Ok(Some(_)) = connection.responses.message().await {} };
        if tokio::time::timeout(GOODBYE_TIMEOUT, ended).await.is_err() {
            tracing::debug!("the control plane has not closed the stream");
        }
    }
}

/// Makes links: which address is next, and when.
pub(super) struct Links {
    target: Target,
    addresses: Vec<String>,
    next: usize,
    backoff: Backoff,
    metrics: Metrics,
    last_failure: Option<String>,
}

impl Links {
    pub(super) fn new(config: &XdsClientConfig, target: Target, metrics: Metrics) -> Self {
        let backoff = Backoff::new(config.backoff_base, config.backoff_max);
        Self { target, addresses: config.control.clone(), next: 0, backoff, metrics, last_failure: None }
    }

    pub(super) fn connect(&mut self) -> Link {
        let address = self.addresses.get(self.next).cloned().unwrap_or_default();
        let (requests, receiver) = mpsc::channel(REQUESTS);
        let opening = Target { address, ..self.target.clone() }.open(receiver);
        Link::Connecting { requests, opening: Box::pin(opening) }
    }

    pub(super) fn connected(&mut self, link: Link, connection: Box<Connection>) -> Link {
        match link {
            Link::Connecting { requests, .. } => Link::Open { requests, connection },
            other => other,
        }
    }

    /// A first response proves that the control plane serves us.
    pub(super) fn succeeded(&mut self) {
        self.backoff.reset();
        if self.last_failure.take().is_some() {
            tracing::info!("the control plane serves again");
        }
    }

    pub(super) fn failed(&mut self, error: &LinkError) {
        self.metrics.failures.inc();
        self.next = (self.next + 1) % self.addresses.len().max(1);
        let text = with_causes(error);
        if self.last_failure.as_ref() == Some(&text) {
            tracing::debug!(error = text, "still no stream to the control plane");
        } else {
            tracing::warn!(error = text, "no stream to the control plane; serving goes on with what is there");
            self.last_failure = Some(text);
        }
    }

    pub(super) fn next_wait(&mut self) -> Duration {
        self.backoff.next(rand::rng().random_range(0.0..=1.0))
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let error_text = error.to_string();
        if !text.contains(&error_text) {
            text.push_str(": ");
            text.push_str(&error_text);
        }
        cause = error.source();
    }
    text
}
