//! Takes the encoding off bodies that come encoded (Envoy's HTTP filter `decompressor`; RFC 9110 §8.4).
//!
//! Shape       head -> `content-encoding` begins with ours -> decoder -> frames through it -> trailers with both sizes
//! Invariants  what a body becomes is at most so many times as long as what came of it (`max_inflate_ratio`)
//! Errors      a body that cannot be decoded, or would become too long, ends where that shows, as in Envoy; it is counted
//! Cost        per decompressed body one decoder: gzip 32 KiB, zstd at most 8 MiB, brotli at most 16 MiB
//! Source      Envoy decompressor filter v1.40: which bodies, `accept-encoding`, trailers, names of counters

mod decoder;

use std::collections::VecDeque;
use std::rc::Rc;

use bytes::Bytes;
use leno_ir::{DecompressedDirection, Decompressor as Config};

use self::decoder::Decoder;
use super::{Place, RequestContext, ResponseContext, Step};
use crate::http::{Frame, Framing, Headers};
use crate::stats::Counter;

/// One decompressor as configured.
#[derive(Debug)]
pub(crate) struct Decompressor {
    config: Config,
    requests: DirectionCounters,
    responses: DirectionCounters,
    /// Of trailers that say how long bodies were.
    compressed_bytes: String,
    uncompressed_bytes: String,
}

#[derive(Debug)]
struct DirectionCounters {
    decompressed: Counter,
    not_decompressed: Counter,
    total_compressed_bytes: Counter,
    total_uncompressed_bytes: Counter,
}

/// One decompressor at work on one exchange.
#[derive(Debug)]
pub(crate) struct ActiveDecompressor {
    filter: Rc<Decompressor>,
    request: Option<Decoder>,
    response: Option<Decoder>,
}

impl Decompressor {
    pub(super) fn new(config: &Config, place: Place<'_>) -> Self {
        let name = &config.library_name;
        let prefix = format!("decompressor.{name}.{}", config.encoding.stat_name());
        Self {
            requests: DirectionCounters::new(&format!("{prefix}.request"), place),
            responses: DirectionCounters::new(&format!("{prefix}.response"), place),
            compressed_bytes: format!("x-envoy-decompressor-{name}-compressed-bytes"),
            uncompressed_bytes: format!("x-envoy-decompressor-{name}-uncompressed-bytes"),
            config: config.clone(),
        }
    }

    /// `None`: the body goes as it is. Otherwise the head says that it is decoded.
    fn begin(
        &self,
        direction: DecompressedDirection,
        counters: &DirectionCounters,
        headers: &mut Headers,
    ) -> Option<Decoder> {
        let is_wanted = direction.enabled
            && (direction.ignores_no_transform || !has_no_transform(headers))
            && self.is_encoded(headers);
        let decoder = is_wanted.then(|| Decoder::new(self.config.encoding)).flatten();
        match &decoder {
            None => counters.not_decompressed.increment(),
            Some(_) => {
                counters.decompressed.increment();
                headers.remove("content-length");
                take_first_encoding(headers);
            }
        }
        decoder
    }

    /// By the first of the encodings.
    fn is_encoded(&self, headers: &Headers) -> bool {
        let first = headers.get_str("content-encoding").and_then(|value| value.split(',').next());
        first.is_some_and(|first| first.trim().eq_ignore_ascii_case(self.config.encoding.token()))
    }

    fn decode(&self, decoder: &mut Decoder, frame: Frame, out: &mut VecDeque<Frame>, counters: &DirectionCounters) {
        let (piece, trailers, last) = match frame {
            Frame::Data { bytes, last } => (bytes, None, last),
            Frame::Trailers(trailers) => (Bytes::new(), Some(trailers), true),
            Frame::End => (Bytes::new(), None, true),
        };
        let decoded = decoder.push(&piece);
        counters.total_compressed_bytes.add(piece.len() as u64);
        counters.total_uncompressed_bytes.add(decoded.len() as u64);
        if !decoded.is_empty() {
            out.push_back(Frame::Data { bytes: decoded, last: false });
        }
        if last {
            let mut trailers = trailers.unwrap_or_default();
            let (compressed, uncompressed) = decoder.totals();
            let mut tell = |name: &str, count: u64| {
                trailers.append(name.as_bytes(), itoa::Buffer::new().format(count).as_bytes());
            };
            tell(&self.compressed_bytes, compressed);
            tell(&self.uncompressed_bytes, uncompressed);
            out.push_back(Frame::Trailers(trailers));
        }
    }
}

impl DirectionCounters {
    fn new(prefix: &str, place: Place<'_>) -> Self {
        let counter = |what: &str| place.counter(&format!("{prefix}.{what}"));
        Self {
            decompressed: counter("decompressed"),
            not_decompressed: counter("not_decompressed"),
            total_compressed_bytes: counter("total_compressed_bytes"),
            total_uncompressed_bytes: counter("total_uncompressed_bytes"),
        }
    }
}

impl ActiveDecompressor {
    pub(super) fn new(filter: Rc<Decompressor>) -> Self {
        Self { filter, request: None, response: None }
    }

    pub(super) fn on_request(&mut self, cx: &mut RequestContext<'_>) -> Step {
        let (filter, headers) = (&self.filter, &mut cx.request.headers);
        if filter.config.responses.enabled && filter.config.advertises {
            advertise(filter.config.encoding.token(), headers);
        }
        if !cx.framing.is_empty() {
            self.request = filter.begin(filter.config.requests, &filter.requests, headers);
        }
        if self.request.is_some() {
            *cx.framing = Framing::Chunked;
            cx.transforms_body = true;
        }
        Step::Continue
    }

    pub(super) fn on_request_frame(&mut self, frame: Frame, out: &mut VecDeque<Frame>) {
        match &mut self.request {
            Some(decoder) => self.filter.decode(decoder, frame, out, &self.filter.requests),
            None => out.push_back(frame),
        }
    }

    pub(super) fn on_response(&mut self, cx: &mut ResponseContext<'_>) {
        let filter = &self.filter;
        if !cx.framing.is_empty() {
            self.response = filter.begin(filter.config.responses, &filter.responses, &mut cx.response.headers);
        }
        if self.response.is_some() {
            *cx.framing = Framing::Chunked;
            cx.transforms_body = true;
        }
    }

    pub(super) fn on_response_frame(&mut self, frame: Frame, out: &mut VecDeque<Frame>) {
        match &mut self.response {
            Some(decoder) => self.filter.decode(decoder, frame, out, &self.filter.responses),
            None => out.push_back(frame),
        }
    }
}

/// Once, and with the highest preference.
fn advertise(token: &str, headers: &mut Headers) {
    let mut list = String::new();
    for said in headers.get_all("accept-encoding").map(String::from_utf8_lossy) {
        let others = said.split(',').map(str::trim).filter(|said| !said.is_empty());
        for other in others.filter(|other| other.split(';').next().is_some_and(|name| name.trim() != token)) {
            list.push_str(other);
            list.push(',');
        }
    }
    list.push_str(token);
    headers.set("accept-encoding", list.as_bytes());
}

fn has_no_transform(headers: &Headers) -> bool {
    let tokens = headers.get_str("cache-control").unwrap_or_default().split(',');
    tokens.map(str::trim).any(|token| token.eq_ignore_ascii_case("no-transform"))
}

/// The others stay.
fn take_first_encoding(headers: &mut Headers) {
    let rest = headers.get_str("content-encoding").and_then(|value| value.split_once(','));
    match rest.map(|(_, rest)| rest.trim().to_owned()) {
        Some(rest) if !rest.is_empty() => headers.set("content-encoding", rest.as_bytes()),
        _ => {
            headers.remove("content-encoding");
        }
    }
}
