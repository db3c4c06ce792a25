use super::time_format::{Zone, check};
use super::{DurationUnit, Field, FormatError, MetadataOf, Operator, PathForm, PathOf, Piece, Source, TimePoint, tls};

/// Splits a format into literals and operators.
pub(super) fn pieces(format: &str) -> Result<Vec<Piece>, FormatError> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        literal.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            literal.push('%');
            rest = after;
            continue;
        }
        let end = operator_end(rest).ok_or_else(|| FormatError::Unclosed { rest: rest.chars().take(40).collect() })?;
        if !literal.is_empty() {
            pieces.push(Piece::Literal(std::mem::take(&mut literal)));
        }
        pieces.push(operator(&rest[..end])?);
        rest = &rest[end + 1..];
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal));
    }
    Ok(pieces)
}

/// The `%` that ends an operator: not one inside its parentheses (`%START_TIME(%Y)%`).
fn operator_end(text: &str) -> Option<usize> {
    let close = text.find('%')?;
    match text.find('(') {
        Some(open) if open < close => {
            let after = open + text[open..].find(')')?;
            text[after..].find('%').map(|at| after + at)
        }
        _ => Some(close),
    }
}

fn operator(text: &str) -> Result<Piece, FormatError> {
    let (name, parameter, tail) = match text.split_once('(') {
        Some((name, rest)) => {
            let (parameter, tail) =
                rest.rsplit_once(')').ok_or_else(|| FormatError::UnknownOperator { operator: text.to_owned() })?;
            (name, Some(parameter), tail)
        }
        None => match text.split_once(':') {
            Some((name, _)) => (name, None, &text[name.len()..]),
            None => (text, None, ""),
        },
    };
    let length = match tail {
        "" => None,
        _ => {
            let length = tail.strip_prefix(':').unwrap_or(tail);
            let wrong = |_| FormatError::WrongLength { operator: name.to_owned(), length: length.to_owned() };
            Some(length.parse().map_err(wrong)?)
        }
    };
    // What is the same for every line is looked up once.
    let constant = match name {
        "ENVIRONMENT" => std::env::var(parameter.unwrap_or_default()).unwrap_or_else(|_| "-".to_owned()),
        "HOSTNAME" => std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_else(|_| "-".to_owned()),
        // Flags of extensions and addresses inside of a process: Envoy shows an empty text, as there are none.
        "CUSTOM_FLAGS" | "DOWNSTREAM_DIRECT_LOCAL_ADDRESS_ENDPOINT_ID" | "DOWNSTREAM_LOCAL_ADDRESS_ENDPOINT_ID"
            if parameter.is_none() =>
        {
            String::new()
        }
        _ => return Ok(Piece::Operator(Operator { source: source(name, parameter)?, length })),
    };
    let constant = constant.trim_end();
    Ok(Piece::Literal(constant.chars().take(length.unwrap_or(usize::MAX)).collect()))
}

fn source(name: &str, parameter: Option<&str>) -> Result<Source, FormatError> {
    let header = || {
        let missing = || FormatError::MissingName { operator: name.to_owned() };
        let parameter = parameter.filter(|text| !text.is_empty()).ok_or_else(missing)?;
        let (first, second) = match parameter.split_once('?') {
            Some((first, second)) => (first, Some(second.to_ascii_lowercase())),
            None => (parameter, None),
        };
        Ok((first.to_ascii_lowercase(), second))
    };
    let wrong = || FormatError::WrongParameter {
        operator: name.to_owned(),
        parameter: parameter.unwrap_or_default().to_owned(),
    };
    Ok(match name {
        "REQ" => header().map(|(name, otherwise)| Source::RequestHeader { name, otherwise })?,
        "REQ_WITHOUT_QUERY" => {
            header().map(|(name, otherwise)| Source::RequestHeaderWithoutQuery { name, otherwise })?
        }
        "REQUEST_TX_DURATION" if parameter.is_none_or(str::is_empty) => Source::Duration {
            from: TimePoint::RequestBegan,
            to: TimePoint::UpstreamRequestEnded,
            unit: DurationUnit::Milliseconds,
        },
        "RESP" => header().map(|(name, otherwise)| Source::ResponseHeader { name, otherwise })?,
        "TRAILER" => header().map(|(name, otherwise)| Source::ResponseTrailer { name, otherwise })?,
        "START_TIME" => Source::StartTime(time(parameter)?, Zone::Utc),
        "START_TIME_LOCAL" => Source::StartTime(time(parameter)?, Zone::Local),
        "EMIT_TIME" => Source::EmitTime(time(parameter)?, Zone::Utc),
        "EMIT_TIME_LOCAL" => Source::EmitTime(time(parameter)?, Zone::Local),
        "COMMON_DURATION" => common_duration(parameter.unwrap_or_default()).ok_or_else(wrong)?,
        "CLUSTER_METADATA" => metadata(MetadataOf::Cluster, parameter.unwrap_or_default()).ok_or_else(wrong)?,
        "DYNAMIC_METADATA" => metadata(MetadataOf::Exchange, parameter.unwrap_or_default()).ok_or_else(wrong)?,
        "UPSTREAM_METADATA" => metadata(MetadataOf::UpstreamHost, parameter.unwrap_or_default()).ok_or_else(wrong)?,
        "METADATA" => {
            let (of, key) = parameter.unwrap_or_default().split_once(':').ok_or_else(wrong)?;
            let of = match of {
                "CLUSTER" => MetadataOf::Cluster,
                "DYNAMIC" => MetadataOf::Exchange,
                "LISTENER" => MetadataOf::Listener,
                "ROUTE" => MetadataOf::Route,
                "UPSTREAM_HOST" => MetadataOf::UpstreamHost,
                _ => return Err(wrong()),
            };
            metadata(of, key).ok_or_else(wrong)?
        }
        // There are none to be named, as no filter leaves any.
        "FILTER_STATE" | "UPSTREAM_FILTER_STATE" if parameter.is_some_and(|key| !key.is_empty()) => {
            Source::Field(Field::Nothing)
        }
        "PATH" => path(parameter.unwrap_or_default()).ok_or_else(wrong)?,
        "QUERY_PARAM" => {
            Source::QueryParameter(parameter.filter(|name| !name.is_empty()).ok_or_else(wrong)?.to_owned())
        }
        "QUERY_PARAMS" if parameter.is_none_or(|mode| matches!(mode, "" | "ORIG")) => Source::Query,
        // Envoy's identifier of a request is the one of its request ID header.
        "STREAM_ID" => Source::RequestHeader { name: "x-request-id".to_owned(), otherwise: None },
        "UNIQUE_ID" => Source::UniqueId,
        _ => match tls::certificate_time(name) {
            Some((side, is_end)) => Source::CertificateTime { side, is_end, format: time(parameter)? },
            None => Source::Field(field(name, parameter)?),
        },
    })
}

fn time(format: Option<&str>) -> Result<Option<String>, FormatError> {
    if let Some(format) = format {
        check(format)?;
    }
    Ok(format.filter(|format| !format.is_empty()).map(str::to_owned))
}

/// `FROM:TO:UNIT`
fn common_duration(parameter: &str) -> Option<Source> {
    let mut parts = parameter.split(':');
    let (from, to) = (time_point(parts.next()?)?, time_point(parts.next()?)?);
    let unit = match parts.next().unwrap_or("ms") {
        "ms" => DurationUnit::Milliseconds,
        "us" => DurationUnit::Microseconds,
        "ns" => DurationUnit::Nanoseconds,
        _ => return None,
    };
    parts.next().is_none().then_some(Source::Duration { from, to, unit })
}

fn time_point(name: &str) -> Option<TimePoint> {
    Some(match name {
        "DS_RX_BEG" => TimePoint::RequestBegan,
        "DS_RX_END" => TimePoint::RequestEnded,
        "DS_TX_BEG" => TimePoint::ResponseBegan,
        "DS_TX_END" => TimePoint::ResponseEnded,
        "US_RX_BEG" => TimePoint::UpstreamResponseBegan,
        "US_TX_END" => TimePoint::UpstreamRequestEnded,
        _ => return None,
    })
}

/// `NAMESPACE:KEY:…`
fn metadata(of: MetadataOf, parameter: &str) -> Option<Source> {
    let mut parts = parameter.split(':').map(str::to_owned);
    let namespace = parts.next().filter(|namespace| !namespace.is_empty())?;
    Some(Source::Metadata { of, namespace, path: parts.collect() })
}

/// `WQ|NQ:ORIG|PATH|ORIG_OR_PATH`, both optional.
fn path(parameter: &str) -> Option<Source> {
    let (form, of) = parameter.split_once(':').unwrap_or((parameter, ""));
    let form = match form {
        "" | "WQ" => PathForm::WithQuery,
        "NQ" => PathForm::WithoutQuery,
        _ => return None,
    };
    let of = match of {
        "" | "ORIG_OR_PATH" => PathOf::OriginalOrCurrent,
        "ORIG" => PathOf::Original,
        "PATH" => PathOf::Current,
        _ => return None,
    };
    Some(Source::Path(form, of))
}

fn field(name: &str, parameter: Option<&str>) -> Result<Field, FormatError> {
    let field = match name {
        "ACCESS_LOG_TYPE" => Field::AccessLogType,
        "BYTES_RETRANSMITTED" | "PACKETS_RETRANSMITTED" => Field::Zero,
        "BYTES_RECEIVED" => Field::BytesReceived,
        "BYTES_SENT" => Field::BytesSent,
        "CONNECTION_ID" => Field::ConnectionId,
        "CONNECTION_TERMINATION_DETAILS" => Field::ConnectionTerminationDetails,
        "DOWNSTREAM_DIRECT_LOCAL_ADDRESS" => Field::DownstreamDirectLocalAddress,
        "DOWNSTREAM_DIRECT_LOCAL_ADDRESS_WITHOUT_PORT" => Field::DownstreamDirectLocalAddressWithoutPort,
        "DOWNSTREAM_DIRECT_LOCAL_PORT" => Field::DownstreamDirectLocalPort,
        "DOWNSTREAM_DIRECT_REMOTE_PORT" => Field::DownstreamDirectRemotePort,
        "DOWNSTREAM_DIRECT_REMOTE_ADDRESS" => Field::DownstreamDirectRemoteAddress,
        "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT" => Field::DownstreamDirectRemoteAddressWithoutPort,
        "DOWNSTREAM_LOCAL_ADDRESS" => Field::DownstreamLocalAddress,
        "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT" => Field::DownstreamLocalAddressWithoutPort,
        "DOWNSTREAM_LOCAL_PORT" => Field::DownstreamLocalPort,
        "DOWNSTREAM_REMOTE_ADDRESS" => Field::DownstreamRemoteAddress,
        "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT" => Field::DownstreamRemoteAddressWithoutPort,
        "DOWNSTREAM_REMOTE_PORT" => Field::DownstreamRemotePort,
        "DURATION" => Field::Duration,
        "FILTER_CHAIN_NAME" => Field::FilterChainName,
        "GRPC_STATUS" => {
            return grpc_status(parameter.unwrap_or_default()).ok_or_else(|| FormatError::WrongParameter {
                operator: name.to_owned(),
                parameter: parameter.unwrap_or_default().to_owned(),
            });
        }
        "GRPC_STATUS_NUMBER" => Field::GrpcStatusNumber,
        "PROTOCOL" => Field::Protocol,
        "REQUEST_DURATION" => Field::RequestDuration,
        "REQUEST_HEADERS_BYTES" => Field::RequestHeadersBytes,
        "REQUESTED_SERVER_NAME" => Field::RequestedServerName,
        "RESPONSE_CODE" => Field::ResponseCode,
        "LOCAL_REPLY_BODY" => Field::LocalReplyBody,
        "RESPONSE_CODE_DETAILS" => Field::ResponseCodeDetails,
        "RESPONSE_DURATION" => Field::ResponseDuration,
        "RESPONSE_FLAGS" => Field::ResponseFlags,
        "RESPONSE_FLAGS_LONG" => Field::ResponseFlagsLong,
        "RESPONSE_HEADERS_BYTES" => Field::ResponseHeadersBytes,
        "RESPONSE_TRAILERS_BYTES" => Field::ResponseTrailersBytes,
        "RESPONSE_TX_DURATION" => Field::ResponseTxDuration,
        "ROUTE_NAME" => Field::RouteName,
        "UPSTREAM_CLUSTER" => Field::UpstreamCluster,
        "UPSTREAM_CLUSTER_RAW" => Field::UpstreamClusterRaw,
        "UPSTREAM_HOST" => Field::UpstreamHost,
        "UPSTREAM_HOST_NAME" => Field::UpstreamHostName,
        "UPSTREAM_LOCAL_ADDRESS" => Field::UpstreamLocalAddress,
        "UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT" => Field::UpstreamLocalAddressWithoutPort,
        "UPSTREAM_LOCAL_PORT" => Field::UpstreamLocalPort,
        "UPSTREAM_PROTOCOL" => Field::UpstreamProtocol,
        "UPSTREAM_HOST_NAME_WITHOUT_PORT" => Field::UpstreamHostNameWithoutPort,
        "UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT" => Field::UpstreamRemoteAddressWithoutPort,
        "UPSTREAM_REMOTE_ADDRESS" => Field::UpstreamRemoteAddress,
        "UPSTREAM_REMOTE_PORT" => Field::UpstreamRemotePort,
        "UPSTREAM_REQUEST_ATTEMPT_COUNT" => Field::UpstreamRequestAttemptCount,
        "UPSTREAM_TRANSPORT_FAILURE_REASON" => Field::UpstreamTransportFailureReason,
        // There are none to be named.
        "VIRTUAL_CLUSTER_NAME" => Field::VirtualClusterName,
        // Traces, QUIC, and failures before there is a request to log.
        "TRACE_ID" | "SPAN_ID" | "DOWNSTREAM_TRANSPORT_FAILURE_REASON" | "ROUNDTRIP_DURATION" => Field::Nothing,
        _ => match tls::field(name) {
            Some((side, field)) => Field::Tls(side, field),
            None => return Err(FormatError::UnknownOperator { operator: name.to_owned() }),
        },
    };
    match parameter {
        None | Some("") => Ok(field),
        Some(_) => Err(FormatError::UnexpectedParameter { operator: name.to_owned() }),
    }
}

fn grpc_status(parameter: &str) -> Option<Field> {
    match parameter {
        "" | "CAMEL_STRING" => Some(Field::GrpcStatus),
        "NUMBER" => Some(Field::GrpcStatusNumber),
        "SNAKE_STRING" => Some(Field::GrpcStatusSnake),
        _ => None,
    }
}
