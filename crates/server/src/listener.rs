//! The API's socket: TLS for those who speak it, plain HTTP for the others.
//!
//! Shape       1 socket -> n connections whose first byte tells (0x16 begins a TLS handshake; no HTTP method does)
//! Errors      a connection that says nothing in time, or whose handshake fails, is dropped and logged
//! Source      RFC 8446 §5.1

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// To say the first byte, and to finish the handshake. Chosen.
const GREETING_TIMEOUT: Duration = Duration::from_secs(10);
/// After a failed accept (out of descriptors, mostly) so long nothing is accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// More connections that have not greeted yet wait in the kernel. Chosen.
const GREETING_LIMIT: usize = 256;
const HANDSHAKE: u8 = 0x16;

pub(crate) struct ApiListener {
    socket: TcpListener,
    acceptor: Option<TlsAcceptor>,
    greeting: FuturesUnordered<Greeting>,
}

type Greeting = Pin<Box<dyn Future<Output = (SocketAddr, io::Result<Connection>)> + Send>>;

impl ApiListener {
    pub(crate) fn new(socket: TcpListener, tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        Self { socket, acceptor: tls.map(TlsAcceptor::from), greeting: FuturesUnordered::new() }
    }
}

impl axum::serve::Listener for ApiListener {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            tokio::select! {
                Some((address, greeted)) = self.greeting.next() => match greeted {
                    Ok(connection) => return (connection, address),
                    Err(error) => tracing::debug!(%address, %error, "a connection to the API came to nothing"),
                },
                accepted = self.socket.accept(), if self.greeting.len() < GREETING_LIMIT => match accepted {
                    Ok((stream, address)) => {
                        let acceptor = self.acceptor.clone();
                        self.greeting.push(Box::pin(async move { (address, greet(stream, acceptor).await) }));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept API connections");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

async fn greet(stream: TcpStream, acceptor: Option<TlsAcceptor>) -> io::Result<Connection> {
    stream.set_nodelay(true)?;
    let greeting = async {
        let mut first = [0];
        stream.peek(&mut first).await?;
        match acceptor {
            Some(acceptor) if first[0] == HANDSHAKE => Ok(Connection::Tls(Box::new(acceptor.accept(stream).await?))),
            _ => Ok(Connection::Plain(stream)),
        }
    };
    tokio::time::timeout(GREETING_TIMEOUT, greeting).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

pub(crate) enum Connection {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
