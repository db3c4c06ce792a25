//! What a case file says. `README.md` explains it to its authors.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CaseFile {
    /// One line for the table of the areas.
    pub(crate) about: String,
    #[serde(default)]
    pub(crate) origins: BTreeMap<String, OriginSpec>,
    /// Files in the directory before the proxy starts, by name.
    #[serde(default)]
    pub(crate) files: BTreeMap<String, String>,
    pub(crate) bootstrap: Value,
    /// Path of a difference to the reason why it is accepted, in any case of the file.
    #[serde(default)]
    pub(crate) accept: BTreeMap<String, String>,
    pub(crate) cases: Vec<Case>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct OriginSpec {
    /// Nobody listens at its port.
    pub(crate) closed: bool,
    /// A name server: its names are what it does.
    pub(crate) dns: bool,
    /// `echo` or `report` instead of HTTP.
    pub(crate) tcp: Option<String>,
    /// Name of the certificate it shows.
    pub(crate) tls: Option<String>,
    pub(crate) alpn: Vec<String>,
    /// Asks for a client certificate; its name is reported.
    pub(crate) ask_client: bool,
    /// What it does unless the request says.
    #[serde(rename = "do")]
    pub(crate) behaviour: String,
    /// Reads a PROXY header first, and reports it without its ports.
    pub(crate) proxy: bool,
    /// Is an access log service too, Envoy's and OpenTelemetry's; entries become lines of the access log.
    pub(crate) log_service: bool,
    /// Address it listens on.
    pub(crate) address: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) steps: Vec<Step>,
    /// A case of one step.
    pub(crate) request: Option<Request>,
    pub(crate) raw: Option<Raw>,
    pub(crate) refuse: Option<Refuse>,
    pub(crate) admin: Option<Admin>,
    #[serde(default)]
    pub(crate) accept: BTreeMap<String, String>,
    /// Counters of which the growth is compared, by Envoy's name.
    #[serde(default)]
    pub(crate) stats: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Step {
    Request(Box<Request>),
    Raw(Raw),
    Admin(Admin),
    Origin(SetOrigin),
    File(WriteFile),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    pub(crate) listener: Option<String>,
    /// `h1`, unless it is `h2`.
    #[serde(default)]
    pub(crate) protocol: Protocol,
    #[serde(default = "get")]
    pub(crate) method: String,
    #[serde(default = "root")]
    pub(crate) path: String,
    #[serde(default = "host")]
    pub(crate) host: String,
    /// `name: value` each, as they are sent.
    #[serde(default)]
    pub(crate) headers: Vec<String>,
    /// What the origin shall do.
    #[serde(rename = "do", default)]
    pub(crate) behaviour: String,
    #[serde(default)]
    pub(crate) body: String,
    /// Instead of `body`: that many bytes.
    #[serde(default)]
    pub(crate) body_size: usize,
    /// Sent in two chunks, without a length.
    #[serde(default)]
    pub(crate) chunked: bool,
    #[serde(default)]
    pub(crate) trailers: Vec<String>,
    pub(crate) tls: Option<Tls>,
    /// Address of the client.
    pub(crate) from: Option<String>,
    /// Sent before anything else, before TLS too.
    pub(crate) prefix: Option<String>,
    /// Steps of a case with the same name share a connection.
    pub(crate) connection: Option<String>,
    /// That many times, one after the other, and the shares of the answers are compared.
    #[serde(default)]
    pub(crate) repeat: usize,
    /// Of `repeat` and `parallel`: `origin` (the default), `status`, or the name of a header.
    pub(crate) by: Option<String>,
    /// The counts must be the same, not only likely.
    #[serde(default)]
    pub(crate) exact: bool,
    /// That many at once on connections of their own; counted as `repeat` is, and exact.
    #[serde(default)]
    pub(crate) parallel: usize,
    /// Asked again until the answer has it: status, or `name: value` of a header, or `body: text`.
    pub(crate) until: Option<String>,
    /// The client goes away after that many milliseconds.
    pub(crate) abort_ms: Option<u64>,
    /// The body follows after that many milliseconds.
    pub(crate) body_after_ms: Option<u64>,
    /// Lines of the access log that are waited for.
    #[serde(default = "one")]
    pub(crate) log: usize,
    /// In HTTP/2: asks for a tunnel of that protocol (RFC 8441), empty for a plain `CONNECT`; then says its body, hears as
    /// much, and ends.
    pub(crate) tunnel: Option<String>,
    /// The names of headers are compared as they were written.
    #[serde(default)]
    pub(crate) spelling: bool,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Protocol {
    #[default]
    H1,
    H2,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Tls {
    pub(crate) sni: Option<String>,
    pub(crate) alpn: Vec<String>,
    /// Name of the client's certificate.
    pub(crate) client: Option<String>,
    /// `1.2` or `1.3`.
    pub(crate) version: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Raw {
    pub(crate) listener: Option<String>,
    pub(crate) tls: Option<Tls>,
    pub(crate) from: Option<String>,
    pub(crate) prefix: Option<String>,
    pub(crate) talk: Vec<Talk>,
    /// Lines of the access log that are waited for.
    #[serde(default)]
    pub(crate) log: usize,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Talk {
    Send(String),
    /// Bytes in hexadecimal.
    SendHex(String),
    /// So many bytes `x`.
    SendSize(usize),
    /// Reads until this text was seen.
    Receive(String),
    ReceiveSize(usize),
    /// Reads until the peer ends the connection.
    Rest,
    /// Ends the sending side.
    Finish,
    Reset,
    PauseMs(u64),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Admin {
    pub(crate) path: String,
    #[serde(default = "get")]
    pub(crate) method: String,
    /// Asked again until the body has this.
    pub(crate) until: Option<String>,
    /// What is compared of the body.
    #[serde(default)]
    pub(crate) compare: BodyOf,
    /// Lines to keep, when `compare` is `lines`.
    #[serde(default)]
    pub(crate) lines: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BodyOf {
    #[default]
    Text,
    /// Status and content type only.
    Nothing,
    /// Lines that contain one of the given texts, sorted.
    Lines,
    Json,
    /// Of a JSON value: names and kinds.
    Shape,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetOrigin {
    pub(crate) name: String,
    #[serde(rename = "do", default)]
    pub(crate) behaviour: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WriteFile {
    pub(crate) name: String,
    pub(crate) text: String,
}

/// The bootstrap with changes, which is not served but checked.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Refuse {
    /// JSON pointer to value.
    pub(crate) set: BTreeMap<String, Value>,
    /// Part of what Leno says; it may serve what Envoy refuses if this is empty and `leno_serves` is set.
    #[serde(default)]
    pub(crate) leno: String,
    /// Only Leno refuses: the field is not supported, and says so.
    #[serde(default)]
    pub(crate) envoy_serves: bool,
}

impl Case {
    /// # Errors
    /// When the case has no step.
    pub(crate) fn all_steps(&self) -> Vec<Step> {
        let mut steps = self.steps.clone();
        steps.extend(self.request.clone().map(|request| Step::Request(Box::new(request))));
        steps.extend(self.raw.clone().map(Step::Raw));
        steps.extend(self.admin.clone().map(Step::Admin));
        steps
    }
}

/// Longest that one step may take. Chosen: longer than any timeout a case waits for.
pub(crate) const STEP_LIMIT: Duration = Duration::from_secs(20);

fn get() -> String {
    "GET".to_owned()
}

fn root() -> String {
    "/".to_owned()
}

fn host() -> String {
    "a.test".to_owned()
}

fn one() -> usize {
    1
}
