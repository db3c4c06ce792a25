use std::rc::Rc;

use leno_ir::UpstreamProtocol;

use super::cluster::UpstreamCluster;
use super::connect::ApplicationProtocol;
use super::{Caller, ConnectError, Http1Lease, Http2Lease, Pick};
use crate::connection::Alpn;
use crate::stream::Stream;
use crate::worker::Worker;

/// How often an endpoint may choose the other protocol before a request fails. Chosen: one change is a server that was
/// replaced, more are one that cannot be spoken to.
const MOST_CHANGES: usize = 3;

/// A connection for one request, in either protocol.
#[derive(Debug)]
pub(crate) enum HttpLease {
    Http1(Http1Lease),
    Http2(Http2Lease),
}

impl UpstreamCluster {
    /// A connection in the protocol of the cluster; `is_http2`: the one of the request's client, where that decides.
    ///
    /// # Errors
    /// As in the two protocols.
    pub(crate) async fn http(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        pick: &Pick,
        caller: &Caller,
        is_http2: bool,
    ) -> Result<HttpLease, ConnectError> {
        let speaks_http2 = match self.config.http.protocol {
            UpstreamProtocol::Http1 => false,
            UpstreamProtocol::Http2 => true,
            UpstreamProtocol::SameAsDownstream => is_http2,
            // Boxed: it has room for both once more, and hardly anybody needs it.
            UpstreamProtocol::Negotiated => return Box::pin(self.negotiated(worker, pick, caller)).await,
        };
        if speaks_http2 {
            self.http2(worker, pick, caller).await.map(HttpLease::Http2)
        } else {
            self.http1(worker, pick, caller).await.map(HttpLease::Http1)
        }
    }

    /// A connection in the protocol the picked endpoint chooses. While that is not known one connection is made for all who
    /// wait, as in HTTP/2; afterwards the endpoint is taken at its word until it chooses something else.
    ///
    /// # Errors
    /// As in the two protocols.
    async fn negotiated(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        pick: &Pick,
        caller: &Caller,
    ) -> Result<HttpLease, ConnectError> {
        let mut changes = 0;
        loop {
            let result = if pick.state().prefers_http1.get() {
                self.http1(worker, pick, caller).await.map(HttpLease::Http1)
            } else {
                self.http2(worker, pick, caller).await.map(HttpLease::Http2)
            };
            match result {
                Err(ConnectError::OtherProtocol { .. }) if changes < MOST_CHANGES => changes += 1,
                result => return result,
            }
        }
    }

    /// What a connection is opened for that is to carry `wanted`.
    pub(super) fn offered(&self, wanted: ApplicationProtocol) -> ApplicationProtocol {
        match self.config.http.protocol {
            UpstreamProtocol::Negotiated => ApplicationProtocol::Negotiated,
            UpstreamProtocol::Http1 | UpstreamProtocol::Http2 | UpstreamProtocol::SameAsDownstream => wanted,
        }
    }
}

/// Whether the other side has chosen HTTP/2.
pub(super) fn chose_http2(stream: &Stream) -> bool {
    match stream {
        Stream::Tls(tls) => tls.get_ref().1.alpn_protocol().map(Alpn::parse) == Some(Alpn::Http2),
        Stream::Plain(_) => false,
    }
}
