use leno_ir::{
    Fault, FaultAbort, FaultAbortKind, FaultDelay, FaultDelayKind, FaultRateLimit, FaultRateLimitKind, ShareUnit,
};
use leno_names::Fraction;
use leno_proto::envoy::extensions::filters::common::fault::v3::{
    FaultDelay as ProtoDelay, FaultRateLimit as ProtoRateLimit,
    fault_delay::{FaultDelaySecifier as DelayKind, HeaderDelay},
    fault_rate_limit::{FixedLimit, HeaderLimit, LimitType},
};
use leno_proto::envoy::extensions::filters::http::fault::v3::{
    FaultAbort as ProtoAbort, HttpFault as Proto,
    fault_abort::{ErrorType, HeaderAbort},
};
use leno_proto::envoy::r#type::v3::{FractionalPercent, fractional_percent::DenominatorType};
use leno_proto::google::protobuf::Any;

use crate::codec::common::{any, duration, fraction, read_duration, read_fraction, u32_value, unpack};
use crate::codec::error::{At, DecodeError, Result, refuse};
use crate::codec::route::matches;

pub(super) const TYPE: &str = "envoy.extensions.filters.http.fault.v3.HTTPFault";

pub(super) fn encode(fault: &Fault) -> Any {
    let proto = Proto {
        delay: fault.delay.as_ref().map(|delay| ProtoDelay {
            percentage: Some(match delay.kind {
                FaultDelayKind::Fixed(_) => fraction(delay.share),
                FaultDelayKind::Header(unit) => in_units(delay.share, unit),
            }),
            fault_delay_secifier: Some(match delay.kind {
                FaultDelayKind::Fixed(span) => DelayKind::FixedDelay(duration(span).unwrap_or_default()),
                FaultDelayKind::Header(_) => DelayKind::HeaderDelay(HeaderDelay {}),
            }),
        }),
        abort: fault.abort.as_ref().map(|abort| ProtoAbort {
            percentage: Some(match abort.kind {
                FaultAbortKind::Header(unit) => in_units(abort.share, unit),
                FaultAbortKind::Grpc(_) | FaultAbortKind::Http(_) => fraction(abort.share),
            }),
            error_type: Some(match abort.kind {
                FaultAbortKind::Grpc(status) => ErrorType::GrpcStatus(status),
                FaultAbortKind::Header(_) => ErrorType::HeaderAbort(HeaderAbort {}),
                FaultAbortKind::Http(status) => ErrorType::HttpStatus(status.into()),
            }),
            response_body: abort.body.clone(),
        }),
        response_rate_limit: fault.response_rate_limit.as_ref().map(|limit| ProtoRateLimit {
            percentage: Some(match limit.kind {
                FaultRateLimitKind::Fixed(_) => fraction(limit.share),
                FaultRateLimitKind::Header(unit) => in_units(limit.share, unit),
            }),
            limit_type: Some(match limit.kind {
                FaultRateLimitKind::Fixed(limit_kbps) => LimitType::FixedLimit(FixedLimit { limit_kbps }),
                FaultRateLimitKind::Header(_) => LimitType::HeaderLimit(HeaderLimit {}),
            }),
        }),
        upstream_cluster: fault.upstream_cluster.clone(),
        headers: fault.headers.iter().map(matches::encode_header).collect(),
        downstream_nodes: fault.downstream_nodes.clone(),
        max_active_faults: fault.max_active.and_then(u32_value),
        ..Proto::default()
    };
    any(TYPE, &proto)
}

fn in_units(share: Fraction, unit: ShareUnit) -> FractionalPercent {
    let denominator = match unit {
        ShareUnit::Percent => DenominatorType::Hundred,
        ShareUnit::TenThousandth => DenominatorType::TenThousand,
        ShareUnit::Millionth => DenominatorType::Million,
    };
    let numerator = share.parts_per_million() / unit.parts_per_million();
    FractionalPercent { numerator, denominator: denominator.into() }
}

pub(super) fn decode(config: &Any) -> Result<Fault> {
    let proto: Proto = unpack(Some(config), TYPE)?;
    // The names of runtime keys mean nothing without a runtime, and counters by downstream cluster are never made.
    refuse!(proto, filter_metadata);
    Ok(Fault {
        delay: proto.delay.as_ref().map(decode_delay).transpose().at("delay")?,
        abort: proto.abort.as_ref().map(decode_abort).transpose().at("abort")?,
        response_rate_limit: proto
            .response_rate_limit
            .as_ref()
            .map(decode_rate_limit)
            .transpose()
            .at("response_rate_limit")?,
        headers: super::decode_headers(&proto.headers)?,
        max_active: proto.max_active_faults.map(|most| most.value),
        upstream_cluster: proto.upstream_cluster,
        downstream_nodes: proto.downstream_nodes,
    })
}

fn decode_delay(delay: &ProtoDelay) -> Result<FaultDelay> {
    let (share, unit) = decode_share(delay.percentage.as_ref())?;
    let kind = match &delay.fault_delay_secifier {
        Some(DelayKind::FixedDelay(span)) => match read_duration(Some(span)) {
            Some(span) if !span.is_zero() => FaultDelayKind::Fixed(span),
            _ => return Err(DecodeError::new("fixed_delay", "must be above zero")),
        },
        Some(DelayKind::HeaderDelay(_)) => FaultDelayKind::Header(unit),
        None => return Err(DecodeError::new("fixed_delay", "is missing")),
    };
    Ok(FaultDelay { kind, share })
}

fn decode_abort(abort: &ProtoAbort) -> Result<FaultAbort> {
    let (share, unit) = decode_share(abort.percentage.as_ref())?;
    let kind = match &abort.error_type {
        Some(ErrorType::GrpcStatus(status)) => FaultAbortKind::Grpc(*status),
        Some(ErrorType::HeaderAbort(_)) => FaultAbortKind::Header(unit),
        Some(ErrorType::HttpStatus(status)) => match u16::try_from(*status) {
            Ok(status @ 200..=599) => FaultAbortKind::Http(status),
            _ => return Err(DecodeError::new("http_status", format!("{status} is not between 200 and 599"))),
        },
        None => return Err(DecodeError::new("http_status", "is missing")),
    };
    Ok(FaultAbort { kind, share, body: abort.response_body.clone() })
}

fn decode_rate_limit(limit: &ProtoRateLimit) -> Result<FaultRateLimit> {
    let (share, unit) = decode_share(limit.percentage.as_ref())?;
    let kind = match &limit.limit_type {
        Some(LimitType::FixedLimit(FixedLimit { limit_kbps: 0 })) => {
            return Err(DecodeError::new("fixed_limit.limit_kbps", "must be above zero"));
        }
        Some(LimitType::FixedLimit(limit)) => FaultRateLimitKind::Fixed(limit.limit_kbps),
        Some(LimitType::HeaderLimit(_)) => FaultRateLimitKind::Header(unit),
        None => return Err(DecodeError::new("fixed_limit", "is missing")),
    };
    Ok(FaultRateLimit { kind, share })
}

/// Nothing said is no request at all (Envoy).
fn decode_share(share: Option<&FractionalPercent>) -> Result<(Fraction, ShareUnit)> {
    let Some(share) = share else { return Ok((Fraction::ZERO, ShareUnit::Percent)) };
    let unit = match share.denominator() {
        DenominatorType::Hundred => ShareUnit::Percent,
        DenominatorType::TenThousand => ShareUnit::TenThousandth,
        DenominatorType::Million => ShareUnit::Millionth,
    };
    Ok((read_fraction(share).at("percentage")?, unit))
}
