//! The client of the cases: opens connections, sends requests or bytes, and tells what came back as a JSON value.

mod http1;
mod http2;
mod raw;

use std::collections::BTreeSet;
use std::io::Read as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};

use anyhow::Context;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpSocket;

use crate::certificates::{Certificates, common_name};
use crate::file::{Protocol, Request, Tls};
use crate::origin::unescape;
use crate::stream::{Headers, Stream};
pub(crate) use http1::spelling;
pub(crate) use raw::talk;

/// A connection that may carry several requests.
pub(crate) enum Connection {
    Http1(Box<Stream>),
    Http2(http2::Client),
}

/// Where and how to connect.
pub(crate) struct Target<'a> {
    pub(crate) address: &'a str,
    pub(crate) from: Option<&'a str>,
    pub(crate) prefix: Option<&'a str>,
    pub(crate) tls: Option<&'a Tls>,
    /// Addresses that clients of this proxy have had.
    pub(crate) used: &'a Used,
}

pub(crate) type Used = Mutex<BTreeSet<SocketAddr>>;

/// A connection, or why there is none; and what TLS agreed on.
pub(crate) struct Opened {
    pub(crate) stream: Result<Stream, String>,
    pub(crate) tls: Value,
    pub(crate) local: Option<SocketAddr>,
}

pub(crate) async fn open(target: &Target<'_>, certificates: &Certificates) -> anyhow::Result<Opened> {
    let address: SocketAddr = target.address.parse().context("reading an address")?;
    let local = if address.is_ipv4() { "127.0.0.1" } else { "::1" };
    let socket = fresh(target.from.unwrap_or(local).parse().context("reading `from`")?, target.used)?;
    let refused = |what: &str| Opened { stream: Err(what.to_owned()), tls: Value::Null, local: None };
    let Ok(mut tcp) = socket.connect(address).await else { return Ok(refused("refused")) };
    let local = Some(tcp.local_addr()?);
    tcp.set_nodelay(true)?;
    if let Some(prefix) = target.prefix {
        tcp.write_all(&unescape(prefix)).await?;
    }
    let Some(tls) = target.tls else {
        return Ok(Opened { stream: Ok(Stream::tcp(tcp)?), tls: Value::Null, local });
    };
    let mut config = certificates.client(tls.client.as_deref(), &tls.alpn, tls.version.as_deref())?;
    if tls.sni.is_none() {
        let mut without = (*config).clone();
        without.enable_sni = false;
        config = without.into();
    }
    let name = tls.sni.clone().unwrap_or_else(|| "none.test".to_owned());
    let tcp = tcp.into_std()?;
    let plain = Stream::tcp(tokio::net::TcpStream::from_std(tcp.try_clone()?)?)?;
    let connector = tokio_rustls::TlsConnector::from(config);
    match connector.connect(name.try_into()?, tokio::net::TcpStream::from_std(tcp)?).await {
        Err(error) => Ok(Opened { stream: Err(error.to_string()), tls: json!({ "error": error.to_string() }), local }),
        Ok(tls) => {
            let (_, session) = tls.get_ref();
            let about = json!({
                "alpn": session.alpn_protocol().map(String::from_utf8_lossy),
                "version": session.protocol_version().and_then(|version| version.as_str()),
                "certificate": session.peer_certificates().and_then(|chain| common_name(chain.first()?)),
            });
            Ok(Opened { stream: Ok(plain.over(Box::new(tls))), tls: about, local })
        }
    }
}

/// A socket whose address no connection to the proxy has had: lines of its log without an id are found by it.
fn fresh(ip: IpAddr, used: &Used) -> anyhow::Result<TcpSocket> {
    let mut kept = Vec::new();
    loop {
        let socket = if ip.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.bind(SocketAddr::new(ip, 0))?;
        if used.lock().unwrap_or_else(PoisonError::into_inner).insert(socket.local_addr()?) {
            return Ok(socket);
        }
        // Held until there is another, or it would be offered again.
        kept.push(socket);
    }
}

/// What is sent.
pub(crate) struct Message {
    pub(crate) headers: Headers,
    pub(crate) trailers: Headers,
    pub(crate) body: Vec<u8>,
}

impl Message {
    pub(crate) fn new(request: &Request, id: &str) -> Self {
        let pair = |line: &String| {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            (name.to_owned(), value.strip_prefix(' ').unwrap_or(value).to_owned())
        };
        let mut headers: Headers = request.headers.iter().map(pair).collect();
        headers.push(("x-case-id".to_owned(), id.to_owned()));
        if !request.behaviour.is_empty() {
            headers.push(("x-do".to_owned(), request.behaviour.clone()));
        }
        let body = match request.body_size {
            0 => request.body.clone().into_bytes(),
            size => vec![b'x'; size],
        };
        Self { headers, trailers: request.trailers.iter().map(pair).collect(), body }
    }
}

/// # Errors
/// Only for what the case asks for and cannot be done; failures of the exchange are outcomes.
pub(crate) async fn exchange(
    connection: &mut Option<Connection>,
    stream: Option<Stream>,
    request: &Request,
    id: &str,
) -> anyhow::Result<Value> {
    let message = Message::new(request, id);
    if let Some(stream) = stream {
        *connection = Some(match request.protocol {
            Protocol::H1 => Connection::Http1(Box::new(stream)),
            Protocol::H2 => match http2::Client::connect(stream).await {
                Ok(client) => Connection::Http2(client),
                Err(error) => return Ok(json!({ "failed": error.to_string() })),
            },
        });
    }
    match connection {
        Some(Connection::Http1(stream)) => {
            let (answer, is_over) = http1::exchange(stream, request, &message).await?;
            if is_over {
                *connection = None;
            }
            Ok(answer)
        }
        Some(Connection::Http2(client)) => client.exchange(request, &message).await,
        None => Ok(json!({ "failed": "the connection has ended before" })),
    }
}

/// Names in lower case to values; several of one name in their order.
pub(crate) fn grouped(headers: &Headers) -> Value {
    let mut map = serde_json::Map::new();
    for (name, value) in headers {
        let entry = map.entry(name.to_ascii_lowercase()).or_insert(Value::Null);
        *entry = match entry.take() {
            Value::Null => json!(value),
            Value::Array(mut values) => {
                values.push(json!(value));
                Value::Array(values)
            }
            first => json!([first, value]),
        };
    }
    map.sort_keys();
    Value::Object(map)
}

/// A body as it was before it was compressed; what cannot be read is shown as it came.
pub(crate) fn plain(encoding: Option<&str>, body: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let read = match encoding {
        Some("gzip") => flate2::read::GzDecoder::new(body).read_to_end(&mut plain),
        Some("br") => brotli::Decompressor::new(body, 4096).read_to_end(&mut plain),
        Some("zstd") => zstd::stream::read::Decoder::new(body).and_then(|mut reader| reader.read_to_end(&mut plain)),
        _ => return body.to_vec(),
    };
    if read.is_ok() { plain } else { body.to_vec() }
}

/// Short bodies as they are, long ones by length and sum.
pub(crate) fn body_value(body: &[u8]) -> Value {
    if body.len() <= 2048 {
        return json!(String::from_utf8_lossy(body));
    }
    let sum = body.iter().fold(0_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
    json!(format!("{} bytes, sum {sum:x}", body.len()))
}
