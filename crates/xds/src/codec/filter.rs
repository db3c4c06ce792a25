//! HTTP filters, and what routes say about them.
//!
//! A filter is a variant of `HttpFilterConfig`, one of `RouteFilterConfig` when routes may configure it, a file below
//! `filter/`, and an arm in each of the four functions here that name types.

mod buffer;
mod compressor;
mod cors;
mod decompressor;
mod fault;
mod health_check;
mod local_rate_limit;
mod metadata;
mod rate_limit;
mod rbac;
mod stateful_session;

use std::collections::HashMap;

use leno_ir::{
    FilterOverride, FilterOverrides, Flavor, HeaderMatch, HttpFilter, HttpFilterConfig, RouteFilterConfig,
    RouterOptions,
};
use leno_proto::envoy::config::route::v3::{FilterConfig, HeaderMatcher};
use leno_proto::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpFilter as ProtoFilter, http_filter::ConfigType,
};
use leno_proto::google::protobuf::Any;

use super::common::{any, is_type, unpack, with_type};
use super::error::{At, DecodeError, Result};
use super::route::matches::decode_header;
use super::router::{self, NAME as ROUTER, TYPE as ROUTER_TYPE};

const OVERRIDE_TYPE: &str = "envoy.config.route.v3.FilterConfig";

/// With the router.
pub(super) fn encode(filters: &[HttpFilter], options: &RouterOptions, flavor: Flavor) -> Vec<ProtoFilter> {
    let router = proto(ROUTER, false, any(ROUTER_TYPE, &router::encode(options)));
    // gRPC refuses filters that it does not have.
    let filters = if flavor == Flavor::Grpc { &[] } else { filters };
    let encode = |filter: &HttpFilter| proto(&filter.name, filter.disabled, encode_config(&filter.config));
    filters.iter().map(encode).chain([router]).collect()
}

fn proto(name: &str, disabled: bool, config: Any) -> ProtoFilter {
    let config_type = Some(ConfigType::TypedConfig(config));
    ProtoFilter { name: name.to_owned(), disabled, config_type, ..ProtoFilter::default() }
}

fn encode_config(config: &HttpFilterConfig) -> Any {
    match config {
        HttpFilterConfig::Buffer(buffer) => buffer::encode(buffer),
        HttpFilterConfig::Cors => cors::encode(),
        HttpFilterConfig::Decompressor(filter) => decompressor::encode(filter),
        HttpFilterConfig::Fault(fault) => fault::encode(fault),
        HttpFilterConfig::HealthCheck(check) => health_check::encode(check),
        HttpFilterConfig::Compressor(filter) => compressor::encode(filter),
        HttpFilterConfig::HeaderToMetadata(filter) => metadata::encode_headers(filter),
        HttpFilterConfig::LocalRateLimit(filter) => local_rate_limit::encode(filter),
        HttpFilterConfig::RateLimit(filter) => rate_limit::encode(filter),
        HttpFilterConfig::Rbac(filter) => rbac::encode(filter),
        HttpFilterConfig::SetMetadata(filter) => metadata::encode_fixed(filter),
        HttpFilterConfig::StatefulSession(filter) => stateful_session::encode(filter),
    }
}

fn encode_route_config(config: &RouteFilterConfig) -> Any {
    match config {
        RouteFilterConfig::Buffer(said) => buffer::encode_override(said),
        RouteFilterConfig::Cors(policy) => cors::encode_policy(policy),
        RouteFilterConfig::Fault(fault) => fault::encode(fault),
        RouteFilterConfig::Compressor(route) => compressor::encode_route(*route),
        RouteFilterConfig::HeaderToMetadata(route) => metadata::encode_headers(route),
        RouteFilterConfig::LocalRateLimit(route) => local_rate_limit::encode(route),
        RouteFilterConfig::RateLimit(route) => rate_limit::encode_route(route),
        RouteFilterConfig::Rbac(filter) => rbac::encode_route(filter.as_deref()),
        RouteFilterConfig::StatefulSession(route) => stateful_session::encode_route(route),
    }
}

/// `None`: a type that is not known here.
fn decode_config(config: &Any) -> Option<Result<HttpFilterConfig>> {
    Some(match type_name(config) {
        buffer::TYPE => buffer::decode(config).map(HttpFilterConfig::Buffer),
        cors::TYPE => Ok(HttpFilterConfig::Cors),
        decompressor::TYPE => {
            decompressor::decode(config).map(|filter| HttpFilterConfig::Decompressor(Box::new(filter)))
        }
        fault::TYPE => fault::decode(config).map(|fault| HttpFilterConfig::Fault(Box::new(fault))),
        health_check::TYPE => health_check::decode(config).map(HttpFilterConfig::HealthCheck),
        compressor::TYPE => compressor::decode(config).map(|filter| HttpFilterConfig::Compressor(Box::new(filter))),
        local_rate_limit::TYPE => {
            local_rate_limit::decode(config).map(|filter| HttpFilterConfig::LocalRateLimit(Box::new(filter)))
        }
        rate_limit::TYPE => rate_limit::decode(config).map(|filter| HttpFilterConfig::RateLimit(Box::new(filter))),
        metadata::FIXED => metadata::decode_fixed(config).map(HttpFilterConfig::SetMetadata),
        metadata::HEADERS => metadata::decode_headers(config).map(HttpFilterConfig::HeaderToMetadata),
        rbac::TYPE => rbac::decode(config).map(|filter| HttpFilterConfig::Rbac(Box::new(filter))),
        stateful_session::TYPE => {
            stateful_session::decode(config).map(|filter| HttpFilterConfig::StatefulSession(Box::new(filter)))
        }
        _ => return None,
    })
}

/// As [`decode_config`], for types that a route may hold.
fn decode_route_config(config: &Any) -> Option<Result<RouteFilterConfig>> {
    Some(match type_name(config) {
        buffer::ROUTE_TYPE => buffer::decode_override(config).map(RouteFilterConfig::Buffer),
        fault::TYPE => fault::decode(config).map(|fault| RouteFilterConfig::Fault(Box::new(fault))),
        compressor::ROUTE_TYPE => compressor::decode_route(config).map(RouteFilterConfig::Compressor),
        cors::POLICY_TYPE => cors::decode_policy(config).map(RouteFilterConfig::Cors),
        local_rate_limit::TYPE => {
            local_rate_limit::decode_route(config).map(|filter| RouteFilterConfig::LocalRateLimit(Box::new(filter)))
        }
        rate_limit::ROUTE_TYPE => rate_limit::decode_route(config).map(RouteFilterConfig::RateLimit),
        metadata::HEADERS => metadata::decode_headers_of_route(config).map(RouteFilterConfig::HeaderToMetadata),
        rbac::ROUTE_TYPE => rbac::decode_route(config).map(|filter| RouteFilterConfig::Rbac(filter.map(Box::new))),
        stateful_session::ROUTE_TYPE => stateful_session::decode_route(config).map(RouteFilterConfig::StatefulSession),
        _ => return None,
    })
}

fn type_name(config: &Any) -> &str {
    config.type_url.rsplit('/').next().unwrap_or_default()
}

/// The filters of this field before the router, which must be there once, at the end.
pub(super) fn decode(field: &str, filters: &[ProtoFilter]) -> Result<Vec<HttpFilter>> {
    let mut decoded = Vec::new();
    for (index, filter) in filters.iter().enumerate() {
        let config = match &filter.config_type {
            Some(ConfigType::TypedConfig(config)) => Some(config),
            Some(ConfigType::ConfigDiscovery(_)) => {
                return Err(DecodeError::unsupported("config_discovery")).at_index(field, index);
            }
            None => None,
        };
        if is_type(config, ROUTER_TYPE) || (config.is_none() && filter.name == ROUTER) {
            if index + 1 < filters.len() {
                let reason = format!("the router, {}, must be the last filter", filter.name);
                return Err(DecodeError::new(format!("{field}[{index}]"), reason));
            }
            if filter.disabled {
                return Err(DecodeError::new(format!("{field}[{index}].disabled"), "the router must be enabled"));
            }
            return Ok(decoded);
        }
        match config.and_then(decode_config) {
            Some(config) => decoded.push(HttpFilter {
                name: filter.name.clone(),
                disabled: filter.disabled,
                config: config.at("typed_config").at_index(field, index)?,
            }),
            None if filter.is_optional => {}
            None => {
                let reason = format!("no such filter here: {}", with_type(&filter.name, config));
                return Err(DecodeError::new(format!("{field}[{index}]"), reason));
            }
        }
    }
    Err(DecodeError::new(field, "the last filter must be the router"))
}

fn decode_headers(headers: &[HeaderMatcher]) -> Result<Vec<HeaderMatch>> {
    let mut decoded = Vec::with_capacity(headers.len());
    for (index, header) in headers.iter().enumerate() {
        decoded.push(decode_header(header).at_index("headers", index)?);
    }
    Ok(decoded)
}

pub(super) fn encode_overrides(overrides: &FilterOverrides, flavor: Flavor) -> HashMap<String, Any> {
    if flavor == Flavor::Grpc {
        return HashMap::new();
    }
    let encode = |(name, override_): (&String, &FilterOverride)| {
        let config = match override_ {
            FilterOverride::Config(config) => encode_route_config(config),
            FilterOverride::Disabled => any(OVERRIDE_TYPE, &FilterConfig { disabled: true, ..FilterConfig::default() }),
            FilterOverride::Enabled => {
                any(OVERRIDE_TYPE, &FilterConfig { config: Some(Any::default()), ..FilterConfig::default() })
            }
        };
        (name.clone(), config)
    };
    overrides.iter().map(encode).collect()
}

pub(super) fn decode_overrides(overrides: &HashMap<String, Any>) -> Result<FilterOverrides> {
    let mut names: Vec<_> = overrides.iter().collect();
    // The first problem reported must not depend on the order of a hash map.
    names.sort_by_key(|(name, _)| *name);
    let decode = |(name, config): (&String, &Any)| {
        let decoded = decode_override(config).at(&format!("typed_per_filter_config[{name}]"))?;
        Ok((name.clone(), decoded))
    };
    names.into_iter().map(decode).collect()
}

fn decode_override(config: &Any) -> Result<FilterOverride> {
    let mut is_optional = false;
    let mut wrapped = None;
    if is_type(Some(config), OVERRIDE_TYPE) {
        let wrapper: FilterConfig = unpack(Some(config), OVERRIDE_TYPE)?;
        if wrapper.disabled {
            return Ok(FilterOverride::Disabled);
        }
        let inner = wrapper.config.ok_or_else(|| DecodeError::new("config", "is missing"))?;
        if inner.type_url.is_empty() {
            return Ok(FilterOverride::Enabled);
        }
        is_optional = wrapper.is_optional;
        wrapped = Some(inner);
    }
    let config = wrapped.as_ref().unwrap_or(config);
    match decode_route_config(config) {
        Some(config) => Ok(FilterOverride::Config(config?)),
        None if is_optional => Ok(FilterOverride::Enabled),
        None => Err(DecodeError::new("", format!("no filter here takes {} from a route", type_name(config)))),
    }
}
