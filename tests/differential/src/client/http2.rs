//! HTTP/2 of the client.

use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Reason, RecvStream};
use serde_json::{Value, json};
use tokio::task::AbortHandle;

use super::{Message, body_value, grouped, plain};
use crate::file::Request;
use crate::share::{Replay, map, pairs, send_all};
use crate::stream::{Headers, Stream};

pub(crate) struct Client {
    send: SendRequest<Bytes>,
    driver: AbortHandle,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Client {
    pub(super) async fn connect(stream: Stream) -> Result<Self, h2::Error> {
        let (send, connection) = h2::client::handshake(Replay::new(stream)).await?;
        #[allow(clippy::disallowed_methods, reason = "it ends with the client")]
        let driver = tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(Self { send, driver: driver.abort_handle() })
    }

    pub(super) async fn exchange(&mut self, request: &Request, message: &Message) -> anyhow::Result<Value> {
        match self.try_exchange(request, message).await {
            Err(error) => match error.downcast::<h2::Error>() {
                Ok(error) => Ok(json!({ "failed": describe(&error) })),
                Err(error) => Err(error),
            },
            answer => answer,
        }
    }

    async fn try_exchange(&mut self, request: &Request, message: &Message) -> anyhow::Result<Value> {
        let scheme = if request.tls.is_some() { "https" } else { "http" };
        let uri = format!("{scheme}://{}{}", request.host, request.path);
        let mut head = http::Request::builder().method(request.method.as_str()).uri(uri).body(())?;
        *head.headers_mut() = map(&message.headers)?;
        if !message.body.is_empty() && !request.chunked && message.trailers.is_empty() {
            head.headers_mut().insert("content-length", message.body.len().into());
        }
        if let Some(protocol) = &request.tunnel {
            return self.tunnel(head, protocol, message).await;
        }
        let has_trailers = !message.trailers.is_empty();
        let ends = message.body.is_empty() && !has_trailers && request.body_after_ms.is_none();
        std::future::poll_fn(|context| self.send.poll_ready(context)).await?;
        let (mut response, mut stream) = self.send.send_request(head, ends)?;
        if !ends {
            if let Some(pause) = request.body_after_ms {
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
            // A proxy that answers early stops the body; its answer is read below.
            let _ = send_all(&mut stream, &message.body, !has_trailers).await;
            if has_trailers {
                let _ = stream.send_trailers(map(&message.trailers)?);
            }
        }
        if let Some(after) = request.abort_ms {
            let answered = tokio::time::timeout(Duration::from_millis(after), &mut response).await.is_ok();
            stream.send_reset(Reason::CANCEL);
            // The reset must arrive before the connection ends.
            tokio::time::sleep(Duration::from_millis(50)).await;
            return Ok(json!({ "aborted": true, "answered": answered }));
        }
        let mut infos = Vec::new();
        while let Some(info) = std::future::poll_fn(|context| response.poll_informational(context)).await {
            infos.push(info?.status().as_u16());
        }
        let (parts, body) = response.await?.into_parts();
        let (body, trailers, cut) = read(body).await;
        let encoding = parts.headers.get("content-encoding").and_then(|value| value.to_str().ok());
        Ok(json!({
            "status": parts.status.as_u16(),
            "headers": grouped(&pairs(&parts.headers)),
            "body": body_value(&plain(encoding, &body)),
            "is_cut": cut.is_some(),
            "trailers": grouped(&trailers),
            "informational": infos,
            "connection": cut.unwrap_or_else(|| "open".to_owned()),
        }))
    }
}

impl Client {
    async fn tunnel(
        &mut self,
        mut head: http::Request<()>,
        protocol: &str,
        message: &Message,
    ) -> anyhow::Result<Value> {
        *head.method_mut() = http::Method::CONNECT;
        head.headers_mut().remove("content-length");
        if protocol.is_empty() {
            let authority = head.uri().authority().map(ToString::to_string).unwrap_or_default();
            *head.uri_mut() = http::Uri::builder().authority(authority).build()?;
        } else {
            head.extensions_mut().insert(h2::ext::Protocol::from(protocol));
        }
        std::future::poll_fn(|context| self.send.poll_ready(context)).await?;
        let (response, mut stream) = self.send.send_request(head, false)?;
        let (parts, mut body) = response.await?.into_parts();
        let mut heard = Vec::new();
        if parts.status.is_success() {
            let _ = send_all(&mut stream, &message.body, false).await;
            while heard.len() < message.body.len() {
                let Some(Ok(data)) = body.data().await else { break };
                let _ = body.flow_control().release_capacity(data.len());
                heard.extend_from_slice(&data);
            }
            let _ = stream.send_data(Bytes::new(), true);
        }
        let (rest, trailers, cut) = read(body).await;
        heard.extend(rest);
        Ok(json!({
            "status": parts.status.as_u16(),
            "headers": grouped(&pairs(&parts.headers)),
            "body": body_value(&heard),
            "trailers": grouped(&trailers),
            "connection": cut.unwrap_or_else(|| "open".to_owned()),
        }))
    }
}

async fn read(mut body: RecvStream) -> (Vec<u8>, Headers, Option<String>) {
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await {
        match data {
            Ok(data) => {
                let _ = body.flow_control().release_capacity(data.len());
                bytes.extend_from_slice(&data);
            }
            Err(error) => return (bytes, Headers::new(), Some(describe(&error))),
        }
    }
    match body.trailers().await {
        Ok(trailers) => (bytes, trailers.map(|trailers| pairs(&trailers)).unwrap_or_default(), None),
        Err(error) => (bytes, Headers::new(), Some(describe(&error))),
    }
}

fn describe(error: &h2::Error) -> String {
    let kind = if error.is_reset() {
        "reset"
    } else if error.is_go_away() {
        "goaway"
    } else {
        "error"
    };
    match error.reason() {
        Some(reason) => format!("{kind} {reason:?}"),
        None => "closed".to_owned(),
    }
}
