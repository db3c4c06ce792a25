//! Compresses bodies for who takes them compressed (Envoy's HTTP filter `compressor`; RFC 9110 §8.4).
//!
//! Shape       request head -> what the client accepts -> response head -> encoder, or not -> frames through it
//! Invariants  of several compressors of a chain at most one compresses a response; each knows the others; a piece of a body
//!             can be read by the client when it has arrived
//! Cost        per compressed response one encoder, whose memory its settings say (gzip 256 KiB, zstd up to some MiB)
//! Source      Envoy compressor filter v1.40: which responses, `vary`, `etag`, names of counters

mod encoder;
mod negotiate;

use std::collections::VecDeque;
use std::io;
use std::rc::Rc;

use bytes::Bytes;
use leno_ir::{CompressedDirection, Compressor as Config, ContentTypes, RouteCompressor};
use smallvec::SmallVec;

use self::encoder::Encoder;
use self::negotiate::{Choice, Offer, choose};
use super::overrides::RouteFilter;
use super::{Place, RequestContext, ResponseContext, RouteRef, Step};
use crate::http::{Frame, Framing, Headers, ResponseHead};
use crate::stats::Counter;

/// One compressor as configured.
#[derive(Debug)]
pub(crate) struct Compressor {
    config: Config,
    requests: DirectionCounters,
    responses: DirectionCounters,
    header: HeaderCounters,
}

#[derive(Debug)]
struct DirectionCounters {
    compressed: Counter,
    not_compressed: Counter,
    content_length_too_small: Counter,
    total_compressed_bytes: Counter,
    total_uncompressed_bytes: Counter,
}

/// What `accept-encoding` said.
#[derive(Debug)]
struct HeaderCounters {
    no_accept_header: Counter,
    identity: Counter,
    not_valid: Counter,
    overshadowed: Counter,
    used: Counter,
    wildcard: Counter,
    etag: Counter,
}

/// One compressor at work on one exchange.
#[derive(Debug)]
pub(crate) struct ActiveCompressor {
    compressor: Rc<Compressor>,
    /// All compressors of the exchange, in the order of the chain.
    all: Rc<[Rc<Compressor>]>,
    accept_encoding: Option<Box<str>>,
    request: Option<Encoder>,
    response: Option<Encoder>,
}

impl Compressor {
    pub(super) fn new(config: &Config, place: Place<'_>) -> Self {
        let library = &config.library;
        let prefix = format!("compressor.{}.{}", library.name, library.encoding.stat_name());
        let header = |what: &str| place.counter(&format!("{prefix}.{what}"));
        let response_prefix =
            if config.has_response_stat_prefix { format!("{prefix}.response") } else { prefix.clone() };
        Self {
            requests: DirectionCounters::new(&format!("{prefix}.request"), place),
            responses: DirectionCounters::new(&response_prefix, place),
            header: HeaderCounters {
                no_accept_header: header("no_accept_header"),
                identity: header("header_identity"),
                not_valid: header("header_not_valid"),
                overshadowed: header("header_compressor_overshadowed"),
                used: header("header_compressor_used"),
                wildcard: header("header_wildcard"),
                etag: header("not_compressed_etag"),
            },
            config: config.clone(),
        }
    }

    fn token(&self) -> &'static str {
        self.config.library.encoding.token()
    }
}

impl DirectionCounters {
    fn new(prefix: &str, place: Place<'_>) -> Self {
        let counter = |what: &str| place.counter(&format!("{prefix}.{what}"));
        Self {
            compressed: counter("compressed"),
            not_compressed: counter("not_compressed"),
            content_length_too_small: counter("content_length_too_small"),
            total_compressed_bytes: counter("total_compressed_bytes"),
            total_uncompressed_bytes: counter("total_uncompressed_bytes"),
        }
    }
}

impl ActiveCompressor {
    pub(super) fn new(compressor: Rc<Compressor>) -> Self {
        Self { all: Rc::new([]), compressor, accept_encoding: None, request: None, response: None }
    }

    pub(super) fn compressor(&self) -> &Rc<Compressor> {
        &self.compressor
    }

    /// Makes the compressors of an exchange known to this one of them.
    pub(super) fn meet(&mut self, all: Rc<[Rc<Compressor>]>) {
        self.all = all;
    }

    pub(super) fn on_request(&mut self, cx: &mut RequestContext<'_>) -> Step {
        self.accept_encoding = accept_encoding(&cx.request.headers);
        let (is_enabled, removes) = self.for_responses(cx.route, cx.name);
        if is_enabled && removes {
            cx.request.headers.remove("accept-encoding");
        }
        let Some(direction) = &self.compressor.config.requests else { return Step::Continue };
        let counters = &self.compressor.requests;
        let headers = &mut cx.request.headers;
        let is_worth_it = !cx.framing.is_empty()
            && direction.enabled
            && cx.request.upgrade.is_none()
            && is_long_enough(direction, headers, counters)
            && has_content_type(direction, headers)
            && !headers.contains("content-encoding");
        self.request = is_worth_it.then(|| self.compressor.encoder()).flatten();
        if self.request.is_some() {
            headers.remove("content-length");
            headers.set("content-encoding", self.compressor.token().as_bytes());
            *cx.framing = Framing::Chunked;
            cx.transforms_body = true;
            counters.compressed.increment();
        } else {
            counters.not_compressed.increment();
        }
        Step::Continue
    }

    pub(super) fn on_request_frame(&mut self, frame: Frame, out: &mut VecDeque<Frame>) {
        match &mut self.request {
            Some(encoder) => encode(encoder, frame, out, &self.compressor.requests),
            None => out.push_back(frame),
        }
    }

    pub(super) fn on_response(&mut self, cx: &mut ResponseContext<'_>) {
        let (is_enabled, _) = self.for_responses(cx.route, cx.name);
        let config = &self.compressor.config;
        let counters = &self.compressor.responses;
        let is_long_enough = is_enabled && is_long_enough(&config.responses, &cx.response.headers, counters);
        let is_compressible = is_long_enough && self.is_compressible(cx.response);
        let is_chosen = !cx.framing.is_empty() && is_long_enough && self.is_chosen(&cx.response.headers);
        self.response = (is_chosen && is_compressible).then(|| self.compressor.encoder()).flatten();
        let headers = &mut cx.response.headers;
        if self.response.is_some() {
            self.sanitize_etag(headers);
            headers.remove("content-length");
            headers.set("content-encoding", self.compressor.token().as_bytes());
            *cx.framing = Framing::Chunked;
            cx.transforms_body = true;
            counters.compressed.increment();
        } else {
            counters.not_compressed.increment();
        }
        // Caches must know that others may get it compressed (RFC 9110 §12.5.5).
        if is_compressible {
            insert_vary(headers);
        }
    }

    pub(super) fn on_response_frame(&mut self, frame: Frame, out: &mut VecDeque<Frame>) {
        match &mut self.response {
            Some(encoder) => encode(encoder, frame, out, &self.compressor.responses),
            None => out.push_back(frame),
        }
    }

    /// Whether responses are compressed at all, and whether upstreams are kept from it.
    fn for_responses(&self, route: Option<&RouteRef>, name: &str) -> (bool, bool) {
        let config = &self.compressor.config;
        let of_route = route.and_then(|route| {
            route.configs(name).find_map(|config| match config {
                RouteFilter::Compressor(config) => Some(*config),
                _ => None,
            })
        });
        let removes = config.response_options.remove_accept_encoding;
        match of_route {
            Some(RouteCompressor::Disabled) => (false, removes),
            Some(RouteCompressor::Enabled { remove_accept_encoding }) => {
                (true, remove_accept_encoding.unwrap_or(removes))
            }
            Some(RouteCompressor::Inherited) | None => (config.responses.enabled, removes),
        }
    }

    fn is_compressible(&self, response: &ResponseHead) -> bool {
        let config = &self.compressor.config;
        let headers = &response.headers;
        response.upgrade.is_none()
            && has_content_type(&config.responses, headers)
            && !has_token(headers, "cache-control", "no-transform")
            && self.allows_etag(headers)
            && !config.response_options.uncompressible_statuses.contains(&response.status)
            && !headers.contains("content-encoding")
    }

    fn allows_etag(&self, headers: &Headers) -> bool {
        let options = &self.compressor.config.response_options;
        let is_allowed = !options.disable_on_etag || options.weaken_etag || !headers.contains("etag");
        if !is_allowed {
            self.compressor.header.etag.increment();
        }
        is_allowed
    }

    /// Whether the client takes this encoding, and none of another filter rather.
    fn is_chosen(&self, headers: &Headers) -> bool {
        let counters = &self.compressor.header;
        let Some(accept_encoding) = &self.accept_encoding else {
            counters.no_accept_header.increment();
            return false;
        };
        let mut offers: SmallVec<[Offer; 4]> = SmallVec::new();
        for compressor in self.all.iter().filter(|other| has_content_type(&other.config.responses, headers)) {
            let token = compressor.token();
            if offers.iter().all(|offer| offer.token != token) {
                offers.push(Offer { token, choose_first: compressor.config.choose_first });
            }
        }
        let choice = choose(accept_encoding, &offers);
        let is_chosen = choice.token() == Some(self.compressor.token());
        match choice {
            Choice::Identity => &counters.identity,
            Choice::NotValid => &counters.not_valid,
            Choice::Token(_) if is_chosen => &counters.used,
            Choice::Token(_) => &counters.overshadowed,
            Choice::Wildcard(_) => &counters.wildcard,
        }
        .increment();
        is_chosen
    }

    /// A strong one says that bodies are the same byte by byte, which they are not any more (RFC 9110 §8.8.1).
    fn sanitize_etag(&self, headers: &mut Headers) {
        let Some(etag) = headers.get("etag") else { return };
        if etag.starts_with(b"W/") || etag.starts_with(b"w/") {
            return;
        }
        if self.compressor.config.response_options.weaken_etag {
            let weak = [b"W/", etag].concat();
            headers.set("etag", &weak);
        } else {
            headers.remove("etag");
        }
    }
}

impl Compressor {
    /// `None`: there is no memory for it; the body goes as it is.
    fn encoder(&self) -> Option<Encoder> {
        Encoder::new(self.config.library.encoding).inspect_err(|error| tracing::warn!(%error, "no compressor")).ok()
    }
}

/// A body whose length is not told is long enough.
fn is_long_enough(direction: &CompressedDirection, headers: &Headers, counters: &DirectionCounters) -> bool {
    let Some(length) = headers.get_str("content-length") else { return true };
    let is_enough = length.parse::<u64>().is_ok_and(|length| length >= direction.min_content_length.into());
    if !is_enough {
        counters.content_length_too_small.increment();
    }
    is_enough
}

/// A body whose type is not told is of the right one.
fn has_content_type(direction: &CompressedDirection, headers: &Headers) -> bool {
    let Some(value) = headers.get_str("content-type") else { return true };
    let value = value.split(';').next().unwrap_or_default().trim();
    match &direction.content_types {
        ContentTypes::List(types) if types.is_empty() => {
            ContentTypes::DEFAULT.iter().any(|known| known.eq_ignore_ascii_case(value))
        }
        ContentTypes::List(types) => types.iter().any(|listed| listed.eq_ignore_ascii_case(value)),
        ContentTypes::Match(matches) => matches.iter().any(|matches| matches.is_match(value)),
    }
}

fn has_token(headers: &Headers, name: &str, token: &str) -> bool {
    let tokens =
        headers.get_all(name).filter_map(|line| std::str::from_utf8(line).ok()).flat_map(|line| line.split(','));
    tokens.map(str::trim).any(|found| found.eq_ignore_ascii_case(token))
}

/// All lines as one list.
fn accept_encoding(headers: &Headers) -> Option<Box<str>> {
    let mut lines = headers.get_all("accept-encoding").map(String::from_utf8_lossy);
    let first = lines.next()?;
    let list = lines.fold(first, |list, line| format!("{list},{line}").into());
    Some(list.into())
}

fn insert_vary(headers: &mut Headers) {
    const ACCEPT_ENCODING: &str = "Accept-Encoding";
    let Some(vary) = headers.get("vary") else {
        headers.append(b"vary", ACCEPT_ENCODING.as_bytes());
        return;
    };
    // Letter by letter, as Envoy compares it.
    if !vary.split(|byte| *byte == b',').any(|token| token.trim_ascii() == ACCEPT_ENCODING.as_bytes()) {
        let vary = [vary, b", ", ACCEPT_ENCODING.as_bytes()].concat();
        headers.set("vary", &vary);
    }
}

fn encode(encoder: &mut Encoder, frame: Frame, out: &mut VecDeque<Frame>, counters: &DirectionCounters) {
    let empty = Bytes::new();
    let (piece, trailers, last) = match frame {
        Frame::Data { bytes, last } => (bytes, None, last),
        Frame::Trailers(trailers) => (empty, Some(trailers), true),
        Frame::End => (empty, None, true),
    };
    counters.total_uncompressed_bytes.add(piece.len() as u64);
    let encoded = match last {
        true => encoder.finish(&piece),
        false if piece.is_empty() => Ok(Bytes::new()),
        false => encoder.flush(&piece),
    };
    // In memory; without memory the body ends early, which the client's decoder notices.
    let bytes = encoded.unwrap_or_else(|error: io::Error| {
        tracing::error!(%error, "a body could not be compressed");
        Bytes::new()
    });
    counters.total_compressed_bytes.add(bytes.len() as u64);
    match trailers {
        Some(trailers) => {
            if !bytes.is_empty() {
                out.push_back(Frame::Data { bytes, last: false });
            }
            out.push_back(Frame::Trailers(trailers));
        }
        None if last || !bytes.is_empty() => out.push_back(Frame::Data { bytes, last }),
        None => {}
    }
}
