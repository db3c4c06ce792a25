use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use http::{Method, Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// To find a machine that does not answer. Chosen.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A large apply compiles the whole mesh. Chosen.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// A longer line is no watch event.
const LINE_LIMIT_BYTES: usize = 16 << 20;

/// What a server says instead of an answer.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: http::StatusCode,
    message: String,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.message, self.status)
    }
}

impl std::error::Error for Refusal {}

/// Calls of a JSON API over HTTP/1.1, one connection each. Errors carry what the server says.
#[derive(Clone)]
pub struct ApiClient {
    /// `host:port`
    authority: String,
    token: String,
    /// The option that says where the server is.
    said_by: &'static str,
}

impl std::fmt::Debug for ApiClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiClient").field("authority", &self.authority).finish_non_exhaustive()
    }
}

impl ApiClient {
    /// An empty token is not sent.
    ///
    /// # Errors
    /// The URL is not `http://host[:port]`.
    pub fn new(server_url: &str, token: &str) -> anyhow::Result<Self> {
        let rest = server_url.trim().trim_end_matches('/');
        let authority = match rest.split_once("://") {
            Some(("http", authority)) => authority,
            Some((scheme, _)) => bail!("{server_url}: {scheme} is not spoken, only http"),
            None => rest,
        };
        let parsed: http::uri::Authority =
            authority.parse().with_context(|| format!("{server_url} is no address: http://host:port is wanted"))?;
        let authority = if parsed.port().is_some() {
            authority.to_owned()
        } else {
            format!("{}:80", authority.trim_end_matches(':'))
        };
        Ok(Self { authority, token: token.to_owned(), said_by: "--server or LENO_SERVER" })
    }

    /// The admin interface of a proxy.
    ///
    /// # Errors
    /// As [`ApiClient::new`].
    pub(crate) fn of_proxy(admin: &str) -> anyhow::Result<Self> {
        Ok(Self { said_by: "--admin or LENO_ADMIN", ..Self::new(admin, "")? })
    }

    /// # Errors
    /// The server cannot be reached, or refuses.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.call(Method::GET, path, None).await
    }

    /// # Errors
    /// The server cannot be reached, or refuses.
    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.call(Method::POST, path, Some(("application/json", body.to_string()))).await
    }

    /// # Errors
    /// The server cannot be reached, or refuses.
    pub async fn post_text(&self, path: &str, text: &str) -> anyhow::Result<Value> {
        self.call(Method::POST, path, Some(("application/yaml", text.to_owned()))).await
    }

    /// # Errors
    /// The server cannot be reached, or refuses.
    pub async fn delete(&self, path: &str) -> anyhow::Result<Value> {
        self.call(Method::DELETE, path, None).await
    }

    /// Hands every line of an endless answer to `take`, until the server ends it or `take` fails.
    ///
    /// # Errors
    /// The server cannot be reached, refuses, or sends what is no JSON.
    pub async fn watch(&self, path: &str, mut take: impl FnMut(Value) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let request = self.request(Method::GET, path, None)?;
        self.exchange(request, async |response| {
            let mut body = accepted(response).await?;
            let mut buffer = Vec::new();
            while let Some(frame) = body.frame().await {
                let Ok(data) = frame.context("reading events")?.into_data() else { continue };
                buffer.extend_from_slice(&data);
                while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = buffer.drain(..=end).collect();
                    take(serde_json::from_slice(&line).context("an event is no JSON")?)?;
                }
                if buffer.len() > LINE_LIMIT_BYTES {
                    bail!("an event is longer than {LINE_LIMIT_BYTES} bytes");
                }
            }
            Ok(())
        })
        .await
    }

    async fn call(&self, method: Method, path: &str, body: Option<(&str, String)>) -> anyhow::Result<Value> {
        let request = self.request(method, path, body)?;
        let answer = self.exchange(request, async |response| {
            let bytes = accepted(response).await?.collect().await.context("reading the answer")?.to_bytes();
            if bytes.is_empty() {
                return Ok(Value::Null);
            }
            serde_json::from_slice(&bytes).with_context(|| format!("the answer to {path} is no JSON"))
        });
        tokio::time::timeout(ANSWER_TIMEOUT, answer)
            .await
            .map_err(|_| anyhow!("http://{} gave no answer within {} s", self.authority, ANSWER_TIMEOUT.as_secs()))?
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<(&str, String)>,
    ) -> anyhow::Result<Request<Full<Bytes>>> {
        let mut builder = Request::builder().method(method).uri(path).header(header::HOST, &self.authority);
        if !self.token.is_empty() {
            let mut value = header::HeaderValue::try_from(format!("Bearer {}", self.token))
                .context("the admin token holds characters that no token has")?;
            value.set_sensitive(true);
            builder = builder.header(header::AUTHORIZATION, value);
        }
        let (kind, text) = body.unwrap_or_default();
        if !kind.is_empty() {
            builder = builder.header(header::CONTENT_TYPE, kind);
        }
        builder.body(Full::new(Bytes::from(text))).with_context(|| format!("{path} cannot be asked for"))
    }

    /// The connection lives as long as `read` reads.
    async fn exchange<T>(
        &self,
        request: Request<Full<Bytes>>,
        read: impl AsyncFnOnce(Response<Incoming>) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let at =
            || format!("cannot reach http://{}; is it running there? ({} says where)", self.authority, self.said_by);
        let stream = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(&self.authority))
            .await
            .map_err(|_| anyhow!("no answer within {} s", CONNECT_TIMEOUT.as_secs()).context(at()))?
            .with_context(at)?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let work = async { read(sender.send_request(request).await.with_context(at)?).await };
        tokio::pin!(work, connection);
        let mut open = true;
        loop {
            tokio::select! {
                result = &mut work => return result,
                // Its error also reaches `work`.
                _ = &mut connection, if open => open = false,
            }
        }
    }
}

/// The body of a success; what the server says otherwise.
async fn accepted(response: Response<Incoming>) -> anyhow::Result<Incoming> {
    let status = response.status();
    if status.is_success() {
        return Ok(response.into_body());
    }
    let bytes = response.into_body().collect().await.context("reading the answer")?.to_bytes();
    let error: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let message = error["message"].as_str().map_or_else(|| String::from_utf8_lossy(&bytes).into_owned(), str::to_owned);
    Err(Refusal { status, message: message.trim().to_owned() }.into())
}
