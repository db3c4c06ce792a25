//! The servers behind a proxy: scripted by each request's `x-do` header, and keeping every request they saw.
//!
//! Shape       1 `Origins` per side -> n origins (a port each) -> connections: HTTP/1.1, HTTP/2 by its preface or ALPN, TCP
//! Invariants  a failure with a count belongs to a case id, so cases do not disturb each other

mod dns;
mod http1;
mod http2;
mod log_service;
mod proxy;
mod script;
mod tcp;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::certificates::{Certificates, common_name};
use crate::file::OriginSpec;
use crate::stream::{Headers, Stream, header};
use script::Script;
pub(crate) use script::unescape;

/// All origins of one side.
#[derive(Debug, Default)]
pub(crate) struct Origins {
    pub(crate) ports: BTreeMap<String, u16>,
    shared: BTreeMap<String, Arc<Origin>>,
    pub(crate) seen: Arc<Mutex<Vec<Arrival>>>,
    tasks: JoinSet<()>,
    /// Ports where nobody listens.
    closed: Vec<tokio::net::TcpSocket>,
}

#[derive(Debug)]
pub(crate) struct Origin {
    name: String,
    spec: OriginSpec,
    behaviour: Mutex<String>,
    tries: Mutex<HashMap<String, u32>>,
    seen: Arc<Mutex<Vec<Arrival>>>,
    /// The access log of its side.
    log: PathBuf,
}

/// A request as an origin saw it.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub(crate) origin: String,
    pub(crate) version: &'static str,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Headers,
    pub(crate) body: Vec<u8>,
    /// Ended before its end.
    pub(crate) is_cut: bool,
    pub(crate) trailers: Headers,
    pub(crate) tls: Value,
}

impl Arrival {
    pub(crate) fn case_id(&self) -> Option<&str> {
        header(&self.headers, "x-case-id")
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Origins {
    /// # Errors
    /// When a port cannot be had, or a certificate does not exist.
    pub(crate) async fn start(
        specs: &BTreeMap<String, OriginSpec>,
        certificates: &Certificates,
        log: &Path,
    ) -> anyhow::Result<Self> {
        let mut origins = Self::default();
        for (name, spec) in specs {
            let address = spec.address.as_deref().unwrap_or("127.0.0.1");
            if spec.closed {
                // Held, so that nobody else gets the port, but not listened at.
                let socket = tokio::net::TcpSocket::new_v4()?;
                socket.bind(std::net::SocketAddr::new(address.parse()?, 0))?;
                origins.ports.insert(name.clone(), socket.local_addr()?.port());
                origins.closed.push(socket);
                continue;
            }
            if spec.dns {
                let socket = dns::bind().await?;
                origins.ports.insert(name.clone(), socket.local_addr()?.port());
                let origin = origins.add(name, spec, log);
                origins.tasks.spawn(dns::serve(socket, origin));
                continue;
            }
            let listener = TcpListener::bind((address, 0)).await.with_context(|| format!("a port for {name}"))?;
            origins.ports.insert(name.clone(), listener.local_addr()?.port());
            let origin = origins.add(name, spec, log);
            let tls = match &spec.tls {
                Some(certificate) => Some(tokio_rustls::TlsAcceptor::from(certificates.server(
                    certificate,
                    &spec.alpn,
                    spec.ask_client,
                )?)),
                None => None,
            };
            origins.tasks.spawn(accept(listener, tls, origin));
        }
        Ok(origins)
    }

    fn add(&mut self, name: &str, spec: &OriginSpec, log: &Path) -> Arc<Origin> {
        let origin = Arc::new(Origin {
            name: name.to_owned(),
            spec: spec.clone(),
            behaviour: Mutex::new(spec.behaviour.clone()),
            tries: Mutex::default(),
            seen: self.seen.clone(),
            log: log.to_owned(),
        });
        self.shared.insert(name.to_owned(), origin.clone());
        origin
    }

    /// # Errors
    /// When there is no such origin.
    pub(crate) fn set(&self, name: &str, behaviour: &str) -> anyhow::Result<()> {
        let origin = self.shared.get(name).with_context(|| format!("no origin is called {name}"))?;
        behaviour.clone_into(&mut lock(&origin.behaviour));
        Ok(())
    }

    pub(crate) fn arrivals(&self) -> Vec<Arrival> {
        lock(&self.seen).clone()
    }
}

async fn accept(listener: TcpListener, tls: Option<tokio_rustls::TlsAcceptor>, origin: Arc<Origin>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((tcp, peer)) = listener.accept().await else { return };
        while connections.try_join_next().is_some() {}
        let (tls, origin) = (tls.clone(), origin.clone());
        // An error ends the connection, which is what its peer shall see.
        connections.spawn(async move {
            let _ = serve(tcp, peer, tls, origin).await;
        });
    }
}

async fn serve(
    mut tcp: TcpStream,
    peer: SocketAddr,
    tls: Option<tokio_rustls::TlsAcceptor>,
    origin: Arc<Origin>,
) -> anyhow::Result<()> {
    let mut about = Value::Null;
    let mut is_http2 = false;
    let proxy = match origin.spec.proxy {
        true => Some(proxy::read_header(&mut tcp).await?),
        false => None,
    };
    let stream = match tls {
        None => Stream::tcp(tcp)?,
        Some(acceptor) => {
            let duplicate = tcp.into_std()?;
            let plain = Stream::tcp(TcpStream::from_std(duplicate.try_clone()?)?)?;
            let tls = acceptor.accept(TcpStream::from_std(duplicate)?).await?;
            let (_, session) = tls.get_ref();
            is_http2 = session.alpn_protocol() == Some(b"h2");
            let client = session.peer_certificates().and_then(|chain| common_name(chain.first()?));
            about = json!({
                "sni": session.server_name(),
                "alpn": session.alpn_protocol().map(String::from_utf8_lossy),
                "client": client,
            });
            plain.over(Box::new(tls))
        }
    };
    if let Some(header) = proxy {
        about = json!({ "proxy": header, "of_tls": about });
    }
    if let Some(mode) = &origin.spec.tcp {
        return tcp::serve(stream, mode, &origin.name, peer).await;
    }
    let mut stream = stream;
    while !is_http2 && stream.buffer.len() < 3 {
        if stream.fill().await.is_err() {
            return Ok(());
        }
    }
    if is_http2 || stream.buffer.starts_with(b"PRI") {
        return http2::serve(stream, origin, about).await;
    }
    http1::serve(stream, &origin, about).await
}

impl Origin {
    /// What to do about a request: as it says itself, or else as this origin does with all.
    fn script(&self, arrival: &Arrival) -> anyhow::Result<Script> {
        let text = match header(&arrival.headers, "x-do") {
            Some(text) => text.to_owned(),
            None => lock(&self.behaviour).clone(),
        };
        let script = Script::parse(&text)?;
        let Some(times) = script.fail else { return Ok(script) };
        let mut tries = lock(&self.tries);
        let tries = tries.entry(arrival.case_id().unwrap_or_default().to_owned()).or_default();
        *tries += 1;
        Ok(if *tries <= times { script } else { Script::default() })
    }

    /// Notes a request, and gives the place where its body belongs.
    fn note(&self, arrival: Arrival) -> usize {
        let mut seen = lock(&self.seen);
        seen.push(arrival);
        seen.len() - 1
    }

    fn finish(&self, at: usize, body: Vec<u8>, trailers: Headers, is_cut: bool) {
        if let Some(arrival) = lock(&self.seen).get_mut(at) {
            (arrival.body, arrival.trailers, arrival.is_cut) = (body, trailers, is_cut);
        }
    }
}
