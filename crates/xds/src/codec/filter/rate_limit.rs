use leno_ir::{RateLimit, RateLimitedRequests, RouteRateLimit, VirtualHostRules};
use leno_names::Fraction;
use leno_proto::envoy::config::core::v3::{ApiVersion, GrpcService, grpc_service};
use leno_proto::envoy::config::ratelimit::v3::RateLimitServiceConfig;
use leno_proto::envoy::extensions::filters::http::ratelimit::v3::{
    RateLimit as Proto, RateLimitPerRoute, rate_limit::XRateLimitHeadersRfcVersion,
    rate_limit_per_route::VhRateLimitsOptions,
};
use leno_proto::envoy::r#type::v3::HttpStatus;
use leno_proto::google::protobuf::Any;

use crate::codec::common::{
    any, duration_or_off, headers_to_add, read_header_ops, read_limit, read_runtime_fraction, runtime_fraction, unpack,
};
use crate::codec::error::{At, DecodeError, Result, refuse};
use crate::codec::route::rate_limit::{self, decode_of_filter, read_stage};

pub(super) const TYPE: &str = "envoy.extensions.filters.http.ratelimit.v3.RateLimit";
pub(super) const ROUTE_TYPE: &str = "envoy.extensions.filters.http.ratelimit.v3.RateLimitPerRoute";

pub(super) fn encode(filter: &RateLimit) -> Any {
    let service = grpc_service::EnvoyGrpc { cluster_name: filter.cluster.clone(), ..Default::default() };
    let service = GrpcService {
        target_specifier: Some(grpc_service::TargetSpecifier::EnvoyGrpc(service)),
        ..GrpcService::default()
    };
    let proto = Proto {
        domain: filter.domain.clone(),
        stage: filter.stage,
        request_type: match filter.requests {
            RateLimitedRequests::Both => "both",
            RateLimitedRequests::External => "external",
            RateLimitedRequests::Internal => "internal",
        }
        .to_owned(),
        timeout: duration_or_off(filter.timeout),
        failure_mode_deny: filter.failure_mode_deny,
        failure_mode_deny_percent: filter.failure_mode_deny_share.map(runtime_fraction),
        filter_enabled: Some(filter.enabled).filter(|share| *share != Fraction::ONE).map(runtime_fraction),
        filter_enforced: Some(filter.enforced).filter(|share| *share != Fraction::ONE).map(runtime_fraction),
        rate_limits: rate_limit::encode(&filter.rules),
        rate_limited_as_resource_exhausted: filter.resource_exhausted,
        rate_limit_service: Some(RateLimitServiceConfig {
            grpc_service: Some(service),
            transport_api_version: ApiVersion::V3.into(),
        }),
        enable_x_ratelimit_headers: match filter.limit_headers {
            false => XRateLimitHeadersRfcVersion::Off,
            true => XRateLimitHeadersRfcVersion::DraftVersion03,
        }
        .into(),
        disable_x_envoy_ratelimited_header: !filter.ratelimited_header,
        rate_limited_status: http_status(filter.rate_limited_status),
        status_on_error: http_status(filter.status_on_error),
        response_headers_to_add: headers_to_add(&filter.response_headers),
        stat_prefix: filter.stat_prefix.clone(),
        ..Proto::default()
    };
    any(TYPE, &proto)
}

pub(super) fn decode(config: &Any) -> Result<RateLimit> {
    let proto: Proto = unpack(Some(config), TYPE)?;
    refuse!(proto, metadata_namespace, enable_retry_after_header);
    if proto.domain.is_empty() {
        return Err(DecodeError::new("domain", "is missing"));
    }
    Ok(RateLimit {
        stage: read_stage(proto.stage)?,
        requests: match proto.request_type.as_str() {
            "" | "both" => RateLimitedRequests::Both,
            "external" => RateLimitedRequests::External,
            "internal" => RateLimitedRequests::Internal,
            other => {
                return Err(DecodeError::new("request_type", format!("\"{other}\" is not internal, external or both")));
            }
        },
        timeout: read_limit(proto.timeout.as_ref(), Some(RateLimit::TIMEOUT)),
        failure_mode_deny: proto.failure_mode_deny,
        failure_mode_deny_share: proto
            .failure_mode_deny_percent
            .as_ref()
            .map(|share| read_runtime_fraction(Some(share), Fraction::ONE))
            .transpose()
            .at("failure_mode_deny_percent")?,
        enabled: read_runtime_fraction(proto.filter_enabled.as_ref(), Fraction::ONE).at("filter_enabled")?,
        enforced: read_runtime_fraction(proto.filter_enforced.as_ref(), Fraction::ONE).at("filter_enforced")?,
        rules: decode_of_filter(&proto.rate_limits)?,
        resource_exhausted: proto.rate_limited_as_resource_exhausted,
        cluster: decode_service(proto.rate_limit_service.as_ref()).at("rate_limit_service")?,
        limit_headers: proto.enable_x_ratelimit_headers() == XRateLimitHeadersRfcVersion::DraftVersion03,
        ratelimited_header: !proto.disable_x_envoy_ratelimited_header,
        rate_limited_status: read_limited_status(&proto.rate_limited_status, "rate_limited_status.code")?,
        status_on_error: read_status(&proto.status_on_error, 500, "status_on_error.code")?,
        response_headers: read_header_ops(&proto.response_headers_to_add, &[]).at("response_headers_to_add")?,
        stat_prefix: proto.stat_prefix,
        domain: proto.domain,
    })
}

pub(super) fn http_status(code: u16) -> Option<HttpStatus> {
    Some(HttpStatus { code: code.into() })
}

/// As Envoy: who is limited has not been served.
pub(super) fn read_limited_status(status: &Option<HttpStatus>, field: &str) -> Result<u16> {
    Ok(match read_status(status, 429, field)? {
        ..400 => 429,
        code => code,
    })
}

fn read_status(status: &Option<HttpStatus>, default: u16, field: &str) -> Result<u16> {
    let Some(status) = status else { return Ok(default) };
    let code = u16::try_from(status.code).ok().filter(|code| (100..600).contains(code));
    code.ok_or_else(|| DecodeError::new(field, format!("{} is no status", status.code)))
}

fn decode_service(service: Option<&RateLimitServiceConfig>) -> Result<String> {
    let service = service.ok_or_else(|| DecodeError::new("", "is missing"))?;
    let grpc = service.grpc_service.as_ref().ok_or_else(|| DecodeError::new("grpc_service", "is missing"))?;
    refuse!(grpc, initial_metadata, retry_policy);
    match &grpc.target_specifier {
        Some(grpc_service::TargetSpecifier::EnvoyGrpc(envoy)) => {
            refuse!(envoy, authority, retry_policy, max_receive_message_length, skip_envoy_headers);
            Ok(envoy.cluster_name.clone())
        }
        _ => Err(DecodeError::new("grpc_service", "only envoy_grpc is supported")),
    }
}

pub(super) fn encode_route(route: &RouteRateLimit) -> Any {
    let proto = RateLimitPerRoute {
        vh_rate_limits: match route.virtual_host_rules {
            VirtualHostRules::Ignore => VhRateLimitsOptions::Ignore,
            VirtualHostRules::Include => VhRateLimitsOptions::Include,
            VirtualHostRules::Override => VhRateLimitsOptions::Override,
        }
        .into(),
        domain: route.domain.clone(),
        rate_limits: rate_limit::encode(&route.rules),
        ..RateLimitPerRoute::default()
    };
    any(ROUTE_TYPE, &proto)
}

pub(super) fn decode_route(config: &Any) -> Result<RouteRateLimit> {
    let proto: RateLimitPerRoute = unpack(Some(config), ROUTE_TYPE)?;
    refuse!(proto, override_option);
    let rules = decode_of_filter(&proto.rate_limits)?;
    Ok(RouteRateLimit {
        virtual_host_rules: match proto.vh_rate_limits() {
            VhRateLimitsOptions::Ignore => VirtualHostRules::Ignore,
            VhRateLimitsOptions::Include => VirtualHostRules::Include,
            VhRateLimitsOptions::Override => VirtualHostRules::Override,
        },
        domain: proto.domain,
        rules,
    })
}
