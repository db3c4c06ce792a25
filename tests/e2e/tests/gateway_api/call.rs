//! Calls of gRPC and lines of TCP through a gateway, and what must come of them.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use leno_e2e::Caller;
use serde::Deserialize;
use serde_json::Value;

use crate::site::Site;

/// The service that upstream's servers have.
const SERVICE: &str = "/gateway_api_conformance.echo_basic.grpcecho.GrpcEcho";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Call {
    #[serde(default)]
    gateway: String,
    /// In place of a gateway: the workload that calls, and whom.
    from: Option<String>,
    to: Option<String>,
    listener: Option<String>,
    authority: Option<String>,
    method: String,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    /// gRPC's; none: any but 0.
    status: Option<u16>,
    backend: Option<String>,
    #[serde(default)]
    seen: BTreeMap<String, String>,
    #[serde(default)]
    absent: Vec<String>,
}

impl Call {
    pub(crate) fn is_answered(&self, site: &mut Site) -> anyhow::Result<Value> {
        let address = match &self.from {
            Some(pod) => site.seen_from(pod, self.to.as_ref().context("nobody is called")?)?,
            None => {
                let port = site.port(&self.gateway, self.listener.as_deref())?;
                format!("{}:{port}", site.gateway(&self.gateway)?)
            }
        };
        let mut headers: Vec<_> = self.metadata.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        headers.extend(self.authority.as_deref().map(|authority| ("host", authority)));
        let caller = Caller { address: &address, ..Caller::default() };
        let words = || format!("{} of {:?} with {:?}", self.method, self.authority, self.metadata);
        let answer = caller.grpc(&format!("{SERVICE}/{}", self.method), &headers).with_context(words)?;
        let is_right = self.status.map_or(answer.status != 0, |wanted| wanted == answer.status);
        ensure!(is_right, "{} gave {}, not {:?}", words(), answer.status, self.status);
        let saw = &answer.message;
        if let Some(backend) = &self.backend {
            ensure!(saw["app"] == backend.as_str(), "{} reached {}, not {backend}", words(), saw["app"]);
        }
        for (name, value) in &self.seen {
            let said = &saw["headers"][name.as_str()];
            ensure!(*said == value.as_str(), "the backend saw {name}: {said}, not {value}");
        }
        for name in &self.absent {
            ensure!(saw["headers"][name.as_str()].is_null(), "the backend saw {name}");
        }
        Ok(answer.message)
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Line {
    gateway: String,
    listener: Option<String>,
    /// With TLS, and this server name.
    sni: Option<String>,
    /// The connection or its handshake is refused.
    #[serde(default)]
    refused: bool,
    backend: Option<String>,
    /// The server name that the backend sees; an empty one: no TLS.
    seen: Option<String>,
}

impl Line {
    pub(crate) fn is_answered(&self, site: &mut Site) -> anyhow::Result<Value> {
        let address =
            format!("{}:{}", site.gateway(&self.gateway)?, site.port(&self.gateway, self.listener.as_deref())?);
        let caller = Caller { address: &address, server_name: self.sni.as_deref(), certificate: None };
        let answer = caller.line("hello");
        if self.refused {
            ensure!(answer.is_err(), "{:?} was answered", self.sni);
            return Ok(Value::Null);
        }
        let saw = answer.with_context(|| format!("{address} with {:?}", self.sni))?;
        ensure!(saw["line"] == "hello", "{saw} came back");
        if let Some(backend) = &self.backend {
            ensure!(saw["app"] == backend.as_str(), "{} was reached, not {backend}", saw["app"]);
        }
        if let Some(wanted) = &self.seen {
            let is_right = saw["sni"].as_str().unwrap_or_default() == wanted && saw["tls"] == !wanted.is_empty();
            ensure!(is_right, "the backend saw server name {}, not {wanted:?}", saw["sni"]);
        }
        Ok(saw)
    }
}
