use std::mem::MaybeUninit;

use bytes::{Buf, Bytes, BytesMut};

use super::connection::is_hop_by_hop;
use super::request::syntax;
use super::{HeadLimits, HeadScanner, MOST_FIELDS, Malformed};
use crate::http::head::{Frame, Framing};
use crate::http::headers::Headers;

/// Splits the bytes after a head into the pieces of its body.
#[derive(Debug)]
pub(in crate::http) struct BodyDecoder {
    state: State,
    limits: HeadLimits,
    /// Bytes of chunk extensions so far: nothing reads them, so a body of nothing else is an attack.
    extension_bytes: usize,
}

#[derive(Debug)]
enum State {
    ChunkData(u64),
    ChunkEnd,
    ChunkSize,
    Done,
    Length(u64),
    Trailers(HeadScanner),
    UntilClose,
}

/// A size line: 16 digits, and an extension nobody needs. Chosen: above any seen, below what hurts.
const MAX_CHUNK_LINE_BYTES: usize = 512;
const MAX_EXTENSION_BYTES: usize = 16 * 1024;

impl BodyDecoder {
    pub(in crate::http) fn new(framing: Framing, limits: HeadLimits) -> Self {
        let state = match framing {
            Framing::Chunked => State::ChunkSize,
            Framing::None | Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::UntilClose => State::UntilClose,
        };
        Self { state, limits, extension_bytes: 0 }
    }

    pub(in crate::http) fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// The next piece in `buffer`; `None` when more bytes are needed. [`Frame::End`] once and for all when done.
    pub(in crate::http) fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>, Malformed> {
        loop {
            match &mut self.state {
                State::Done => return Ok(Some(Frame::End)),
                State::UntilClose if buffer.is_empty() => return Ok(None),
                State::UntilClose => return Ok(Some(Frame::Data { bytes: buffer.split().freeze(), last: false })),
                State::Length(_) | State::ChunkData(_) if buffer.is_empty() => return Ok(None),
                State::Length(left) => {
                    let bytes = take(buffer, left);
                    let last = *left == 0;
                    if last {
                        self.state = State::Done;
                    }
                    return Ok(Some(Frame::Data { bytes, last }));
                }
                State::ChunkData(left) => {
                    let bytes = take(buffer, left);
                    if *left == 0 {
                        self.state = State::ChunkEnd;
                        // The last chunk is often there already: then the body's end travels with its data.
                        if buffer.starts_with(b"\r\n0\r\n\r\n") {
                            buffer.advance(7);
                            self.state = State::Done;
                            return Ok(Some(Frame::Data { bytes, last: true }));
                        }
                    }
                    return Ok(Some(Frame::Data { bytes, last: false }));
                }
                State::ChunkEnd => {
                    if buffer.len() < 2 {
                        return if buffer.first().is_none_or(|byte| *byte == b'\r') {
                            Ok(None)
                        } else {
                            Err(Malformed::Chunk)
                        };
                    }
                    if !buffer.starts_with(b"\r\n") {
                        return Err(Malformed::Chunk);
                    }
                    buffer.advance(2);
                    self.state = State::ChunkSize;
                }
                State::ChunkSize => match self.take_size(buffer)? {
                    None => return Ok(None),
                    Some(0) => self.state = State::Trailers(HeadScanner::default()),
                    Some(size) => self.state = State::ChunkData(size),
                },
                State::Trailers(scanner) => {
                    if buffer.starts_with(b"\r\n") {
                        buffer.advance(2);
                        self.state = State::Done;
                        return Ok(Some(Frame::End));
                    }
                    if matches!(buffer.as_ref(), [] | [b'\r']) {
                        return Ok(None);
                    }
                    let Some(length) = scanner.find_end(buffer, self.limits)? else { return Ok(None) };
                    let trailers = decode_trailers(buffer.split_to(length).freeze(), self.limits)?;
                    self.state = State::Done;
                    return Ok(Some(if trailers.is_empty() { Frame::End } else { Frame::Trailers(trailers) }));
                }
            }
        }
    }

    /// The connection closed: the end of the body if only that could tell it.
    pub(in crate::http) fn close(&mut self) -> Result<Frame, Malformed> {
        match self.state {
            State::Done | State::UntilClose => {
                self.state = State::Done;
                Ok(Frame::End)
            }
            _ => Err(Malformed::Closed),
        }
    }

    /// `1*HEXDIG [ ";" extension ] CRLF` (RFC 9112 §7.1).
    fn take_size(&mut self, buffer: &mut BytesMut) -> Result<Option<u64>, Malformed> {
        let window = &buffer[..buffer.len().min(MAX_CHUNK_LINE_BYTES)];
        let digits = window.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(window.len());
        if digits > 16 || (digits == 0 && !window.is_empty()) {
            return Err(Malformed::Chunk);
        }
        let Some(end) = memchr::memchr(b'\n', window) else {
            let is_plausible = window.len() < MAX_CHUNK_LINE_BYTES
                && window.get(digits).is_none_or(|byte| matches!(byte, b'\r' | b';'));
            return if is_plausible { Ok(None) } else { Err(Malformed::Chunk) };
        };
        let Some(line) = window[..end].strip_suffix(b"\r") else { return Err(Malformed::BareLineEnd) };
        let (size, extension) = line.split_at(digits.min(line.len()));
        let is_clean = extension.iter().all(|byte| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f));
        if !is_clean || extension.first().is_some_and(|byte| *byte != b';') {
            return Err(Malformed::Chunk);
        }
        self.extension_bytes += extension.len();
        if self.extension_bytes > MAX_EXTENSION_BYTES {
            return Err(Malformed::Chunk);
        }
        let size = size.iter().fold(0_u64, |sum, digit| sum << 4 | u64::from(hex(*digit)));
        buffer.advance(end + 1);
        Ok(Some(size))
    }
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20).wrapping_sub(b'a').wrapping_add(10) & 0xf,
    }
}

fn take(buffer: &mut BytesMut, left: &mut u64) -> Bytes {
    let length = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len());
    *left -= length as u64;
    buffer.split_to(length).freeze()
}

fn decode_trailers(block: Bytes, limits: HeadLimits) -> Result<Headers, Malformed> {
    let mut fields = [const { MaybeUninit::<httparse::Header<'_>>::uninit() }; MOST_FIELDS];
    let mut trailers = Headers::default();
    trailers.reset(block.clone());
    // httparse splits fields only as part of a head; a start line is cheaper than a second parser for a rare case.
    let mut head = Vec::with_capacity(block.len() + 16);
    head.extend_from_slice(b"GET / HTTP/1.1\r\n");
    head.extend_from_slice(&block);
    let mut request = httparse::Request::new(&mut []);
    let room = limits.fields.min(MOST_FIELDS);
    match request.parse_with_uninit_headers(&head, &mut fields[..room]).map_err(syntax)? {
        httparse::Status::Complete(length) if length == head.len() => {}
        _ => return Err(Malformed::Header),
    }
    for field in request.headers.iter().filter(|field| may_trail(field.name.as_bytes())) {
        trailers.append(field.name.as_bytes(), field.value);
    }
    Ok(trailers)
}

/// Fields that frame, route or authenticate may not come after the body (RFC 9110 §6.5.1).
pub(in crate::http) fn may_trail(name: &[u8]) -> bool {
    const NEVER: [&[u8]; 8] = [
        b"content-length",
        b"host",
        b"trailer",
        b"authorization",
        b"content-encoding",
        b"content-type",
        b"content-range",
        b"set-cookie",
    ];
    !is_hop_by_hop(name) && !NEVER.iter().any(|never| never.eq_ignore_ascii_case(name))
}
