use std::rc::Rc;

use leno_names::Fraction;

use super::{HostOverride, RouteRef};
use crate::connection::Connection;
use crate::exchange::Exchange;
use crate::http::{Framing, RequestHead, ResponseHead};
use crate::worker::Worker;

/// What a filter sees of a request, and may change.
#[derive(Debug)]
#[allow(dead_code, reason = "filters differ in what they look at")]
pub(crate) struct RequestContext<'a> {
    /// Of this filter.
    pub(crate) name: &'a str,
    pub(crate) request: &'a mut RequestHead,
    /// Of the request.
    pub(crate) framing: &'a mut Framing,
    pub(crate) exchange: &'a mut Exchange,
    pub(crate) connection: &'a Rc<Connection>,
    pub(crate) worker: &'a Rc<Worker>,
    /// Where the request goes as things are; `None`: nowhere (404).
    pub(crate) route: Option<&'a RouteRef>,
    /// Set: the route is looked for again before the next filter.
    pub(crate) clears_route: bool,
    /// Set: the frame hook sees the body.
    pub(crate) transforms_body: bool,
    /// Set: the body of the response is not sent faster.
    pub(crate) response_kib_per_second: Option<u64>,
    /// Set: the first try goes there.
    pub(crate) host_override: Option<HostOverride>,
}

/// What a filter sees of a response, and may change.
#[derive(Debug)]
#[allow(dead_code, reason = "filters differ in what they look at")]
pub(crate) struct ResponseContext<'a> {
    /// Of this filter.
    pub(crate) name: &'a str,
    pub(crate) request: &'a RequestHead,
    pub(crate) response: &'a mut ResponseHead,
    /// Of the response.
    pub(crate) framing: &'a mut Framing,
    pub(crate) exchange: &'a mut Exchange,
    pub(crate) connection: &'a Rc<Connection>,
    pub(crate) worker: &'a Rc<Worker>,
    pub(crate) route: Option<&'a RouteRef>,
    /// Set: the frame hook sees the body.
    pub(crate) transforms_body: bool,
}

impl RequestContext<'_> {
    /// True for that share of the calls.
    pub(crate) fn chance(&self, share: Fraction) -> bool {
        match share {
            Fraction::ONE => true,
            Fraction::ZERO => false,
            share => self.worker.random() % 1_000_000 < u64::from(share.parts_per_million()),
        }
    }
}
