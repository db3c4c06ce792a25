use bytes::Bytes;
use http::Method;
use leno_routing::RequestView as _;

use super::names::{Names, write_name};
use crate::http::head::{Frame, Framing, RequestHead, ResponseHead, Version};
use crate::http::headers::Headers;
use crate::http::write_buffer::WriteBuffer;

const CONTENT_LENGTH: &[u8] = b"content-length";

/// How a request is written, beside what it says.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::http) struct RequestStyle {
    pub(in crate::http) names: Names,
    /// In absolute form (RFC 9112 §3.2.2) and not in origin form.
    pub(in crate::http) is_absolute: bool,
}

/// Writes a head, `host` first.
pub(in crate::http) fn encode_request(
    head: &RequestHead,
    framing: Framing,
    style: RequestStyle,
    out: &mut WriteBuffer,
) {
    let names = style.names;
    let out = out.flat();
    out.extend_from_slice(head.method.as_str().as_bytes());
    out.push(b' ');
    if head.method == Method::CONNECT {
        out.extend_from_slice(&head.authority);
    } else {
        if style.is_absolute && head.path.starts_with(b"/") {
            out.extend_from_slice(head.scheme().as_bytes());
            out.extend_from_slice(b"://");
            out.extend_from_slice(&head.authority);
        }
        out.extend_from_slice(&head.path);
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
    write_name(&head.host_name, names, out);
    out.extend_from_slice(b": ");
    out.extend_from_slice(&head.authority);
    out.extend_from_slice(b"\r\n");
    let has_length = write_fields(&head.headers, names, out);
    if let Some(upgrade) = &head.upgrade {
        write_upgrade(upgrade, names, out);
    }
    // RFC 9110 §8.6: where the method makes a body likely, its absence is said.
    let framing = if framing == Framing::None && may_have_body(head) { Framing::Length(0) } else { framing };
    write_framing(framing, has_length, names, out);
    out.extend_from_slice(b"\r\n");
}

fn may_have_body(head: &RequestHead) -> bool {
    let never = [Method::GET, Method::HEAD, Method::DELETE, Method::TRACE, Method::CONNECT];
    head.upgrade.is_none() && !never.contains(&head.method)
}

/// `version` is the client's; `keep_alive` is ours to grant.
pub(in crate::http) fn encode_response(
    head: &ResponseHead,
    framing: Framing,
    version: Version,
    keep_alive: bool,
    names: Names,
    out: &mut WriteBuffer,
) {
    let out = out.flat();
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(itoa::Buffer::new().format(head.status).as_bytes());
    out.push(b' ');
    let reason = http::StatusCode::from_u16(head.status).ok().and_then(|status| status.canonical_reason());
    out.extend_from_slice(reason.unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
    let has_length = write_fields(&head.headers, names, out);
    match &head.upgrade {
        Some(upgrade) if head.status == 101 => write_upgrade(upgrade, names, out),
        _ if head.status < 200 => {}
        _ if !keep_alive => write_field(b"connection", b"close", names, out),
        _ if version == Version::Http10 => write_field(b"connection", b"keep-alive", names, out),
        _ => {}
    }
    write_framing(framing, has_length, names, out);
    out.extend_from_slice(b"\r\n");
}

/// Whether `content-length` was among them.
fn write_fields(headers: &Headers, names: Names, out: &mut Vec<u8>) -> bool {
    let mut has_length = false;
    headers.write_lines(out, |name| {
        names.spell(name);
        has_length |= name.len() == CONTENT_LENGTH.len() && name.eq_ignore_ascii_case(CONTENT_LENGTH);
    });
    has_length
}

fn write_field(name: &[u8], value: &[u8], names: Names, out: &mut Vec<u8>) {
    write_name(name, names, out);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn write_upgrade(protocol: &[u8], names: Names, out: &mut Vec<u8>) {
    write_field(b"connection", b"upgrade", names, out);
    write_field(b"upgrade", protocol, names, out);
}

fn write_framing(framing: Framing, has_length: bool, names: Names, out: &mut Vec<u8>) {
    match framing {
        Framing::Chunked => write_field(b"transfer-encoding", b"chunked", names, out),
        Framing::Length(length) if !has_length => {
            write_field(CONTENT_LENGTH, itoa::Buffer::new().format(length).as_bytes(), names, out);
        }
        _ => {}
    }
}

/// Writes the pieces of a body as `framing` wants them.
#[derive(Debug)]
pub(in crate::http) struct BodyEncoder {
    framing: Framing,
    /// `None`: trailers are left out.
    trailers: Option<Names>,
    left: u64,
    is_done: bool,
}

/// A body that is not as long as its head said; the connection cannot be used any more.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the body does not have the length that its head announced")]
pub(in crate::http) struct WrongLength;

impl BodyEncoder {
    pub(in crate::http) fn new(framing: Framing) -> Self {
        let left = if let Framing::Length(length) = framing { length } else { 0 };
        Self { framing, trailers: None, left, is_done: framing.is_empty() }
    }

    pub(in crate::http) fn with_trailers(framing: Framing, names: Option<Names>) -> Self {
        Self { trailers: names, ..Self::new(framing) }
    }

    /// Everything was encoded.
    pub(in crate::http) fn is_done(&self) -> bool {
        self.is_done
    }

    pub(in crate::http) fn encode(&mut self, frame: Frame, out: &mut WriteBuffer) -> Result<(), WrongLength> {
        match frame {
            Frame::Data { bytes, last } => {
                self.encode_data(bytes, out)?;
                if last { self.finish(None, out) } else { Ok(()) }
            }
            Frame::Trailers(trailers) => self.finish(Some(&trailers), out),
            Frame::End => self.finish(None, out),
        }
    }

    fn encode_data(&mut self, bytes: Bytes, out: &mut WriteBuffer) -> Result<(), WrongLength> {
        match self.framing {
            // Answers to HEAD and the like: what was sent all the same is dropped.
            Framing::None => {}
            Framing::Chunked if bytes.is_empty() => {}
            Framing::Chunked => {
                write_hex(bytes.len(), out.flat());
                out.flat().extend_from_slice(b"\r\n");
                out.push(bytes);
                out.flat().extend_from_slice(b"\r\n");
            }
            Framing::Length(_) => {
                self.left = self.left.checked_sub(bytes.len() as u64).ok_or(WrongLength)?;
                out.push(bytes);
                self.is_done = self.left == 0;
            }
            Framing::UntilClose => out.push(bytes),
        }
        Ok(())
    }

    fn finish(&mut self, trailers: Option<&Headers>, out: &mut WriteBuffer) -> Result<(), WrongLength> {
        match self.framing {
            Framing::Length(_) if self.left > 0 => return Err(WrongLength),
            Framing::Chunked if !self.is_done => {
                out.flat().extend_from_slice(b"0\r\n");
                if let (Some(trailers), Some(names)) = (trailers, self.trailers) {
                    write_fields(trailers, names, out.flat());
                }
                out.flat().extend_from_slice(b"\r\n");
            }
            _ => {}
        }
        self.is_done = true;
        Ok(())
    }
}

fn write_hex(number: usize, out: &mut Vec<u8>) {
    let digits = (usize::BITS - number.leading_zeros()).div_ceil(4).max(1);
    for at in (0..digits).rev() {
        out.push(b"0123456789abcdef"[(number >> (at * 4)) & 0xf]);
    }
}
