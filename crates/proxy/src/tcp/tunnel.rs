use std::borrow::Cow;
use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use leno_ir::{Cluster, Tunneling};
use leno_telemetry::access_log::{FormatError, Program};

use crate::access_log::LineValues;
use crate::connection::Connection;
use crate::exchange::{Exchange, NoHeaders};
use crate::http::{HeaderEdits, Headers, RequestHead};

/// The request that asks for a tunnel, as one filter chain words it.
#[derive(Debug)]
pub(crate) struct TunnelRequest {
    /// `None`: the host is a format that is not understood, and stays as it is written.
    host: Option<Program>,
    config: Tunneling,
    edits: HeaderEdits,
}

/// A request for a tunnel, and who was asked last.
#[derive(Debug)]
pub(crate) struct Plea {
    pub(super) request: RequestHead,
    pub(super) asked: RefCell<Option<(Arc<Cluster>, SocketAddr)>>,
}

impl Plea {
    pub(super) fn new(request: RequestHead) -> Self {
        Self { request, asked: RefCell::default() }
    }
}

impl TunnelRequest {
    pub(crate) fn new(config: &Tunneling) -> Self {
        let host = Program::text(&config.hostname).ok();
        Self { host, config: config.clone(), edits: HeaderEdits::new(&config.headers) }
    }

    /// # Errors
    /// Names the operator that is not understood.
    pub(crate) fn check(config: &Tunneling) -> Result<(), FormatError> {
        Program::text(&config.hostname)?;
        HeaderEdits::check(&config.headers)
    }

    /// For one connection.
    pub(crate) fn head(&self, exchange: &Exchange, connection: &Connection) -> RequestHead {
        let host = match &self.host {
            None => Cow::Borrowed(self.config.hostname.as_bytes()),
            Some(program) => {
                let mut host = Vec::new();
                let values = LineValues { exchange, connection, request: &NoHeaders, response: &NoHeaders };
                program.write_text(&values, &mut host);
                Cow::Owned(host)
            }
        };
        let (method, path) = match &self.config.post_path {
            None => (Method::CONNECT, Bytes::new()),
            Some(path) => (Method::POST, Bytes::copy_from_slice(path.as_bytes())),
        };
        let mut head = RequestHead {
            method,
            path,
            authority: Bytes::copy_from_slice(&host),
            headers: Headers::default(),
            ..RequestHead::default()
        };
        self.edits.apply_to_request(&mut head, exchange, connection);
        head
    }
}
