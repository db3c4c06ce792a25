//! A request through a gateway, and what must come of it.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use leno_e2e::{Caller, Response, request};
use serde::Deserialize;
use serde_json::Value;

use crate::site::Site;

type Headers = BTreeMap<String, String>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ask {
    #[serde(default)]
    gateway: String,
    /// In place of a gateway: the workload that asks, and whom.
    from: Option<String>,
    to: Option<String>,
    /// Whose port is asked; the first one's unless said.
    listener: Option<String>,
    /// With TLS, and this server name.
    sni: Option<String>,
    /// Shown in TLS: that of a Secret.
    certificate: Option<String>,
    /// The connection or its handshake is refused.
    #[serde(default)]
    refused: bool,
    #[serde(default)]
    http2: bool,
    host: Option<String>,
    path: String,
    /// Like no request before.
    #[serde(default)]
    unique: bool,
    method: Option<String>,
    #[serde(default)]
    headers: Headers,
    #[serde(default)]
    body: String,
    /// Headers that the backend is to answer with.
    #[serde(default)]
    echo: Headers,
    /// Any of them.
    status: Vec<u16>,
    backend: Option<String>,
    /// What the backend sees where that is not what was asked.
    seen: Option<Seen>,
    #[serde(default)]
    answer: Answer,
    redirect: Option<Redirect>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seen {
    host: Option<String>,
    path: Option<String>,
    method: Option<String>,
    #[serde(default)]
    headers: Headers,
    #[serde(default)]
    absent: Vec<String>,
    sni: Option<String>,
    /// Of a Secret.
    certificate: Option<String>,
    protocol: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Answer {
    #[serde(default)]
    headers: Headers,
    #[serde(default)]
    one_of: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    absent: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Redirect {
    scheme: Option<String>,
    host: Option<String>,
    port: Option<String>,
    path: Option<String>,
}

impl Ask {
    pub(crate) fn is_answered(&self, site: &mut Site) -> anyhow::Result<()> {
        self.answer_of(site).map(drop)
    }

    /// What came back, when it is what must come. The path is the one that was asked.
    pub(crate) fn answer_of(&self, site: &mut Site) -> anyhow::Result<(Response, String)> {
        let address = match &self.from {
            Some(pod) => site.seen_from(pod, self.to.as_ref().or(self.host.as_ref()).context("nobody is asked")?)?,
            None => {
                let port = site.port(&self.gateway, self.listener.as_deref())?;
                format!("{}:{port}", site.gateway(&self.gateway)?)
            }
        };
        let mut path = self.path.clone();
        if self.unique {
            path += &format!("{}id={}", if path.contains('?') { "&" } else { "?" }, site.unique());
        }
        let response = self.send(&address, &path, site);
        if self.refused {
            ensure!(response.is_err(), "{} was answered", self.words());
            return Ok((Response { status: 0, headers: Vec::new(), body: Vec::new() }, path));
        }
        let response = response.with_context(|| self.words())?;
        let checked = self.check(&response, &address, &path, site);
        checked.with_context(|| format!("{} answered {}", self.words(), response.status))?;
        Ok((response, path))
    }

    fn words(&self) -> String {
        let host = self.host.as_deref().unwrap_or_default();
        format!("{} {host}{}", self.method.as_deref().unwrap_or("GET"), self.path)
    }

    fn send(&self, address: &str, path: &str, site: &Site) -> anyhow::Result<Response> {
        let echo: Vec<_> = self.echo.iter().map(|(name, value)| format!("{name}:{value}")).collect();
        let echo = echo.join(",");
        let mut headers: Vec<_> = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        headers.extend(self.host.as_deref().map(|host| ("host", host)));
        if !echo.is_empty() {
            headers.push(("x-echo-set-header", &echo));
        }
        let method = self.method.as_deref().unwrap_or("GET");
        if self.sni.is_none() && !self.http2 {
            return request(address, method, path, &headers, self.body.as_bytes());
        }
        let certificate = self.certificate.as_ref().map(|secret| site.certificate(secret)).transpose()?;
        let caller = Caller { address, server_name: self.sni.as_deref(), certificate: certificate.as_ref() };
        caller.request(self.http2, method, path, &headers, self.body.as_bytes())
    }

    fn check(&self, response: &Response, address: &str, path: &str, site: &Site) -> anyhow::Result<()> {
        ensure!(self.status.contains(&response.status), "not {:?}", self.status);
        if let Some(wanted) = &self.redirect {
            wanted.check(response, self, address)?;
        }
        let all = |name: &str| {
            let values: Vec<_> =
                response.headers.iter().filter(|(key, _)| key == name).map(|(_, v)| v.as_str()).collect();
            (!values.is_empty()).then(|| values.join(","))
        };
        let tight = |text: &str| text.replace(' ', "");
        for (name, value) in &self.answer.headers {
            let said = all(name).with_context(|| format!("no {name} in the answer"))?;
            ensure!(tight(&said) == tight(value), "{name} of the answer is {said}, not {value}");
        }
        for (name, values) in &self.answer.one_of {
            let said = all(name).with_context(|| format!("no {name} in the answer"))?;
            ensure!(values.iter().any(|value| tight(value) == tight(&said)), "{name} is {said}, none of {values:?}");
        }
        for name in &self.answer.absent {
            ensure!(all(name).is_none(), "{name} is in the answer: {:?}", all(name));
        }
        if response.status == 200 && self.backend.is_some() {
            self.check_seen(&response.json()?, path, site)?;
        }
        Ok(())
    }

    fn check_seen(&self, saw: &Value, asked: &str, site: &Site) -> anyhow::Result<()> {
        let backend = saw["app"].as_str().unwrap_or_default();
        let wanted = self.backend.as_deref().unwrap_or_default();
        ensure!(backend == wanted, "{backend} was reached, not {wanted}");
        let none = Seen::default();
        let seen = self.seen.as_ref().unwrap_or(&none);
        let is_as_asked = self.seen.is_none();
        let path = seen.path.as_deref().filter(|_| !self.unique).unwrap_or(asked);
        ensure!(saw["path"] == path, "the backend saw path {}, not {path}", saw["path"]);
        let method = seen.method.as_deref().or(self.method.as_deref().filter(|_| is_as_asked)).unwrap_or("GET");
        ensure!(saw["method"] == method, "the backend saw method {}", saw["method"]);
        if let Some(host) = seen.host.as_ref().or(self.host.as_ref().filter(|_| is_as_asked)) {
            ensure!(saw["headers"]["host"] == host.as_str(), "the backend saw host {}", saw["headers"]["host"]);
        }
        for (name, value) in if is_as_asked { &self.headers } else { &seen.headers } {
            let said = &saw["headers"][name.as_str()];
            ensure!(*said == value.as_str(), "the backend saw {name}: {said}, not {value}");
        }
        for name in &seen.absent {
            ensure!(saw["headers"][name.as_str()].is_null(), "the backend saw {name}");
        }
        for (name, wanted) in [("sni", &seen.sni), ("protocol", &seen.protocol)] {
            if let Some(wanted) = wanted {
                ensure!(saw[name] == wanted.as_str(), "the backend saw {name} {}, not {wanted}", saw[name]);
            }
        }
        if let Some(secret) = &seen.certificate {
            let own = site.certificate(secret)?;
            let tight = |text: &str| text.split_whitespace().collect::<String>();
            let shown = saw["certificate"].as_str().context("no certificate was shown")?;
            ensure!(tight(shown) == tight(&own.chain), "another certificate was shown: {shown}");
        }
        Ok(())
    }
}

impl Redirect {
    fn check(&self, response: &Response, ask: &Ask, address: &str) -> anyhow::Result<()> {
        let location = response.header("location").context("no location")?;
        let (scheme, rest) = location.split_once("://").context("a location without scheme")?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = authority.rsplit_once(':').unwrap_or((authority, ""));
        let default = if scheme == "https" { "443" } else { "80" };
        // What is not said is as it was asked.
        let asked = if ask.sni.is_some() { "https" } else { "http" };
        ensure!(scheme == self.scheme.as_deref().unwrap_or(asked), "scheme of {location}");
        let own = address.split(':').next().unwrap_or_default();
        let asked = ask.host.as_deref().unwrap_or(own);
        ensure!(host == self.host.as_deref().unwrap_or(asked), "host of {location}");
        let is_port = self.port.as_deref().map_or(port.is_empty() || port == default, |wanted| wanted == port);
        ensure!(is_port, "port of {location}, not {:?}", self.port);
        ensure!(path == self.path.as_deref().unwrap_or(&ask.path), "path of {location}");
        Ok(())
    }
}
