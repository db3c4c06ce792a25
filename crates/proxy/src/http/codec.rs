//! HTTP/1.1 on bytes, no sockets: heads and bodies in, heads and bodies out.
//!
//! Shape       bytes -> `scan` (where does the head end) -> `request`/`response` (fields, framing) -> `body` (pieces)
//! Invariants  what two readers could frame differently is refused, never repaired (request smuggling)
//! Errors      `Malformed`: the sender's fault; a request is answered 400, 431 or 501 and the connection closed, a response becomes 502
//! Cost        one pass to find the end, one to split; no allocation but the promotion of a read buffer to shared
//! Source      RFC 9112 §2-7, RFC 9110 §5-7; field syntax by httparse, framing by us

mod body;
mod connection;
mod encode;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod methods;
mod names;
mod request;
mod response;
mod scan;
#[cfg(test)]
mod tests;

pub(super) use body::{BodyDecoder, may_trail};
pub(super) use connection::is_hop_by_hop;
pub(super) use encode::{BodyEncoder, RequestStyle, encode_request, encode_response};
pub(super) use methods::is_registered;
pub(super) use names::Names;
pub(super) use request::{Fault, decode_request, is_host};
pub(super) use response::decode_response;
pub(super) use scan::HeadScanner;

/// Why bytes are not a message we pass on.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("a line ends without carriage return, or a carriage return stands alone")]
    BareLineEnd,
    #[error("a chunk's size is not a hexadecimal number, or its end is missing")]
    Chunk,
    #[error("the connection closed in the middle of a message")]
    Closed,
    #[error("connection names a header that is not the client's to remove, or ten of them")]
    Connection,
    #[error("content-length is repeated, not a number, or beside transfer-encoding")]
    ContentLength,
    #[error("a header line is not name, colon, value")]
    Header,
    #[error("the head is larger than allowed")]
    HeadTooLarge,
    #[error("host is repeated or not a host")]
    Host,
    #[error("the method is none that is registered")]
    Method,
    #[error("the start line is not one of HTTP/1")]
    StartLine,
    #[error("transfer-encoding is not exactly chunked")]
    TransferEncoding,
}

impl Malformed {
    /// As in Envoy's `%RESPONSE_CODE_DETAILS%`.
    pub(crate) const fn details(self) -> &'static str {
        match self {
            Self::BareLineEnd => "http1.invalid_line_end",
            Self::Chunk => "http1.invalid_chunk",
            Self::Closed => "http1.closed_in_message",
            Self::Connection => "http1.connection_header_rejected",
            Self::ContentLength => "http1.invalid_content_length",
            Self::Header => "http1.invalid_characters",
            Self::HeadTooLarge => "http1.headers_too_large",
            Self::Host => "http1.invalid_host",
            Self::Method | Self::StartLine => "http1.codec_error",
            Self::TransferEncoding => "http1.invalid_transfer_encoding",
        }
    }

    pub(crate) const fn status(self) -> u16 {
        match self {
            Self::HeadTooLarge => 431,
            Self::TransferEncoding => 501,
            _ => 400,
        }
    }
}

/// What a head may be at most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeadLimits {
    pub(crate) bytes: usize,
    pub(crate) fields: usize,
}

/// Room for fields on the stack; configured counts above it are cut to it.
const MOST_FIELDS: usize = 256;
