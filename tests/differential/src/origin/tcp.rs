//! Origins that speak no HTTP.

use std::net::SocketAddr;

use tokio::io::AsyncWriteExt;

use crate::stream::Stream;

/// `echo` gives back what comes; `greet` names itself first; `report` tells the first bytes and the peer's IP address.
pub(super) async fn serve(mut stream: Stream, mode: &str, name: &str, peer: SocketAddr) -> anyhow::Result<()> {
    match mode {
        "greet" => stream.io.write_all(format!("{name}\n").as_bytes()).await?,
        "report" => {
            if stream.buffer.is_empty() && stream.fill().await.is_err() {
                return Ok(());
            }
            let first = std::mem::take(&mut stream.buffer);
            let text = format!("{name} {} {}\n", peer.ip(), first.escape_ascii());
            stream.io.write_all(text.as_bytes()).await?;
        }
        "close" => return Ok(()),
        "reset" => {
            let _ = stream.fill().await;
            stream.reset();
            return Ok(());
        }
        "hang" => std::future::pending::<()>().await,
        _ => {}
    }
    while stream.fill().await.is_ok() {
        let bytes = std::mem::take(&mut stream.buffer);
        stream.io.write_all(&bytes).await?;
    }
    Ok(())
}
