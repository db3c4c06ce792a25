use std::future::{Future, poll_fn};
use std::num::NonZeroU32;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use h2::Reason;
use h2::server::{Connection, SendResponse};

use super::keepalive::Keepalive;
use super::resets::{Resets, Verdict};
use super::streams::{MOST_SPARE, Streams};
use super::{BodySource, ServerStream, convert};
use crate::cork::Corked;
use crate::exchange::{Exchange, Protocol};
use crate::http::downstream::Downstream;
use crate::http::failure::Failure;
use crate::http::forward::{Context, Forwarder};
use crate::http::head::{Framing, RequestHead, ResponseHead, Version};
use crate::http::timer::Timer;
use crate::stats::HttpCounter;
use crate::stream::Stream;

/// Flow-control windows, in bytes; as on the upstream side.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;
/// Streams at once. RFC 9113 §6.5.2 advises at least 100; a sidecar's peer multiplexes everything on few connections.
const MOST_STREAMS: u32 = 1024;
/// Unread responses per stream that h2 buffers for us.
const SEND_BUFFER_BYTES: usize = 1 << 20;

/// Serves one HTTP/2 connection until both sides are done with it.
pub(in crate::http) async fn serve(stream: Stream, first_bytes: BytesMut, context: &Context) {
    let config = context.config();
    let wire = Corked::new(stream, first_bytes);
    let mut builder = h2::server::Builder::new();
    builder
        .initial_window_size(config.http2.stream_window_bytes.unwrap_or(STREAM_WINDOW_BYTES))
        .initial_connection_window_size(config.http2.connection_window_bytes.unwrap_or(CONNECTION_WINDOW_BYTES))
        .max_concurrent_streams(config.limits.max_concurrent_streams.map_or(MOST_STREAMS, NonZeroU32::get))
        .max_header_list_size(config.max_request_headers_bytes)
        .max_send_buffer_size(SEND_BUFFER_BYTES);
    if config.http2.allow_connect {
        builder.enable_connect_protocol();
    }
    let handshake = builder.handshake::<_, Bytes>(wire.clone());
    let patience = config.request_headers_timeout.unwrap_or(Duration::from_secs(60));
    // A client that does not speak HTTP/2 gets nothing it could understand.
    let Ok(Ok(mut connection)) = tokio::time::timeout(patience, handshake).await else { return };
    let mut streams = Streams::new(context.worker.connections());
    let start = |accepted, kit| serve_stream(accepted, kit, context);
    if let Err(error) = accept(&mut connection, &wire, &mut streams, start, context).await {
        tracing::debug!(remote = %context.connection.remote, %error, "http/2 connection ended");
    }
    // What is under way finds its connection gone, and is recorded.
    drop(connection);
    while streams.len() > 0 {
        poll_fn(|cx| streams.poll_end(cx)).await;
    }
}

/// Where a connection stands; each state is left only for a later one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Open,
    /// The client was asked to open no more streams.
    Leaving,
    /// Told that it is over, whatever is under way.
    Cut,
}

async fn accept<F: Future<Output = (Exchange, Box<Kit>)>>(
    connection: &mut Connection<Corked, Bytes>,
    wire: &Corked,
    streams: &mut Streams<'_, F>,
    start: impl Fn(Accepted, Box<Kit>) -> F,
    context: &Context,
) -> Result<(), h2::Error> {
    let drain = context.connection.drain.clone();
    let mut draining = pin!(drain.draining());
    let mut resets = Resets::default();
    let mut kits: Vec<Box<Kit>> = Vec::new();
    let mut timer = Timer::default();
    let mut state = State::Open;
    let mut idle_since = context.worker.now();
    let limits = &context.config().limits;
    let expires = limits.max_connection_duration.and_then(|most| idle_since.checked_add(most));
    let mut life = expires.map(|at| (Timer::default(), at));
    let most = limits.max_requests_per_connection.map_or(u32::MAX, NonZeroU32::get);
    let mut accepted_streams = 0_u32;
    let mut keepalive = Keepalive::of(context.config().http2.keepalive.as_ref(), || connection.ping_pong());
    loop {
        let next = poll_fn(|cx| {
            // Before the connection, which then sends what they have to say.
            if let Poll::Ready(ended) = streams.poll_end(cx) {
                return Poll::Ready(Event::Ended(ended));
            }
            if let Poll::Ready(next) = connection.poll_accept(cx) {
                return Poll::Ready(Event::Accepted(next));
            }
            wire.release(cx);
            if state == State::Open && (drain.is_draining() || draining.as_mut().poll(cx).is_ready()) {
                return Poll::Ready(Event::Drain);
            }
            if state == State::Open
                && let Some((timer, at)) = &mut life
                && timer.poll(cx, Some(*at)).is_ready()
            {
                return Poll::Ready(Event::Drain);
            }
            if let Some(keepalive) = &mut keepalive
                && keepalive.poll_dead(cx).is_ready()
            {
                return Poll::Ready(Event::Accepted(None));
            }
            let patience = match state {
                State::Cut => Some(limits.drain_timeout),
                _ if streams.len() > 0 => None,
                State::Open => context.config().idle_timeout,
                // The end of a response may still be on its way.
                State::Leaving if connection.has_streams() => context.config().stream_idle_timeout,
                State::Leaving => Some(limits.drain_timeout),
            };
            timer.poll(cx, patience.and_then(|patience| idle_since.checked_add(patience))).map(|()| Event::Idle)
        })
        .await;
        match next {
            Event::Accepted(None) => {
                context.connection.closed_by_client.set(state == State::Open);
                return Ok(());
            }
            Event::Accepted(Some(accepted)) => {
                let accepted = accepted.inspect_err(|error| {
                    context.connection.closed_by_client.set(error.is_io() || error.is_remote());
                })?;
                if state == State::Open && context.ends_keepalive() {
                    (state, idle_since) = (State::Leaving, context.worker.now());
                    connection.graceful_shutdown();
                }
                accepted_streams = accepted_streams.saturating_add(1);
                if accepted_streams >= most && state == State::Open {
                    (state, idle_since) = (State::Leaving, context.worker.now());
                    connection.graceful_shutdown();
                }
                streams.start(start(accepted, kits.pop().unwrap_or_default()));
            }
            Event::Ended(ended) => {
                if let Some((exchange, kit)) = ended {
                    resets = resets.and(&exchange);
                    if kits.len() < MOST_SPARE && !kit.request.headers.is_large() && !kit.response.headers.is_large() {
                        kits.push(kit);
                    }
                }
                match resets.verdict() {
                    Verdict::Flood => {
                        // Streams that end from now on do not put off the end of the connection.
                        if state != State::Cut {
                            (state, idle_since) = (State::Cut, context.worker.now());
                            connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                        }
                    }
                    Verdict::Suspicious if state == State::Open => {
                        (state, idle_since) = (State::Leaving, context.worker.now());
                        connection.graceful_shutdown();
                    }
                    Verdict::Fine | Verdict::Suspicious => idle_since = context.worker.now(),
                }
            }
            Event::Idle if state != State::Open => return Ok(()),
            // First GOAWAY with the highest stream id, the final one after a round trip (RFC 9113 §6.8).
            Event::Drain | Event::Idle => {
                if let Event::Idle = next {
                    context.manager.stats.count(HttpCounter::CxIdleTimeout);
                }
                (state, idle_since) = (State::Leaving, context.worker.now());
                connection.graceful_shutdown();
            }
        }
    }
}

type Accepted = (http::Request<h2::RecvStream>, SendResponse<Bytes>);

enum Event {
    Accepted(Option<Result<Accepted, h2::Error>>),
    Drain,
    /// `None`: by a panic.
    Ended(Option<(Exchange, Box<Kit>)>),
    /// Nothing has happened for as long as the state allows.
    Idle,
}

/// What a stream needs and leaves for the next one.
#[derive(Debug, Default)]
struct Kit {
    timer: Timer,
    request: RequestHead,
    response: ResponseHead,
}

async fn serve_stream((request, responder): Accepted, mut kit: Box<Kit>, context: &Context) -> (Exchange, Box<Kit>) {
    let (parts, body) = request.into_parts();
    let source = BodySource::new(body);
    let is_complete = source.is_done;
    let mut downstream = Downstream::Http2(Box::new(ServerStream::new(source, responder)));
    let mut exchange = Exchange::begin(Protocol::Http2, &context.worker);
    let Kit { timer, request, response } = &mut *kit;
    let read = convert::request_from(&parts, context.config().max_request_headers_count, request);
    drop(parts);
    match read {
        Ok(()) => {
            let length = request.headers.get_str("content-length").and_then(|length| length.parse().ok());
            let framing = match length {
                _ if is_complete || request.wants_tunnel() => Framing::None,
                Some(length) => Framing::Length(length),
                None => Framing::Chunked,
            };
            let request = (request, framing);
            Forwarder::new(context, &mut downstream, timer, request, response, &mut exchange).run().await;
        }
        Err(malformed) => {
            *request = RequestHead { version: Version::Http2, ..RequestHead::default() };
            let request = (request, Framing::None);
            let failure = Failure::DownstreamMalformed(malformed);
            Forwarder::new(context, &mut downstream, timer, request, response, &mut exchange).refuse(failure).await;
        }
    }
    // Answered before the end of the request: the client need not send the rest (RFC 9113 §8.1). The dropped stream says so
    // with a reset of NO_ERROR once the response is written; an explicit reset would take back what is not.
    drop(downstream);
    (exchange, kit)
}
