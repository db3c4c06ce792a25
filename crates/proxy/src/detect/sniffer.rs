use std::io;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, Interest};

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
        let Stream::Plain(socket) = stream else {
            return Ok(stream.read_buf(&mut self.seen).await? > 0);
        };
        loop {
            let ready = socket.ready(Interest::READABLE).await?;
            let mut bytes = vec![0; MAX_BYTES];
            let length = socket.peek(&mut bytes).await?;
            if length > self.seen.len() {
                self.seen.clear();
                self.seen.extend_from_slice(&bytes[..length]);
                return Ok(true);
            }
            if length == 0 || ready.is_read_closed() {
                return Ok(false);
            }
            // The same bytes as before: forget that the socket is readable, so that `ready` waits for the next packet.
            let _ = socket.try_io(Interest::READABLE, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
        }
    }
}
