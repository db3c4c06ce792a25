//! Lines of an access log: Envoy's command operators, parsed once and written per exchange into a reused buffer.
//!
//! Shape       format text -> `Program` (literals and fields) -> bytes of one line, ended by a newline
//! Errors      an operator that is not known, or used wrongly, is an error of the configuration that names it
//! Cost        per line: no allocation once the buffer has grown
//! Source      Envoy "Access logging", command operators, v1.31; Istio's default text format

mod escape;
mod json;
mod parse;
mod path;
mod time_format;
mod tls;

pub use json::Member;
pub use path::{PathForm, PathOf};
pub use time_format::write_start_time;
pub use tls::{NameKind, Shown, Side, TlsField};

use json::Object;
use time_format::Zone;

/// Istio's default text format, without the newline.
pub const STANDARD_FORMAT: &str = "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" \
    %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% \
    \"%UPSTREAM_TRANSPORT_FAILURE_REASON%\" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% \
    %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" \"%REQ(X-REQUEST-ID)%\" \
    \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% \
    %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%";

/// A format, ready to write lines.
#[derive(Clone, Debug)]
pub struct Program {
    shape: Shape,
    /// What has no value is left out.
    omit_empty: bool,
}

#[derive(Clone, Debug)]
enum Shape {
    Json(Object),
    Text(Vec<Piece>),
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Piece {
    Literal(String),
    Operator(Operator),
}

/// `%FIELD(…):LENGTH%`
#[derive(Clone, Debug, Eq, PartialEq)]
struct Operator {
    source: Source,
    /// Most bytes written.
    length: Option<usize>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Source {
    Field(Field),
    /// The first name that is there counts. Lower case.
    RequestHeader {
        name: String,
        otherwise: Option<String>,
    },
    /// The same up to a question mark.
    RequestHeaderWithoutQuery {
        name: String,
        otherwise: Option<String>,
    },
    ResponseHeader {
        name: String,
        otherwise: Option<String>,
    },
    ResponseTrailer {
        name: String,
        otherwise: Option<String>,
    },
    StartTime(Option<String>, Zone),
    /// The time at which the line is written.
    EmitTime(Option<String>, Zone),
    /// From when, or until when, the peer's certificate holds.
    CertificateTime {
        side: Side,
        is_end: bool,
        format: Option<String>,
    },
    Duration {
        from: TimePoint,
        to: TimePoint,
        unit: DurationUnit,
    },
    Metadata {
        of: MetadataOf,
        namespace: String,
        path: Vec<String>,
    },
    Path(PathForm, PathOf),
    /// The first query parameter of that name.
    QueryParameter(String),
    /// Of the path as it came.
    Query,
    UniqueId,
}

/// Whose metadata.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum MetadataOf {
    Cluster,
    /// What filters have said of the request.
    Exchange,
    Listener,
    Route,
    UpstreamHost,
}

/// Moments of an exchange, by Envoy's short names.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum TimePoint {
    /// `DS_RX_BEG`
    RequestBegan,
    /// `DS_RX_END`
    RequestEnded,
    /// `US_TX_END`
    UpstreamRequestEnded,
    /// `US_RX_BEG`
    UpstreamResponseBegan,
    /// `DS_TX_BEG`
    ResponseBegan,
    /// `DS_TX_END`
    ResponseEnded,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum DurationUnit {
    Milliseconds,
    Microseconds,
    Nanoseconds,
}

/// What is written for operators without a name of a header.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Field {
    AccessLogType,
    BytesReceived,
    BytesSent,
    /// Always without a value: Envoy has it of QUIC, of filter states or of traces, which Leno has not.
    Nothing,
    /// A count that TCP does not tell: 0, as in Envoy.
    Zero,
    ConnectionId,
    ConnectionTerminationDetails,
    DownstreamDirectLocalAddress,
    DownstreamDirectLocalAddressWithoutPort,
    DownstreamDirectLocalPort,
    DownstreamDirectRemoteAddress,
    DownstreamDirectRemoteAddressWithoutPort,
    DownstreamDirectRemotePort,
    DownstreamLocalAddress,
    DownstreamLocalAddressWithoutPort,
    DownstreamLocalPort,
    DownstreamRemoteAddress,
    DownstreamRemoteAddressWithoutPort,
    DownstreamRemotePort,
    Duration,
    FilterChainName,
    GrpcStatus,
    GrpcStatusNumber,
    /// In capitals: `NOT_FOUND`.
    GrpcStatusSnake,
    LocalReplyBody,
    Protocol,
    RequestDuration,
    RequestHeadersBytes,
    RequestedServerName,
    ResponseCode,
    ResponseCodeDetails,
    ResponseDuration,
    ResponseFlags,
    ResponseFlagsLong,
    ResponseHeadersBytes,
    ResponseTrailersBytes,
    ResponseTxDuration,
    RouteName,
    Tls(Side, TlsField),
    UpstreamCluster,
    UpstreamClusterRaw,
    UpstreamHost,
    /// Its address where it has no name.
    UpstreamHostName,
    UpstreamHostNameWithoutPort,
    UpstreamLocalAddress,
    UpstreamLocalAddressWithoutPort,
    UpstreamLocalPort,
    UpstreamProtocol,
    UpstreamRemoteAddress,
    UpstreamRemoteAddressWithoutPort,
    UpstreamRemotePort,
    UpstreamRequestAttemptCount,
    UpstreamTransportFailureReason,
    VirtualClusterName,
}

impl Field {
    /// Whether the value is written without quotes in JSON.
    pub const fn is_number(self) -> bool {
        matches!(
            self,
            Self::BytesReceived
                | Self::BytesSent
                | Self::ConnectionId
                | Self::DownstreamDirectLocalPort
                | Self::DownstreamDirectRemotePort
                | Self::DownstreamLocalPort
                | Self::DownstreamRemotePort
                | Self::Duration
                | Self::GrpcStatusNumber
                | Self::RequestDuration
                | Self::RequestHeadersBytes
                | Self::ResponseCode
                | Self::ResponseDuration
                | Self::ResponseHeadersBytes
                | Self::ResponseTrailersBytes
                | Self::ResponseTxDuration
                | Self::UpstreamLocalPort
                | Self::UpstreamRemotePort
                | Self::UpstreamRequestAttemptCount
                | Self::Zero
        )
    }
}

/// The values of one line.
pub trait Values {
    fn request_header(&self, lower_case_name: &str) -> Option<&[u8]>;
    fn response_header(&self, lower_case_name: &str) -> Option<&[u8]>;
    fn response_trailer(&self, lower_case_name: &str) -> Option<&[u8]>;

    /// When the exchange began, since 1970.
    fn start_time(&self) -> std::time::Duration;

    /// Now, since 1970.
    fn emit_time(&self) -> std::time::Duration {
        self.start_time()
    }

    /// How long after the start of the exchange that was; `None` when it did not come to it.
    fn time_point(&self, _of: TimePoint) -> Option<std::time::Duration> {
        None
    }

    /// Appends the value: a text as it is, anything else as JSON (`true`). Appends nothing when there is none.
    fn write_metadata(&self, _of: MetadataOf, _namespace: &str, _path: &[String], _out: &mut Vec<u8>) -> bool {
        false
    }

    /// From when and until when the peer's certificate holds, since 1970.
    fn validity(&self, _side: Side) -> Option<(std::time::Duration, std::time::Duration)> {
        None
    }

    /// Appends the value; appends nothing when there is none.
    fn write(&self, field: Field, out: &mut Vec<u8>);
}

#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum FormatError {
    #[error("access log operator %{operator}% needs the name of a header in parentheses")]
    MissingName { operator: String },
    #[error("access log operator %{operator}({parameter})% has a parameter that is not understood")]
    WrongParameter { operator: String, parameter: String },
    #[error("access log format has a % that starts no operator at \"{rest}\"; write %% for a percent sign")]
    Unclosed { rest: String },
    #[error("access log operator %{operator}% takes no parameter")]
    UnexpectedParameter { operator: String },
    #[error("access log operator %{operator}% is not supported")]
    UnknownOperator { operator: String },
    #[error("\"{format}\" is not a time format of %START_TIME% that is supported ({part} is not)")]
    UnknownTimeFormat { format: String, part: String },
    #[error("access log operator %{operator}% ends in \":{length}\", which is not a length")]
    WrongLength { operator: String, length: String },
}

impl Program {
    /// A line of text. A newline is added when the format does not end in one.
    ///
    /// # Errors
    /// Names the operator that is not understood.
    pub fn text(format: &str) -> Result<Self, FormatError> {
        parse::pieces(format).map(|pieces| Self { shape: Shape::Text(pieces), omit_empty: false })
    }

    /// One JSON object a line, keys in order. A value that is one operator with a number is a number; one without a value
    /// is `null`.
    ///
    /// # Errors
    /// Names the operator that is not understood.
    pub fn json<'a>(fields: impl IntoIterator<Item = (&'a str, Member)>) -> Result<Self, FormatError> {
        Ok(Self { shape: Shape::Json(Object::new(fields)?), omit_empty: false })
    }

    /// Leaves out what has no value: nothing instead of `-`, no member instead of `null`.
    #[must_use]
    pub fn omitting_empty(self, omit_empty: bool) -> Self {
        Self { omit_empty, ..self }
    }

    /// Whether it shows trailers of the response.
    pub fn wants_trailers(&self) -> bool {
        self.any(|source| {
            matches!(source, Source::ResponseTrailer { .. } | Source::Field(Field::ResponseTrailersBytes))
        })
    }

    /// Whether it shows what the TLS of that side is like.
    pub fn wants_tls(&self, side: Side) -> bool {
        self.any(|source| match source {
            Source::Field(Field::Tls(of, _)) | Source::CertificateTime { side: of, .. } => *of == side,
            _ => false,
        })
    }

    fn any(&self, is: impl Fn(&Source) -> bool) -> bool {
        let is = |piece: &Piece| matches!(piece, Piece::Operator(operator) if is(&operator.source));
        match &self.shape {
            Shape::Json(object) => object.any(&is),
            Shape::Text(pieces) => pieces.iter().any(is),
        }
    }

    /// The value of a header: what is not known is left out instead of being "-".
    ///
    /// # Errors
    /// Names the operator that is not understood.
    pub fn value(format: &str) -> Result<Self, FormatError> {
        Self::text(format)
    }

    /// Appends what [`Program::value`] describes.
    pub fn write_value(&self, values: &impl Values, out: &mut Vec<u8>) {
        let Shape::Text(pieces) = &self.shape else { return };
        // As in Envoy, no flags at all are a value of their own.
        let has_word = |source: &Source| *source == Source::Field(Field::ResponseFlags);
        pieces.iter().for_each(|piece| write_piece(piece, values, |source| empty(has_word(source)), out));
    }

    /// Appends the text alone, what is not known as "-": for who needs neither a line nor escapes.
    pub fn write_text(&self, values: &impl Values, out: &mut Vec<u8>) {
        let Shape::Text(pieces) = &self.shape else { return };
        pieces.iter().for_each(|piece| write_piece(piece, values, |_| empty(true), out));
    }

    /// Appends one line to `out`.
    pub fn write_line(&self, values: &impl Values, out: &mut Vec<u8>) {
        match &self.shape {
            Shape::Text(pieces) => {
                for piece in pieces {
                    let start = out.len();
                    write_piece(piece, values, |_| empty(!self.omit_empty), out);
                    // A client must not be able to start a line of its own, nor to end a quoted value.
                    if matches!(piece, Piece::Operator(_)) {
                        escape::text_controls(out, start);
                    }
                }
            }
            Shape::Json(object) => object.write(values, self.omit_empty, out),
        }
        if out.last() != Some(&b'\n') {
            out.push(b'\n');
        }
    }

    /// Appends what the format says, of a body: no line, and nothing in it needs an escape but in JSON.
    pub fn write_body(&self, values: &impl Values, out: &mut Vec<u8>) {
        let Shape::Text(pieces) = &self.shape else { return self.write_line(values, out) };
        let has_word = |source: &Source| *source != Source::Field(Field::LocalReplyBody) && !self.omit_empty;
        pieces.iter().for_each(|piece| write_piece(piece, values, |source| empty(has_word(source)), out));
    }
}

/// What stands for a value that is not known, where anything does.
fn empty(has_word: bool) -> &'static [u8] {
    if has_word { b"-" } else { b"" }
}

/// `absent` says what stands for a value that is not known.
fn write_piece(piece: &Piece, values: &impl Values, absent: impl FnOnce(&Source) -> &'static [u8], out: &mut Vec<u8>) {
    match piece {
        Piece::Literal(text) => out.extend_from_slice(text.as_bytes()),
        Piece::Operator(operator) => {
            let start = out.len();
            write_operator(operator, values, out);
            if out.len() == start {
                out.extend_from_slice(absent(&operator.source));
            }
        }
    }
}

fn write_operator(operator: &Operator, values: &impl Values, out: &mut Vec<u8>) {
    let start = out.len();
    match &operator.source {
        Source::Field(field) => values.write(*field, out),
        Source::StartTime(format, zone) => time_format::write_in(*zone, values.start_time(), format.as_deref(), out),
        Source::EmitTime(format, zone) => time_format::write_in(*zone, values.emit_time(), format.as_deref(), out),
        Source::CertificateTime { side, is_end, format } => {
            if let Some((from, until)) = values.validity(*side) {
                write_start_time(if *is_end { until } else { from }, format.as_deref(), out);
            }
        }
        Source::RequestHeader { name, otherwise } => {
            let value = values.request_header(name);
            let value = value.or_else(|| otherwise.as_deref().and_then(|name| values.request_header(name)));
            out.extend_from_slice(value.unwrap_or_default());
        }
        Source::RequestHeaderWithoutQuery { name, otherwise } => {
            let value = values.request_header(name);
            let value = value.or_else(|| otherwise.as_deref().and_then(|name| values.request_header(name)));
            let value = value.unwrap_or_default();
            let end = value.iter().position(|byte| *byte == b'?').unwrap_or(value.len());
            out.extend_from_slice(value.get(..end).unwrap_or_default());
        }
        Source::ResponseHeader { name, otherwise } => {
            let value = values.response_header(name);
            let value = value.or_else(|| otherwise.as_deref().and_then(|name| values.response_header(name)));
            out.extend_from_slice(value.unwrap_or_default());
        }
        Source::ResponseTrailer { name, otherwise } => {
            let value = values.response_trailer(name);
            let value = value.or_else(|| otherwise.as_deref().and_then(|name| values.response_trailer(name)));
            out.extend_from_slice(value.unwrap_or_default());
        }
        Source::Duration { from, to, unit } => write_duration(values, (*from, *to), *unit, out),
        Source::Metadata { of, namespace, path } => {
            values.write_metadata(*of, namespace, path, out);
        }
        Source::Path(form, of) => path::write_path(values, *form, *of, out),
        Source::QueryParameter(name) => path::write_parameter(values, name, out),
        Source::Query => path::write_query(values, out),
        Source::UniqueId => path::write_unique_id(out),
    }
    if let Some(length) = operator.length {
        out.truncate(start.saturating_add(length).min(out.len()));
    }
}

fn write_duration(values: &impl Values, points: (TimePoint, TimePoint), unit: DurationUnit, out: &mut Vec<u8>) {
    let (Some(from), Some(to)) = (values.time_point(points.0), values.time_point(points.1)) else { return };
    // Moments in the wrong order have no duration.
    let Some(duration) = to.checked_sub(from) else { return };
    let number = match unit {
        DurationUnit::Milliseconds => duration.as_millis(),
        DurationUnit::Microseconds => duration.as_micros(),
        DurationUnit::Nanoseconds => duration.as_nanos(),
    };
    out.extend_from_slice(number.to_string().as_bytes());
}

#[cfg(test)]
mod tests;
