//! A client for what the plain one of `http` does not speak: TLS with a certificate, HTTP/2 and gRPC.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::Value;

use crate::echo::{Believing, EchoTls};
use crate::http::Response;

/// How a client comes.
#[derive(Clone, Debug, Default)]
pub struct Caller<'a> {
    pub address: &'a str,
    /// With TLS, and this server name. Every certificate is believed.
    pub server_name: Option<&'a str>,
    /// Shown in TLS.
    pub certificate: Option<&'a EchoTls>,
}

/// What a gRPC call gave.
#[derive(Clone, Debug)]
pub struct GrpcAnswer {
    pub status: u16,
    /// The first message; JSON of the servers here.
    pub message: Value,
}

const PATIENCE: Duration = Duration::from_secs(10);

impl Caller<'_> {
    fn config(&self, alpn: &[&[u8]]) -> anyhow::Result<Arc<ClientConfig>> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(Believing::default()));
        let mut config = match self.certificate {
            Some(own) => {
                let chain = CertificateDer::pem_slice_iter(own.chain.as_bytes()).collect::<Result<_, _>>()?;
                builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(own.private_key.as_bytes())?)?
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = alpn.iter().map(|word| word.to_vec()).collect();
        Ok(Arc::new(config))
    }

    /// One line, and the line that comes back as JSON.
    ///
    /// # Errors
    /// When the connection or the handshake is refused.
    pub fn line(&self, text: &str) -> anyhow::Result<Value> {
        let stream = TcpStream::connect(self.address).with_context(|| format!("connecting to {}", self.address))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let Some(name) = self.server_name else { return say(stream, text) };
        let name = ServerName::try_from(name.to_owned())?;
        let session = rustls::ClientConnection::new(self.config(&[])?, name)?;
        say(rustls::StreamOwned::new(session, stream), text)
    }

    /// One request, over HTTP/2 where `http2` or `application/grpc` asks for it. Trailers come after the headers.
    ///
    /// # Errors
    /// When the connection or the handshake is refused, or the answer is not HTTP.
    pub fn request(
        &self,
        is_http2: bool,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> anyhow::Result<Response> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let exchange = async {
            let stream = tokio::net::TcpStream::connect(self.address).await?;
            let Some(name) = self.server_name else {
                return exchange(TokioIo::new(stream), self.address, is_http2, method, path, headers, body).await;
            };
            let alpn: &[&[u8]] = if is_http2 { &[b"h2"] } else { &[b"http/1.1"] };
            let connector = tokio_rustls::TlsConnector::from(self.config(alpn)?);
            let stream = connector.connect(ServerName::try_from(name.to_owned())?, stream).await?;
            exchange(TokioIo::new(stream), name, is_http2, method, path, headers, body).await
        };
        let limited = async { tokio::time::timeout(PATIENCE, exchange).await };
        runtime.block_on(limited).context("no answer in time")?
    }

    /// One call with one empty message.
    ///
    /// # Errors
    /// As [`Caller::request`].
    pub fn grpc(&self, path: &str, headers: &[(&str, &str)]) -> anyhow::Result<GrpcAnswer> {
        let mut framed = BytesMut::new();
        framed.put_bytes(0, 5);
        let headers = [&[("content-type", "application/grpc"), ("te", "trailers")], headers].concat();
        let answer = self.request(true, "POST", path, &headers, &framed)?;
        ensure!(answer.status == 200, "{} in place of gRPC", answer.status);
        let status = answer.header("grpc-status").context("no grpc-status")?.parse()?;
        let message = answer.body.get(5..).and_then(|body| serde_json::from_slice(body).ok()).unwrap_or_default();
        Ok(GrpcAnswer { status, message })
    }
}

fn say(mut stream: impl Read + Write, text: &str) -> anyhow::Result<Value> {
    stream.write_all(format!("{text}\n").as_bytes())?;
    stream.flush()?;
    let mut line = Vec::new();
    let mut byte = [0];
    while stream.read(&mut byte)? > 0 && byte != *b"\n" {
        line.extend(byte);
    }
    serde_json::from_slice(&line).with_context(|| format!("reading {:?}", String::from_utf8_lossy(&line)))
}

#[allow(clippy::disallowed_methods, reason = "servers and clients of tests end with their runtime")]
#[allow(clippy::too_many_arguments, reason = "one request, as it goes on the wire")]
async fn exchange<S>(
    stream: S,
    authority: &str,
    is_http2: bool,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> anyhow::Result<Response>
where
    S: hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static,
{
    let host = headers.iter().find(|(name, _)| *name == "host").map_or(authority, |(_, host)| *host);
    let mut request = http::Request::builder().method(method);
    request = match is_http2 {
        true => request.uri(format!("http://{host}{path}")),
        false => request.uri(path).header("host", host),
    };
    for (name, value) in headers.iter().filter(|(name, _)| *name != "host") {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Bytes::copy_from_slice(body)))?;
    let answer = if is_http2 {
        let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await?;
        tokio::spawn(connection);
        sender.send_request(request).await?
    } else {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
        tokio::spawn(connection);
        sender.send_request(request).await?
    };
    let (head, body) = answer.into_parts();
    let body = body.collect().await?;
    let trailers = body.trailers().cloned().unwrap_or_default();
    let fields = head.headers.iter().chain(&trailers);
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = fields.map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
    Ok(Response { status: head.status.as_u16(), headers, body: body.to_bytes().to_vec() })
}
