//! The PROXY header before a connection, read without the proxies' own code.

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// Version, family and addresses, without ports, which are never alike.
pub(super) async fn read_header(tcp: &mut TcpStream) -> anyhow::Result<String> {
    let mut start = [0; 6];
    tcp.read_exact(&mut start).await?;
    if start == *b"PROXY " {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.push(tcp.read_u8().await?);
        }
        let line = String::from_utf8(line)?;
        return Ok(format!("v1 {}", line.split_whitespace().take(3).collect::<Vec<_>>().join(" ")));
    }
    let mut fixed = [0; 10];
    tcp.read_exact(&mut fixed).await?;
    let [.., command, family, high, low] = fixed;
    let mut addresses = vec![0; u16::from_be_bytes([high, low]).into()];
    tcp.read_exact(&mut addresses).await?;
    addresses.truncate(addresses.len().saturating_sub(4));
    Ok(format!("v2 {command:#x} {family:#x} {addresses:?}"))
}
