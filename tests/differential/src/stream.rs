//! Connections of clients and origins: TCP or TLS, which can be ended hard.

use std::os::fd::AsFd;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;

pub(crate) trait Bytes: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Bytes for T {}

/// How a peer ended a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum End {
    Closed,
    Reset,
}

impl End {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Reset => "reset",
        }
    }
}

/// A connection with what was read from it and not used yet.
pub(crate) struct Stream {
    pub(crate) io: Box<dyn Bytes>,
    pub(crate) buffer: Vec<u8>,
    socket: socket2::Socket,
}

impl Stream {
    /// # Errors
    /// When the socket has gone.
    pub(crate) fn tcp(tcp: TcpStream) -> anyhow::Result<Self> {
        tcp.set_nodelay(true)?;
        let socket = tcp.as_fd().try_clone_to_owned()?.into();
        Ok(Self { io: Box::new(tcp), buffer: Vec::new(), socket })
    }

    /// The same connection below another layer, such as TLS.
    pub(crate) fn over(self, io: Box<dyn Bytes>) -> Self {
        Self { io, ..self }
    }

    /// Ends it with a reset.
    pub(crate) fn reset(self) {
        let _ = self.socket.set_linger(Some(Duration::ZERO));
    }

    /// Reads more; `Err` when there will be no more.
    pub(crate) async fn fill(&mut self) -> Result<(), End> {
        let mut chunk = [0; 16 * 1024];
        match self.io.read(&mut chunk).await {
            Ok(0) => Err(End::Closed),
            Ok(read) => {
                self.buffer.extend_from_slice(chunk.get(..read).unwrap_or_default());
                Ok(())
            }
            // TLS that ends without its farewell, which most peers leave out.
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Err(End::Closed),
            Err(_) => Err(End::Reset),
        }
    }

    /// Up to and with `end`.
    pub(crate) async fn until(&mut self, end: &[u8]) -> Result<Vec<u8>, End> {
        loop {
            if let Some(at) = self.buffer.windows(end.len()).position(|window| window == end) {
                return Ok(self.buffer.drain(..at + end.len()).collect());
            }
            self.fill().await?;
        }
    }

    /// That many bytes; what there is of them when the peer ends first.
    pub(crate) async fn exactly(&mut self, length: usize) -> Result<Vec<u8>, (Vec<u8>, End)> {
        while self.buffer.len() < length {
            if let Err(end) = self.fill().await {
                return Err((std::mem::take(&mut self.buffer), end));
            }
        }
        Ok(self.buffer.drain(..length).collect())
    }

    /// All until the peer ends it.
    pub(crate) async fn rest(&mut self) -> (Vec<u8>, End) {
        loop {
            if let Err(end) = self.fill().await {
                return (std::mem::take(&mut self.buffer), end);
            }
        }
    }

    /// A line without its end.
    pub(crate) async fn line(&mut self) -> Result<String, End> {
        let line = self.until(b"\n").await?;
        Ok(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned())
    }

    /// A body in chunks, and its trailers.
    pub(crate) async fn chunks(&mut self) -> Result<Payload, (Vec<u8>, End)> {
        let mut body = Vec::new();
        loop {
            let line = self.line().await.map_err(|end| (body.clone(), end))?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let Ok(size) = usize::from_str_radix(size, 16) else { return Err((body, End::Closed)) };
            if size == 0 {
                break;
            }
            match self.exactly(size).await {
                Ok(chunk) => body.extend(chunk),
                Err((chunk, end)) => {
                    body.extend(chunk);
                    return Err((body, end));
                }
            }
            self.line().await.map_err(|end| (body.clone(), end))?;
        }
        let mut trailers = Vec::new();
        loop {
            let line = self.line().await.map_err(|end| (body.clone(), end))?;
            match line.split_once(':') {
                Some((name, value)) => trailers.push((name.to_owned(), value.trim().to_owned())),
                None => return Ok((body, trailers)),
            }
        }
    }
}

/// Body and trailers.
pub(crate) type Payload = (Vec<u8>, Headers);

/// Names and values as they came, in order.
pub(crate) type Headers = Vec<(String, String)>;

/// The value of the first header of that name.
pub(crate) fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}
