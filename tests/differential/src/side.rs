//! One proxy with its origins and its directory, and the steps of a case against it.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use leno_e2e::{Sandbox, StaticProxy};
use serde_json::{Value, json};

use crate::certificates::Certificates;
use crate::client::{Connection, Target, Used, exchange, open, talk};
use crate::file::{Admin, BodyOf, Case, CaseFile, Raw, Request, STEP_LIMIT, Step};
use crate::instrument::instrument;
use crate::normal::Names;
use crate::origin::Origins;

pub(crate) struct Side {
    pub(crate) sandbox: Sandbox,
    pub(crate) proxy: StaticProxy,
    pub(crate) origins: Origins,
    pub(crate) file: CaseFile,
    pub(crate) names: Names,
    certificates: Arc<Certificates>,
    clients: Used,
}

/// What a step came to, and how to find what it left in logs and at origins.
#[derive(Clone, Debug)]
pub(crate) struct StepOutcome {
    pub(crate) id: String,
    /// The client's address, where the step has one of its own.
    pub(crate) peer: Option<String>,
    /// Lines of the access log that belong to it.
    pub(crate) log: usize,
    /// Its requests are looked up at the origins.
    pub(crate) has_arrivals: bool,
    pub(crate) has_spelling: bool,
    pub(crate) value: Value,
}

/// By Envoy's name.
pub(crate) type Counters = BTreeMap<String, i64>;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Leno,
    Envoy,
}

/// Text of a case file with ports and paths filled in.
///
/// # Errors
/// Names what is not known.
pub(crate) fn fill(text: &str, port: impl Fn(&str) -> Option<u16>, directory: &Path) -> anyhow::Result<String> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, after) = after.split_once('}').context("a placeholder has no end")?;
        filled.push_str(before);
        match name.split_once(':') {
            Some(("port", origin)) => {
                let port = port(origin).with_context(|| format!("no origin is called {origin}"))?;
                filled.push_str(&port.to_string());
            }
            Some(("session", origin)) => {
                let port = port(origin).with_context(|| format!("no origin is called {origin}"))?;
                filled.push_str(&STANDARD.encode(session(&format!("127.0.0.1:{port}"))));
            }
            Some(("address64", origin)) => {
                let port = port(origin).with_context(|| format!("no origin is called {origin}"))?;
                filled.push_str(&STANDARD.encode(format!("127.0.0.1:{port}")));
            }
            Some(("file", file)) => filled.push_str(&directory.join(file).to_string_lossy()),
            // Filled in by the steps themselves.
            None if name == "id" => filled.push_str("${id}"),
            None if name == "log" => filled.push_str(&directory.join("access.log").to_string_lossy()),
            _ => anyhow::bail!("${{{name}}} is no placeholder"),
        }
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

/// The start of the field that says how long a session lasts.
const UNTIL: &[u8] = &[0x10];

/// What a session cookie of Envoy's says that has no end (its message `envoy.Cookie`).
fn session(address: &str) -> Vec<u8> {
    let length = u8::try_from(address.len()).unwrap_or(u8::MAX);
    [&[0x0a, length], address.as_bytes()].concat()
}

impl Side {
    /// # Errors
    /// When the proxy does not serve the file.
    pub(crate) async fn start(
        kind: Kind,
        text: &str,
        envoy: &Path,
        certificates: Arc<Certificates>,
    ) -> anyhow::Result<Self> {
        let sandbox = Sandbox::new()?;
        let directory = sandbox.directory().to_owned();
        certificates.write(&directory)?;
        let specs = parse(&fill(text, |_| Some(0), &directory)?)?;
        let origins = Origins::start(&specs.origins, &certificates, &directory.join("access.log")).await?;
        let mut file = parse(&fill(text, |name| origins.ports.get(name).copied(), &directory)?)?;
        instrument(&mut file.bootstrap, &directory.join("access.log").to_string_lossy());
        for (name, text) in &file.files {
            sandbox.write(name, text)?;
        }
        let bootstrap = sandbox.write("bootstrap.json", &serde_json::to_string_pretty(&file.bootstrap)?)?;
        let envoy = envoy.to_owned();
        let started = tokio::task::spawn_blocking(move || {
            let proxy = match kind {
                Kind::Leno => sandbox.leno(&bootstrap),
                Kind::Envoy => sandbox.envoy(&envoy, &bootstrap),
            };
            (sandbox, proxy)
        });
        let (sandbox, proxy) = started.await?;
        let proxy = proxy?;
        let mut names = Names::default();
        for (name, address) in &proxy.listeners {
            names.add(address, format!("(listener {name})"));
        }
        for (name, port) in &origins.ports {
            let address = specs.origins.get(name).and_then(|spec| spec.address.as_deref()).unwrap_or("127.0.0.1");
            let session = session(&format!("{address}:{port}"));
            names.add(STANDARD.encode(&session), format!("(session at {name})"));
            names.add_time(STANDARD.encode([&session[..], UNTIL].concat()), format!("(session at {name}, until"));
            names.add(STANDARD.encode(format!("{address}:{port}")), format!("(address of {name})"));
            names.add(format!("{address}:{port}"), format!("(origin {name})"));
        }
        names.add(&proxy.admin, "(admin)");
        names.add(directory.to_string_lossy(), "(directory)");
        Ok(Self { sandbox, proxy, origins, file, names, certificates, clients: Used::default() })
    }

    /// All steps of a case; a step that fails as a whole ends it.
    pub(crate) async fn run(&self, at: usize, case: &Case) -> Vec<StepOutcome> {
        let mut connections = HashMap::new();
        let mut outcomes = Vec::new();
        for (step_at, step) in case.all_steps().iter().enumerate() {
            let id = format!("{at}.{step_at}");
            let outcome =
                StepOutcome { id, peer: None, log: 0, has_arrivals: false, has_spelling: false, value: Value::Null };
            let outcome = match tokio::time::timeout(STEP_LIMIT, self.step(step, outcome.clone(), &mut connections))
                .await
            {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(error)) => StepOutcome { value: json!({ "error": format!("{error:#}") }), ..outcome },
                Err(_) => StepOutcome { value: json!({ "error": format!("not within {STEP_LIMIT:?}") }), ..outcome },
            };
            outcomes.push(outcome);
        }
        outcomes
    }

    async fn step(
        &self,
        step: &Step,
        mut outcome: StepOutcome,
        connections: &mut HashMap<String, Option<Connection>>,
    ) -> anyhow::Result<StepOutcome> {
        match step {
            Step::Request(request) if request.repeat + request.parallel > 0 => {
                outcome.value = json!({ "counts": self.many(request, &outcome.id).await? });
            }
            Step::Request(request) => {
                outcome.log = request.log;
                (outcome.has_arrivals, outcome.has_spelling) = (true, request.spelling);
                outcome.value = match &request.until {
                    Some(until) => self.until(request, until, &outcome.id).await?,
                    None => self.request(request, &outcome.id, connections, &mut outcome.peer).await?,
                };
                if request.until.is_some() {
                    (outcome.log, outcome.has_arrivals) = (0, false);
                }
            }
            Step::Raw(raw) => {
                outcome.log = raw.log;
                outcome.has_arrivals = true;
                outcome.value = self.raw(raw, &outcome.id, &mut outcome.peer).await?;
            }
            Step::Admin(admin) => outcome.value = self.admin(admin).await?,
            Step::Origin(set) => {
                self.origins.set(&set.name, &set.behaviour)?;
            }
            Step::File(file) => {
                // Renamed into place, as those who replace certificates do.
                let new = self.sandbox.write(&format!("{}.new", file.name), &file.text)?;
                std::fs::rename(new, self.sandbox.directory().join(&file.name))?;
            }
        }
        Ok(outcome)
    }

    /// How the proxy ended, if it has, and the end of what it said.
    pub(crate) fn ended(&mut self) -> Option<String> {
        let status = self.proxy.ended()?;
        let log = self.sandbox.directory().join(format!("{}.log", self.proxy.name));
        let log = std::fs::read_to_string(log).unwrap_or_default();
        let mut last: Vec<_> = log.lines().rev().take(20).collect();
        last.reverse();
        Some(format!("{} ended with {status}:\n{}", self.proxy.name, last.join("\n")))
    }

    fn address(&self, listener: Option<&str>) -> anyhow::Result<&str> {
        match listener {
            Some(name) => {
                let address = self.proxy.listeners.get(name);
                Ok(address.with_context(|| format!("no listener is called {name}"))?)
            }
            None => {
                // The order of listeners differs between the proxies; the file's counts.
                let first = self.file.bootstrap.pointer("/static_resources/listeners/0/name").and_then(Value::as_str);
                Ok(first.and_then(|name| self.proxy.listeners.get(name)).unwrap_or(&self.proxy.address))
            }
        }
    }

    async fn request(
        &self,
        request: &Request,
        id: &str,
        connections: &mut HashMap<String, Option<Connection>>,
        peer: &mut Option<String>,
    ) -> anyhow::Result<Value> {
        let mut own = None;
        let (slot, is_new) = match &request.connection {
            None => (&mut own, true),
            Some(name) => {
                let is_new = !connections.contains_key(name);
                (connections.entry(name.clone()).or_default(), is_new)
            }
        };
        let mut stream = None;
        let mut tls = Value::Null;
        if is_new {
            let target = Target {
                address: self.address(request.listener.as_deref())?,
                from: request.from.as_deref(),
                prefix: request.prefix.as_deref(),
                tls: request.tls.as_ref(),
                used: &self.clients,
            };
            let opened = open(&target, &self.certificates).await?;
            *peer = opened.local.map(|local| local.to_string());
            tls = opened.tls;
            match opened.stream {
                Ok(opened) => stream = Some(opened),
                Err(why) => return Ok(json!({ "connect": why, "tls": tls })),
            }
        }
        let answer = exchange(slot, stream, request, id).await?;
        let mut value = json!({ "answer": answer });
        if !tls.is_null() {
            value["tls"] = tls;
        }
        Ok(value)
    }

    async fn once(&self, request: &Request, id: &str) -> anyhow::Result<Value> {
        self.request(request, id, &mut HashMap::new(), &mut None).await
    }

    /// How many of many requests came to what.
    async fn many(&self, request: &Request, id: &str) -> anyhow::Result<BTreeMap<String, usize>> {
        let by = request.by.as_deref().unwrap_or("x-origin");
        let key = |answer: &Value| {
            let answer = &answer["answer"];
            let value = match by {
                "status" => &answer["status"],
                "origin" => &answer["headers"]["x-origin"],
                name => &answer["headers"][name],
            };
            value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
        };
        let mut counts = BTreeMap::new();
        let mut connections = HashMap::new();
        for _ in 0..request.repeat {
            let answer = self.request(request, id, &mut connections, &mut None).await?;
            *counts.entry(key(&answer)).or_default() += 1;
        }
        let all = (0..request.parallel).map(|_| self.once(request, id));
        for answer in futures_util::future::join_all(all).await {
            *counts.entry(key(&answer?)).or_default() += 1;
        }
        Ok(counts)
    }

    #[allow(clippy::disallowed_methods, reason = "asking another process again needs a pause")]
    async fn until(&self, request: &Request, until: &str, id: &str) -> anyhow::Result<Value> {
        let (name, wanted) = until.split_once(':').unwrap_or(("status", until));
        let wanted = wanted.trim();
        let deadline = Instant::now() + STEP_LIMIT / 2;
        loop {
            let value = self.once(request, id).await?;
            let answer = &value["answer"];
            let is_there = match name {
                "status" => answer["status"].as_u64() == wanted.parse().ok(),
                "certificate" => value["tls"]["certificate"] == wanted,
                "body" => answer["body"].as_str().is_some_and(|body| body.contains(wanted)),
                name => answer["headers"][name] == wanted,
            };
            if is_there || Instant::now() > deadline {
                return Ok(value);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn raw(&self, raw: &Raw, id: &str, peer: &mut Option<String>) -> anyhow::Result<Value> {
        let target = Target {
            address: self.address(raw.listener.as_deref())?,
            from: raw.from.as_deref(),
            prefix: raw.prefix.as_deref(),
            tls: raw.tls.as_ref(),
            used: &self.clients,
        };
        let opened = open(&target, &self.certificates).await?;
        *peer = opened.local.map(|local| local.to_string());
        let mut value = match opened.stream {
            Ok(stream) => json!({ "answer": talk(stream, &raw.talk, id).await? }),
            Err(why) => json!({ "connect": why }),
        };
        if !opened.tls.is_null() {
            value["tls"] = opened.tls;
        }
        Ok(value)
    }

    #[allow(clippy::disallowed_methods, reason = "asking another process again needs a pause")]
    async fn admin(&self, admin: &Admin) -> anyhow::Result<Value> {
        let deadline = Instant::now() + STEP_LIMIT / 2;
        loop {
            let (address, method, path) = (self.proxy.admin.clone(), admin.method.clone(), admin.path.clone());
            let asked = tokio::task::spawn_blocking(move || leno_e2e::request(&address, &method, &path, &[], b""));
            let answer = asked.await??;
            let text = answer.text();
            let waits = admin.until.as_ref().is_some_and(|until| !text.contains(until));
            if waits && Instant::now() < deadline {
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
            let body = match admin.compare {
                BodyOf::Nothing => Value::Null,
                BodyOf::Text => json!(text),
                BodyOf::Json => answer.json().unwrap_or_else(|_| json!(text)),
                BodyOf::Shape => answer.json().map_or_else(|_| json!(text), |value| shape(&value)),
                BodyOf::Lines => {
                    let mut kept: Vec<_> =
                        text.lines().filter(|line| admin.lines.iter().any(|part| line.contains(part))).collect();
                    kept.sort_unstable();
                    json!(kept)
                }
            };
            return Ok(json!({ "admin": {
                "status": answer.status, "content-type": answer.header("content-type"), "body": body,
            }}));
        }
    }

    /// The counters that a case names.
    pub(crate) async fn stats(&self, case: &Case) -> Counters {
        if case.stats.is_empty() {
            return Counters::new();
        }
        let address = self.proxy.admin.clone();
        let asked = tokio::task::spawn_blocking(move || leno_e2e::request(&address, "GET", "/stats", &[], b""));
        let Ok(Ok(answer)) = asked.await else { return Counters::new() };
        let text = answer.text();
        let all: HashMap<_, _> = text.lines().filter_map(|line| line.split_once(": ")).collect();
        let value = |name: &String| Some((name.clone(), all.get(name.as_str())?.parse().ok()?));
        case.stats.iter().filter_map(value).collect()
    }
}

/// # Errors
/// When it is no case file.
pub(crate) fn parse(text: &str) -> anyhow::Result<CaseFile> {
    let value: Value = serde_saphyr::from_str(text).map_err(|error| anyhow::anyhow!("{error}"))?;
    Ok(serde_json::from_value(value)?)
}

/// Names and kinds of a JSON value; of a list, its first member.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut shaped: serde_json::Map<_, _> =
                map.iter().map(|(name, value)| (name.clone(), shape(value))).collect();
            shaped.sort_keys();
            Value::Object(shaped)
        }
        Value::Array(values) => values.first().map_or_else(|| json!([]), |first| json!([shape(first)])),
        Value::String(_) => json!("text"),
        Value::Number(_) => json!("number"),
        Value::Bool(_) => json!("bool"),
        Value::Null => Value::Null,
    }
}
