//! Many keep-alive connections that have carried requests and now wait.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};

use anyhow::Context;

/// Most requests that are under way at once: below Envoy's default limit of 1,024.
const WAVE: usize = 1000;

/// Opens them one after the other, says `ready` on standard output, and at each line on standard input lets all of them
/// ask at once and says it again. Holds them until standard input ends.
pub(crate) fn run(target: SocketAddr, host: &str, connections: usize) -> anyhow::Result<()> {
    let request = format!("GET /bench HTTP/1.1\r\nhost: {host}\r\n\r\n");
    let mut held = Vec::with_capacity(connections);
    for number in 0..connections {
        let stream = TcpStream::connect(target).with_context(|| format!("opening connection {number}"))?;
        held.push(stream);
        ask(&mut held[number..], &request)?;
    }
    ready()?;
    for line in std::io::stdin().lines() {
        line.context("waiting for the end")?;
        for wave in held.chunks_mut(WAVE) {
            ask(wave, &request)?;
        }
        ready()?;
    }
    Ok(())
}

/// All requests are out before the first answer is read.
fn ask(streams: &mut [TcpStream], request: &str) -> anyhow::Result<()> {
    for stream in streams.iter_mut() {
        stream.write_all(request.as_bytes()).context("asking")?;
    }
    let mut buffer = vec![0; 16 * 1024];
    for stream in streams {
        let status = crate::open_loop::answer(stream, &mut buffer).context("reading the answer")?;
        anyhow::ensure!(status == 200, "a connection was answered {status}");
    }
    Ok(())
}

fn ready() -> anyhow::Result<()> {
    println!("ready");
    std::io::stdout().flush().context("saying that we are ready")
}
