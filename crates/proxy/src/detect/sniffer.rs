use std::io;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, Interest};
use tokio::net::TcpStream;

use super::{MAX_BYTES, Question, Verdict, look, settle};
use crate::stream::Stream;

/// How long the rest of a started request line or ClientHello may take. Chosen: longer than any path's retransmission,
/// short enough for a client that says half a word of another protocol and waits.
const PATIENCE: Duration = Duration::from_secs(1);

/// Collects a client's first bytes until they say what they are.
///
/// Of a plain socket the bytes are only peeked at, so whoever serves the connection reads them again from the kernel;
/// of a TLS stream they are taken and handed on as `first_bytes`.
#[derive(Debug, Default)]
pub(crate) struct Sniffer {
    seen: BytesMut,
}

impl Sniffer {
    /// Cancel-safe: nothing is lost when the future is dropped. At the end of the stream the verdict is the best guess.
    ///
    /// # Errors
    /// When the client's connection fails.
    pub(crate) async fn verdict(&mut self, stream: &mut Stream, question: Question) -> io::Result<Verdict> {
        loop {
            if !self.seen.is_empty() {
                match look(&self.seen, question) {
                    Verdict::More => {}
                    verdict => return Ok(verdict),
                }
            }
            let has_more = if self.seen.is_empty() {
                self.more(stream).await?
            } else {
                tokio::time::timeout(PATIENCE, self.more(stream)).await.unwrap_or(Ok(false))?
            };
            if !has_more {
                return Ok(settle(&self.seen, question));
            }
        }
    }

    /// Bytes taken from `stream`; empty where they were only peeked at.
    pub(crate) fn into_first_bytes(self, stream: &Stream) -> BytesMut {
        if stream.is_tls() { self.seen } else { BytesMut::new() }
    }

    /// Waits until `seen` has grown. `false` at the end of the stream, or when it is full.
    async fn more(&mut self, stream: &mut Stream) -> io::Result<bool> {
        if self.seen.len() >= MAX_BYTES {
            return Ok(false);
        }
        match stream {
            Stream::Plain(socket) => peek_more(socket, &mut self.seen, MAX_BYTES).await,
            stream @ Stream::Tls(_) => Ok(stream.read_buf(&mut self.seen).await? > 0),
        }
    }
}

/// Waits until more than `seen` has arrived, and puts all of it there; it stays in the socket. `false` at the end of the
/// stream, or when `most` bytes are there.
pub(crate) async fn peek_more(socket: &TcpStream, seen: &mut BytesMut, most: usize) -> io::Result<bool> {
    loop {
        let ready = socket.ready(Interest::READABLE).await?;
        // Little at first: most of what is looked for is short.
        let mut bytes = vec![0; most.min(MAX_BYTES.max(seen.len() * 2))];
        let length = socket.peek(&mut bytes).await?;
        if length > seen.len() {
            seen.clear();
            seen.extend_from_slice(&bytes[..length]);
            return Ok(true);
        }
        if length == 0 || length >= most || ready.is_read_closed() {
            return Ok(false);
        }
        // The same bytes as before: forget that the socket is readable, so that `ready` waits for the next packet.
        let _ = socket.try_io(Interest::READABLE, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
    }
}
