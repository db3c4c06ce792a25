use std::future::{Future, poll_fn};
use std::num::NonZeroU32;
use std::pin::pin;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::Method;
use leno_ir::{HeaderNames, Http1Options};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Http1Io, ReadError};
use crate::exchange::{Exchange, Protocol};
use crate::http::codec::{BodyDecoder, Fault, HeadLimits, Malformed, decode_request, is_registered};
use crate::http::downstream::{Downstream, Http1Downstream};
use crate::http::failure::Failure;
use crate::http::forward::{Context, Forwarder};
use crate::http::head::{Framing, RequestHead, ResponseHead, Version};
use crate::http::timer::Timer;
use crate::stats::HttpCounter;
use crate::stream::Stream;

/// After our last byte a client that still sends is listened to for a while and this much, so that the reset that our close
/// would cause does not destroy the response on its way (RFC 9112 §9.6).
const LINGER_BYTES: usize = 256 * 1024;

/// How the wait for the next request ended.
#[derive(Debug)]
enum Next {
    /// The connection is over, without anything to say.
    Close,
    Head(usize),
    Bad(Malformed),
    /// The head did not come in time.
    Late,
}

/// Serves the requests of one HTTP/1 connection one after the other.
pub(in crate::http) async fn serve(mut stream: Stream, first_bytes: BytesMut, context: &Context) {
    let most = context.config().limits.max_connection_duration;
    let expires = most.and_then(|most| context.worker.now().checked_add(most));
    let mut io = Http1Io::new(first_bytes);
    io.set_options(&context.config().http1);
    let idle_since = context.worker.now();
    let mut server = Server { context, io, timer: Timer::default(), expires, idle_since, listens: None };
    server.run(&mut stream).await;
}

fn check(request: &RequestHead, options: &Http1Options) -> Result<(), Malformed> {
    if options.custom_methods || is_registered(&request.method) { Ok(()) } else { Err(Malformed::Method) }
}

/// What is understood, and not served all the same.
fn refusal(request: &mut RequestHead, fault: Option<Fault>, options: &Http1Options) -> Option<Failure> {
    if request.version == Version::Http10 && !options.accept_http_10 {
        return Some(Failure::Refused { status: 426, details: "low_version" });
    }
    match fault? {
        Fault::Fragment => Some(Failure::Refused { status: 400, details: "path_normalization_failed" }),
        Fault::NoHost if request.version == Version::Http10 && !options.default_host_for_http_10.is_empty() => {
            request.authority = Bytes::copy_from_slice(options.default_host_for_http_10.as_bytes());
            None
        }
        Fault::NoHost => Some(Failure::Refused { status: 400, details: "missing_host_header" }),
    }
}

/// During a drain a connection that was just used waits so long for the request that may be on its way, and ends with its
/// answer. Chosen: round trips on the internet are shorter, and a drain hardly takes longer for it.
const LINGER: Duration = Duration::from_millis(500);

struct Server<'a> {
    context: &'a Context,
    io: Http1Io,
    timer: Timer,
    /// When the connection is as old as it may be.
    expires: Option<Instant>,
    /// When the last exchange ended.
    idle_since: Instant,
    /// Who is woken by a drain.
    listens: Option<Waker>,
}

impl Server<'_> {
    async fn run(&mut self, stream: &mut Stream) {
        let config = self.context.config();
        let limits = HeadLimits {
            bytes: config.max_request_headers_bytes as usize,
            fields: config.max_request_headers_count as usize,
        };
        let drain = self.context.connection.drain.clone();
        let mut draining = pin!(drain.draining());
        let mut request = RequestHead::default();
        let mut response = ResponseHead::default();
        let most = config.limits.max_requests_per_connection.map_or(u32::MAX, NonZeroU32::get);
        let mut served = 0_u32;
        loop {
            let next = self.next(stream, limits, draining.as_mut()).await;
            let mut exchange = Exchange::begin(Protocol::Http11, &self.context.worker);
            let decoded = match next {
                Next::Close => return,
                Next::Head(length) => {
                    let before = self.io.read.len();
                    decode_request(&mut self.io.read, length, limits, &mut request)
                        .and_then(|decoded| check(&request, &config.http1).map(|()| decoded))
                        .map(|decoded| (decoded, length.min(before)))
                        .map_err(Failure::DownstreamMalformed)
                }
                Next::Bad(malformed) => Err(Failure::DownstreamMalformed(malformed)),
                Next::Late => Err(Failure::Refused { status: 408, details: "request_header_timeout" }),
            };
            let is_alive = match decoded {
                Ok((decoded, head_bytes)) => {
                    self.io.decoder = BodyDecoder::new(decoded.framing, limits);
                    // Bytes behind a `CONNECT` were meant for the tunnel: when there is none, they are no request of ours to
                    // serve, however much they look like one.
                    served = served.saturating_add(1);
                    let keep_alive = decoded.keep_alive
                        && served < most
                        && request.method != Method::CONNECT
                        && !self.context.connection.drain.is_draining()
                        && !self.context.ends_keepalive();
                    exchange.request_header_bytes = head_bytes as u64;
                    if request.version == Version::Http10 {
                        exchange.protocol = Protocol::Http10;
                    }
                    request.keeps_names = config.http1.names == HeaderNames::AsReceived;
                    match refusal(&mut request, decoded.fault, &config.http1) {
                        None => {
                            let framed = (&mut request, decoded.framing);
                            self.forward(stream, framed, &mut response, &mut exchange, keep_alive).await
                        }
                        Some(failure) => {
                            let stays = keep_alive && config.http1.stream_errors && failure.status() == 400;
                            self.refuse(stream, failure, (&mut request, stays), &mut response, &mut exchange).await
                        }
                    }
                }
                Err(failure) => {
                    request = RequestHead::default();
                    self.refuse(stream, failure, (&mut request, false), &mut response, &mut exchange).await
                }
            };
            if !is_alive {
                return self.close(stream).await;
            }
            self.idle_since = exchange.ended();
            // Give the block back to the buffer, so that the next read needs no new one.
            request.headers.clear();
            request.path.clear();
            request.authority.clear();
            response.headers.clear();
        }
    }

    async fn next(
        &mut self,
        stream: &mut Stream,
        limits: HeadLimits,
        mut draining: std::pin::Pin<&mut impl Future<Output = ()>>,
    ) -> Next {
        let context = self.context;
        let config = context.config();
        let mut head_since: Option<Instant> = None;
        poll_fn(|cx| {
            match self.io.poll_head(stream, cx, limits) {
                Poll::Ready(Ok(Some(length))) => return Poll::Ready(Next::Head(length)),
                Poll::Ready(Ok(None) | Err(ReadError::Io(_) | ReadError::Malformed(Malformed::Closed))) => {
                    context.connection.closed_by_client.set(true);
                    return Poll::Ready(Next::Close);
                }
                Poll::Ready(Err(ReadError::Malformed(malformed))) => return Poll::Ready(Next::Bad(malformed)),
                Poll::Pending => {}
            }
            if self.io.read.is_empty() {
                self.io.lend();
                let is_listening = self.listens.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
                if context.connection.drain.is_draining() || (!is_listening && draining.as_mut().poll(cx).is_ready()) {
                    return self.timer.poll(cx, self.idle_since.checked_add(LINGER)).map(|()| Next::Close);
                }
                if !is_listening {
                    self.listens = Some(cx.waker().clone());
                }
                let deadline = config.idle_timeout.and_then(|timeout| self.idle_since.checked_add(timeout));
                let expiry = self.expires.and_then(|at| at.checked_add(config.limits.drain_timeout));
                let deadline = deadline.into_iter().chain(expiry).min();
                return self.timer.poll(cx, deadline).map(|()| {
                    context.manager.stats.count(HttpCounter::CxIdleTimeout);
                    Next::Close
                });
            }
            let since = *head_since.get_or_insert_with(|| context.worker.now());
            let deadline = config.request_headers_timeout.and_then(|timeout| since.checked_add(timeout));
            self.timer.poll(cx, deadline).map(|()| Next::Late)
        })
        .await
    }

    /// Whether another request may follow.
    async fn forward(
        &mut self,
        stream: &mut Stream,
        (request, framing): (&mut RequestHead, Framing),
        response: &mut ResponseHead,
        exchange: &mut Exchange,
        keep_alive: bool,
    ) -> bool {
        let drain = self.context.connection.drain.clone();
        let mut http1 = Http1Downstream::new(stream, &mut self.io, request.version, keep_alive, drain);
        http1.expires = self.expires;
        let mut downstream = Downstream::Http1(http1);
        // Boxed: it is most of what the connection's task would hold all the time, also while the client is idle.
        Box::pin(async {
            let request = (request, framing);
            Forwarder::new(self.context, &mut downstream, &mut self.timer, request, response, exchange).run().await;
        })
        .await;
        matches!(downstream, Downstream::Http1(http1) if http1.keep_alive && http1.request_is_done)
    }

    /// Answers what is no request, and records it all the same. Whether another may follow.
    async fn refuse(
        &mut self,
        stream: &mut Stream,
        failure: Failure,
        (request, keep_alive): (&mut RequestHead, bool),
        response: &mut ResponseHead,
        exchange: &mut Exchange,
    ) -> bool {
        let drain = self.context.connection.drain.clone();
        let http1 = Http1Downstream::new(stream, &mut self.io, Version::Http11, keep_alive, drain);
        let mut downstream = Downstream::Http1(http1);
        Box::pin(async {
            let request = (request, Framing::None);
            Forwarder::new(self.context, &mut downstream, &mut self.timer, request, response, exchange)
                .refuse(failure)
                .await;
        })
        .await;
        matches!(downstream, Downstream::Http1(http1) if http1.keep_alive && http1.request_is_done)
    }

    async fn close(&mut self, stream: &mut Stream) {
        // Errors mean that the client is gone, which is what we want.
        if stream.shutdown().await.is_err() {
            return;
        }
        let lingering = async {
            let mut heard = 0;
            while heard < LINGER_BYTES {
                self.io.read.clear();
                match stream.read_buf(&mut self.io.read).await {
                    Ok(0) | Err(_) => return,
                    Ok(count) => heard += count,
                }
            }
        };
        // Either way it closes now.
        let _ = tokio::time::timeout(self.context.config().limits.delayed_close_timeout, lingering).await;
    }
}
