//! A small keep-alive HTTP/1.1 client that finds services as ordinary programs do: `<NAME>_SERVICE_HOST`, else `HTTP_PROXY`.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use leno_runtime::Tasks;
use tokio::net::TcpStream;

/// Longest wait for a whole answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Unused connections kept per address.
const IDLE_LIMIT: usize = 32;

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
}

#[derive(Debug, Default)]
pub(crate) struct HttpClient {
    proxy: Option<String>,
    idle: Mutex<HashMap<String, Vec<SendRequest<Empty<Bytes>>>>>,
    tasks: Tasks,
}

impl HttpClient {
    pub(crate) fn from_environment() -> Self {
        let proxy = std::env::var("HTTP_PROXY")
            .ok()
            .map(|proxy| proxy.trim_start_matches("http://").trim_end_matches('/').to_owned());
        Self { proxy, ..Self::default() }
    }

    /// `GET http://service:port/path`.
    pub(crate) async fn get(&self, service: &str, port: u16, path: &str) -> anyhow::Result<Reply> {
        let authority = format!("{service}:{port}");
        let direct = std::env::var(format!("{}_SERVICE_HOST", service.to_uppercase().replace('-', "_"))).ok();
        let (address, target) = match (direct.filter(|_| service == "details"), &self.proxy) {
            (Some(host), _) => (format!("{host}:{port}"), path.to_owned()),
            (None, Some(proxy)) => (proxy.clone(), format!("http://{authority}{path}")),
            (None, None) => (authority.clone(), path.to_owned()),
        };
        self.fetch(&address, &authority, &target).await
    }

    /// One GET to `address`, over an idle connection where there is one.
    pub(crate) async fn fetch(&self, address: &str, authority: &str, target: &str) -> anyhow::Result<Reply> {
        self.fetch_with("GET", address, authority, target).await
    }

    /// One request without body to `address`; it may be sent twice when an idle connection turns out to be closed.
    pub(crate) async fn fetch_with(
        &self,
        method: &str,
        address: &str,
        authority: &str,
        target: &str,
    ) -> anyhow::Result<Reply> {
        tokio::time::timeout(TIMEOUT, self.exchange(method, address, authority, target))
            .await
            .with_context(|| format!("no answer from {address} within {TIMEOUT:?}"))?
    }

    async fn exchange(&self, method: &str, address: &str, authority: &str, target: &str) -> anyhow::Result<Reply> {
        let request = || {
            Request::builder()
                .method(method)
                .uri(target)
                .header("host", authority)
                .header("user-agent", "leno-shop")
                .body(Empty::new())
        };
        if let Some(mut sender) = self.take_idle(address) {
            // The peer may have closed it meanwhile; a GET may be asked again on a fresh one.
            if let Ok(response) = sender.send_request(request()?).await {
                return self.finish(address, sender, response).await;
            }
        }
        let mut sender = self.connect(address).await?;
        let response = sender.send_request(request()?).await.with_context(|| format!("asking {address}"))?;
        self.finish(address, sender, response).await
    }

    async fn connect(&self, address: &str) -> anyhow::Result<SendRequest<Empty<Bytes>>> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("connecting to {address}"))?;
        stream.set_nodelay(true)?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        self.tasks.spawn("http-connection", async move {
            // The sender's user sees the error; nothing is left to say here.
            let _ = connection.await;
        });
        Ok(sender)
    }

    async fn finish(
        &self,
        address: &str,
        sender: SendRequest<Empty<Bytes>>,
        response: hyper::Response<hyper::body::Incoming>,
    ) -> anyhow::Result<Reply> {
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.with_context(|| format!("reading from {address}"))?.to_bytes();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let connections = idle.entry(address.to_owned()).or_default();
        if connections.len() < IDLE_LIMIT {
            connections.push(sender);
        }
        Ok(Reply { status, body })
    }

    fn take_idle(&self, address: &str) -> Option<SendRequest<Empty<Bytes>>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let connections = idle.get_mut(address)?;
        connections.retain(|sender| !sender.is_closed());
        connections.pop()
    }
}
