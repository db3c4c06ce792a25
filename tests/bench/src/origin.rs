//! An HTTP/1.1 origin that looks only for the end of a head: requests have no body here.

use std::net::SocketAddr;
use std::rc::Rc;

use leno_runtime::Tasks;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

pub(crate) async fn run(listen: SocketAddr, body_bytes: usize) -> anyhow::Result<()> {
    let mut response = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\nserver: origin\r\ncontent-length: {body_bytes}\r\n\r\n"
    )
    .into_bytes();
    response.resize(response.len() + body_bytes, b'x');
    let response: Rc<[u8]> = response.into();
    let listener = TcpListener::bind(listen).await?;
    let tasks = Tasks::new();
    LocalSet::new()
        .run_until(async {
            loop {
                let (stream, _) = listener.accept().await?;
                let response = response.clone();
                tasks.spawn_local("origin", async move {
                    // A client that goes away ends its connection; nothing to report.
                    let _ = serve(stream, &response).await;
                });
            }
        })
        .await
}

async fn serve(mut stream: TcpStream, response: &[u8]) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 16 * 1024];
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..]).await?;
        if read == 0 {
            return Ok(());
        }
        filled += read;
        while let Some(end) = buffer[..filled].windows(4).position(|window| window == b"\r\n\r\n") {
            stream.write_all(response).await?;
            buffer.copy_within(end + 4..filled, 0);
            filled -= end + 4;
        }
        if filled == buffer.len() {
            return Ok(());
        }
    }
}
