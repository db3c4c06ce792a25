use super::time_format::check;
use super::{Field, FormatError, Operator, Piece, Source};

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
        pieces.push(Piece::Operator(operator(&rest[..end])?));
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

fn operator(text: &str) -> Result<Operator, FormatError> {
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
    Ok(Operator { source: source(name, parameter)?, length })
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
    Ok(match name {
        "REQ" => header().map(|(name, otherwise)| Source::RequestHeader { name, otherwise })?,
        "RESP" => header().map(|(name, otherwise)| Source::ResponseHeader { name, otherwise })?,
        "TRAILER" => header().map(|(name, otherwise)| Source::ResponseTrailer { name, otherwise })?,
        "START_TIME" => {
            if let Some(format) = parameter {
                check(format)?;
            }
            Source::StartTime(parameter.filter(|format| !format.is_empty()).map(str::to_owned))
        }
        _ => Source::Field(field(name, parameter)?),
    })
}

fn field(name: &str, parameter: Option<&str>) -> Result<Field, FormatError> {
    let field = match name {
        "BYTES_RECEIVED" => Field::BytesReceived,
        "BYTES_SENT" => Field::BytesSent,
        "CONNECTION_TERMINATION_DETAILS" => Field::ConnectionTerminationDetails,
        "DOWNSTREAM_DIRECT_REMOTE_ADDRESS" => Field::DownstreamDirectRemoteAddress,
        "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT" => Field::DownstreamDirectRemoteAddressWithoutPort,
        "DOWNSTREAM_LOCAL_ADDRESS" => Field::DownstreamLocalAddress,
        "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT" => Field::DownstreamLocalAddressWithoutPort,
        "DOWNSTREAM_LOCAL_PORT" => Field::DownstreamLocalPort,
        "DOWNSTREAM_LOCAL_URI_SAN" => Field::DownstreamLocalUriSan,
        "DOWNSTREAM_PEER_URI_SAN" => Field::DownstreamPeerUriSan,
        "DOWNSTREAM_REMOTE_ADDRESS" => Field::DownstreamRemoteAddress,
        "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT" => Field::DownstreamRemoteAddressWithoutPort,
        "DOWNSTREAM_REMOTE_PORT" => Field::DownstreamRemotePort,
        "DURATION" => Field::Duration,
        "GRPC_STATUS" => return Ok(grpc_status(parameter)),
        "GRPC_STATUS_NUMBER" => Field::GrpcStatusNumber,
        "HOSTNAME" => Field::Hostname,
        "PROTOCOL" => Field::Protocol,
        "REQUEST_DURATION" => Field::RequestDuration,
        "REQUEST_HEADERS_BYTES" => Field::RequestHeadersBytes,
        "REQUESTED_SERVER_NAME" => Field::RequestedServerName,
        "RESPONSE_CODE" => Field::ResponseCode,
        "RESPONSE_CODE_DETAILS" => Field::ResponseCodeDetails,
        "RESPONSE_DURATION" => Field::ResponseDuration,
        "RESPONSE_FLAGS" => Field::ResponseFlags,
        "RESPONSE_FLAGS_LONG" => Field::ResponseFlagsLong,
        "RESPONSE_HEADERS_BYTES" => Field::ResponseHeadersBytes,
        "RESPONSE_TX_DURATION" => Field::ResponseTxDuration,
        "ROUTE_NAME" => Field::RouteName,
        "UPSTREAM_CLUSTER" => Field::UpstreamCluster,
        "UPSTREAM_CLUSTER_RAW" => Field::UpstreamClusterRaw,
        "UPSTREAM_HOST" => Field::UpstreamHost,
        "UPSTREAM_LOCAL_ADDRESS" => Field::UpstreamLocalAddress,
        "UPSTREAM_REMOTE_ADDRESS" => Field::UpstreamRemoteAddress,
        "UPSTREAM_REMOTE_PORT" => Field::UpstreamRemotePort,
        "UPSTREAM_REQUEST_ATTEMPT_COUNT" => Field::UpstreamRequestAttemptCount,
        "UPSTREAM_TRANSPORT_FAILURE_REASON" => Field::UpstreamTransportFailureReason,
        _ => return Err(FormatError::UnknownOperator { operator: name.to_owned() }),
    };
    match parameter {
        None | Some("") => Ok(field),
        Some(_) => Err(FormatError::UnexpectedParameter { operator: name.to_owned() }),
    }
}

fn grpc_status(parameter: Option<&str>) -> Field {
    if parameter == Some("NUMBER") { Field::GrpcStatusNumber } else { Field::GrpcStatus }
}
