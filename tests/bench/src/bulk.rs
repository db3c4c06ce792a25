//! Both ends of a bulk transfer: one connection, one direction.
//!
//! Units       bytes that have arrived at the sink, which confirms them by closing

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::Context;
use serde::Serialize;

const CHUNK_BYTES: usize = 256 * 1024;

#[derive(Debug, Serialize)]
pub(crate) struct Sent {
    bytes: u64,
    seconds: f64,
}

/// Reads and forgets, one thread per connection.
pub(crate) fn sink(listen: SocketAddr) -> anyhow::Result<()> {
    let listener = TcpListener::bind(listen).with_context(|| format!("listening on {listen}"))?;
    loop {
        let (mut stream, _) = listener.accept()?;
        std::thread::spawn(move || {
            let mut buffer = vec![0; 4 * CHUNK_BYTES];
            // Either way the connection is over; the sender sees it.
            while stream.read(&mut buffer).is_ok_and(|read| read > 0) {}
        });
    }
}

pub(crate) fn send(target: SocketAddr, seconds: u32) -> anyhow::Result<Sent> {
    let mut stream = TcpStream::connect(target).context("connecting to the target")?;
    let chunk = vec![b'x'; CHUNK_BYTES];
    let started = Instant::now();
    let mut bytes = 0;
    while started.elapsed() < Duration::from_secs(seconds.into()) {
        bytes += stream.write(&chunk).context("sending")? as u64;
    }
    stream.shutdown(Shutdown::Write).context("ending the transfer")?;
    // The sink closes after the last byte.
    let rest = stream.read(&mut [0; 1]).context("waiting for the sink")?;
    anyhow::ensure!(rest == 0, "the sink answered");
    Ok(Sent { bytes, seconds: started.elapsed().as_secs_f64() })
}
