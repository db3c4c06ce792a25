//! Connections that carry one request each: connect, mutual TLS where wanted, GET, close.
//!
//! One thread per client; each keeps its own tickets, so that with `resume` all handshakes but its first are resumed.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use leno_identity::{ClientTls, Identity, PeerNames, Svid};
use rustls::client::Resumption;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, StreamOwned};
use serde::Serialize;

#[derive(Args, Clone, Debug)]
pub(crate) struct ConnectArgs {
    #[arg(long)]
    target: SocketAddr,
    #[arg(long, default_value_t = 3)]
    seconds: u32,
    #[arg(long, default_value_t = 4)]
    clients: usize,
    /// Directory with client.pem, client.key and root.pem; without it: plaintext.
    #[arg(long)]
    pki: Option<PathBuf>,
    /// SPIFFE ID expected of the server.
    #[arg(long, default_value = "spiffe://cluster.local/ns/default/sa/server")]
    server: String,
    /// Resume sessions with tickets.
    #[arg(long)]
    resume: bool,
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct Connected {
    requests: u64,
    errors: u64,
    resumed: u64,
    /// What went wrong last.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

pub(crate) fn run(args: &ConnectArgs) -> anyhow::Result<Connected> {
    let end = Instant::now() + Duration::from_secs(args.seconds.into());
    let mut threads = Vec::with_capacity(args.clients);
    for _ in 0..args.clients {
        let (args, tls) = (args.clone(), args.pki.as_deref().map(|pki| settings(pki, args)).transpose()?);
        threads.push(std::thread::spawn(move || {
            let mut seen = Connected::default();
            loop {
                match once(args.target, tls.as_ref()) {
                    Ok(resumed) => {
                        seen.requests += 1;
                        seen.resumed += u64::from(resumed);
                    }
                    Err(error) => {
                        seen.errors += 1;
                        seen.error = Some(format!("{error:#}"));
                    }
                }
                // At least once.
                if Instant::now() >= end {
                    return seen;
                }
            }
        }));
    }
    let mut sum = Connected::default();
    for thread in threads {
        let seen = thread.join().map_err(|_panic| anyhow::anyhow!("a client thread panicked"))?;
        sum.requests += seen.requests;
        sum.errors += seen.errors;
        sum.resumed += seen.resumed;
        sum.error = seen.error.or(sum.error);
    }
    Ok(sum)
}

fn settings(pki: &std::path::Path, args: &ConnectArgs) -> anyhow::Result<Arc<ClientConfig>> {
    let read = |name: &str| std::fs::read_to_string(pki.join(name)).with_context(|| format!("reading {name}"));
    let svid = Svid::from_pem(&read("client.pem")?, &read("client.key")?, &read("root.pem")?)?;
    let server = args.server.parse().context("reading the server's SPIFFE ID")?;
    let tls =
        ClientTls { peers: PeerNames::exactly(&server), alpn: vec![b"http/1.1".to_vec()], present_certificate: true };
    let mut config = (*Identity::from_svid(svid).client_config(&tls)?).clone();
    if args.resume {
        config.resumption = Resumption::in_memory_sessions(16);
    }
    Ok(Arc::new(config))
}

/// Whether the session was resumed.
fn once(target: SocketAddr, tls: Option<&Arc<ClientConfig>>) -> anyhow::Result<bool> {
    const REQUEST: &[u8] = b"GET /bench HTTP/1.1\r\nhost: origin\r\nconnection: close\r\n\r\n";
    let mut stream = TcpStream::connect(target).context("connecting")?;
    stream.set_nodelay(true)?;
    let Some(tls) = tls else {
        stream.write_all(REQUEST)?;
        return read_answer(&mut stream).map(|()| false);
    };
    let name = rustls_pki_types::ServerName::try_from("origin").context("naming the server")?;
    let mut stream = StreamOwned::new(ClientConnection::new(tls.clone(), name)?, stream);
    stream.write_all(REQUEST).context("handshake")?;
    read_answer(&mut stream)?;
    Ok(stream.conn.handshake_kind() == Some(HandshakeKind::Resumed))
}

fn read_answer(stream: &mut impl Read) -> anyhow::Result<()> {
    let (mut buffer, mut filled) = ([0; 8192], 0);
    loop {
        match stream.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            // A proxy may close without close_notify once the answer is out.
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(error).context("reading the answer"),
        }
    }
    let head = String::from_utf8_lossy(&buffer[..filled.min(32)]).into_owned();
    if !head.starts_with("HTTP/1.1 200 ") || filled < 1024 {
        bail!("the answer is {head:?}, {filled} bytes");
    }
    Ok(())
}
