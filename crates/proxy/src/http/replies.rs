//! What the configuration makes of responses of our own: other statuses, bodies and headers.
//!
//! Cost        where nothing is configured: one look at an `Option`
//! Source      Envoy's local_reply_config; its order: the first mapper whose filter holds, then the format

use bytes::Bytes;
use leno_ir::{AccessLogFilter, BodyFormat, BodyFormatKind, LocalReplies, LocalReplyMapper};
use leno_telemetry::access_log::{FormatError, Program};

use super::head::{RequestHead, ResponseHead};
use super::header_ops::HeaderEdits;
use crate::access_log::{LineValues, filter_holds, member};
use crate::connection::Connection;
use crate::exchange::Exchange;
use crate::tls::noted;

/// [`LocalReplies`], ready to be applied.
#[derive(Debug)]
pub(crate) struct Replies {
    mappers: Vec<Mapper>,
    body: Option<Body>,
}

#[derive(Debug)]
struct Mapper {
    filter: AccessLogFilter,
    status: Option<u16>,
    text: Option<Bytes>,
    body: Option<Body>,
    headers: HeaderEdits,
}

#[derive(Debug)]
struct Body {
    program: Program,
    content_type: String,
}

/// What becomes of one response.
pub(super) struct Mapped<'r> {
    pub(super) status: u16,
    pub(super) body: Bytes,
    /// `None`: plain text.
    pub(super) content_type: Option<&'r str>,
    pub(super) headers: Option<&'r HeaderEdits>,
}

impl Replies {
    /// `None`: responses stay as they are. Formats that are not understood are left out; [`Replies::check`] tells beforehand.
    pub(super) fn new(config: &LocalReplies) -> Option<Box<Self>> {
        let is_nothing = config.mappers.is_empty() && config.body_format.is_none();
        (!is_nothing).then(|| {
            let mappers = config.mappers.iter().map(Mapper::new).collect();
            Box::new(Self { mappers, body: config.body_format.as_ref().and_then(|format| Body::new(format).ok()) })
        })
    }

    /// # Errors
    /// Names the operator that is not understood.
    pub(crate) fn check(config: &LocalReplies) -> Result<(), FormatError> {
        let of_mappers = config.mappers.iter().filter_map(|mapper| mapper.body_format.as_ref());
        of_mappers.chain(&config.body_format).try_for_each(|format| Body::new(format).map(|_| ()))?;
        config.mappers.iter().try_for_each(|mapper| HeaderEdits::check(&mapper.headers))
    }

    /// `exchange` says the status and the body as they would have been.
    pub(super) fn map(
        &self,
        exchange: &mut Exchange,
        connection: &Connection,
        request: &RequestHead,
        random: &mut dyn FnMut() -> u64,
    ) -> Mapped<'_> {
        let mapper = self.mappers.iter().find(|mapper| filter_holds(&mapper.filter, exchange, request, &mut *random));
        if let Some(mapper) = mapper {
            exchange.status = mapper.status.unwrap_or(exchange.status);
            if let Some(text) = &mapper.text {
                exchange.local_reply_body = text.clone();
            }
        }
        let format = mapper.and_then(|mapper| mapper.body.as_ref()).or(self.body.as_ref());
        let body = match format {
            None => exchange.local_reply_body.clone(),
            Some(format) => format.write(exchange, connection, request),
        };
        Mapped {
            status: exchange.status,
            body,
            content_type: format.map(|format| format.content_type.as_str()),
            headers: mapper.map(|mapper| &mapper.headers),
        }
    }
}

impl Mapper {
    fn new(config: &LocalReplyMapper) -> Self {
        Self {
            filter: config.filter.clone(),
            status: config.status,
            text: config.body.as_deref().map(|text| Bytes::copy_from_slice(text.as_bytes())),
            body: config.body_format.as_ref().and_then(|format| Body::new(format).ok()),
            headers: HeaderEdits::new(&config.headers),
        }
    }
}

impl Body {
    fn new(format: &BodyFormat) -> Result<Self, FormatError> {
        let (program, is_json) = match &format.kind {
            BodyFormatKind::Json(fields) => {
                (noted(Program::json(fields.iter().map(|(key, format)| (key.as_str(), member(format))))?), true)
            }
            BodyFormatKind::Text(text) => (noted(Program::text(text)?), false),
        };
        let of_kind = if is_json { "application/json" } else { "text/plain" };
        Ok(Self {
            program: program.omitting_empty(format.omit_empty),
            content_type: format.content_type.clone().unwrap_or_else(|| of_kind.to_owned()),
        })
    }

    fn write(&self, exchange: &Exchange, connection: &Connection, request: &RequestHead) -> Bytes {
        let mut out = Vec::new();
        let response = ResponseHead { status: exchange.status, ..ResponseHead::default() };
        let values = LineValues { exchange, connection, request, response: &response };
        self.program.write_body(&values, &mut out);
        out.into()
    }
}
