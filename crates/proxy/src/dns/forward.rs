use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

/// Chosen: stub resolvers try again after 5 s.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(4);

/// Asks `resolver` over UDP, from a socket (and so a random port) of its own.
pub(crate) async fn over_udp(resolver: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let any: SocketAddr =
        if resolver.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(resolver).await?;
    let asking = async {
        socket.send(query).await?;
        let mut answer = vec![0; 4096];
        loop {
            let length = socket.recv(&mut answer).await?;
            // Another ID is an answer to something else.
            if length >= 12 && answer[..2] == query[..2] {
                answer.truncate(length);
                return Ok(answer);
            }
        }
    };
    tokio::time::timeout(ANSWER_TIMEOUT, asking).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Asks `resolver` over TCP.
pub(crate) async fn over_tcp(resolver: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let asking = async {
        let mut stream = TcpStream::connect(resolver).await?;
        let length = u16::try_from(query.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        stream.write_all(&[&length.to_be_bytes(), query].concat()).await?;
        let length = stream.read_u16().await?;
        let mut answer = vec![0; usize::from(length)];
        stream.read_exact(&mut answer).await?;
        Ok(answer)
    };
    tokio::time::timeout(ANSWER_TIMEOUT, asking).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
