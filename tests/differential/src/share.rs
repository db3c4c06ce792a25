//! What client and origins share of HTTP/2.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::{Reason, SendStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::stream::{Headers, Stream};

/// A connection that gives what was read from it ahead once more.
pub(crate) struct Replay {
    stream: Stream,
}

impl Replay {
    pub(crate) fn new(stream: Stream) -> Self {
        Self { stream }
    }
}

impl AsyncRead for Replay {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let stream = &mut self.stream;
        if stream.buffer.is_empty() {
            return Pin::new(&mut stream.io).poll_read(context, buf);
        }
        let length = stream.buffer.len().min(buf.remaining());
        buf.put_slice(stream.buffer.get(..length).unwrap_or_default());
        stream.buffer.drain(..length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Replay {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream.io).poll_shutdown(context)
    }
}

pub(crate) fn pairs(headers: &http::HeaderMap) -> Headers {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect()
}

/// # Errors
/// When a name or value cannot be sent.
pub(crate) fn map(headers: &[(String, String)]) -> anyhow::Result<http::HeaderMap> {
    let mut map = http::HeaderMap::new();
    for (name, value) in headers {
        map.append(http::HeaderName::try_from(name.as_str())?, value.parse()?);
    }
    Ok(map)
}

/// An error code by its name; `INTERNAL_ERROR` for any other.
pub(crate) fn reason(name: &str) -> Reason {
    match name {
        "CANCEL" => Reason::CANCEL,
        "NO_ERROR" => Reason::NO_ERROR,
        "PROTOCOL_ERROR" => Reason::PROTOCOL_ERROR,
        "REFUSED_STREAM" => Reason::REFUSED_STREAM,
        "ENHANCE_YOUR_CALM" => Reason::ENHANCE_YOUR_CALM,
        _ => Reason::INTERNAL_ERROR,
    }
}

/// All of `bytes`, as the window of the peer allows.
///
/// # Errors
/// When the stream has ended.
pub(crate) async fn send_all(stream: &mut SendStream<Bytes>, bytes: &[u8], ends: bool) -> anyhow::Result<()> {
    let mut rest = bytes;
    while !rest.is_empty() {
        stream.reserve_capacity(rest.len());
        let Some(granted) = std::future::poll_fn(|context| stream.poll_capacity(context)).await else { return Ok(()) };
        let (now, later) = rest.split_at(granted?.min(rest.len()));
        rest = later;
        stream.send_data(Bytes::copy_from_slice(now), rest.is_empty() && ends)?;
    }
    if bytes.is_empty() && ends {
        stream.send_data(Bytes::new(), true)?;
    }
    Ok(())
}
