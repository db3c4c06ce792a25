//! The router filter: the last of an HTTP filter chain.

use leno_ir::{RouterOptions, StrictHeader};
use leno_proto::envoy::extensions::filters::http::router::v3::Router;

use leno_proto::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpFilter, http_filter::ConfigType,
};

use super::common::{is_type, unpack};
use super::error::{At, DecodeError, Result, refuse};

pub(super) const NAME: &str = "envoy.filters.http.router";
pub(super) const TYPE: &str = "envoy.extensions.filters.http.router.v3.Router";

pub(super) fn encode(options: &RouterOptions) -> Router {
    Router {
        suppress_envoy_headers: options.suppress_envoy_headers,
        respect_expected_rq_timeout: options.respect_expected_timeout,
        strict_check_headers: options.strict_check_headers.iter().map(|header| header.as_str().to_owned()).collect(),
        ..Router::default()
    }
}

/// Of the router among the filters of this field, if it says anything.
pub(super) fn decode(field: &str, filters: &[HttpFilter]) -> Result<RouterOptions> {
    for (index, filter) in filters.iter().enumerate() {
        if let Some(ConfigType::TypedConfig(config)) = &filter.config_type
            && is_type(Some(config), TYPE)
        {
            let options = unpack(Some(config), TYPE).and_then(|router| decode_options(&router));
            return options.at("typed_config").at_index(field, index);
        }
    }
    Ok(RouterOptions::default())
}

fn decode_options(router: &Router) -> Result<RouterOptions> {
    refuse!(router, upstream_log, upstream_log_options, upstream_http_filters);
    let strict = router.strict_check_headers.iter().enumerate().map(|(index, name)| {
        let unknown = || DecodeError::new("", format!("{name} is none of the headers that can be checked"));
        StrictHeader::from_name(name).ok_or_else(unknown).at_index("strict_check_headers", index)
    });
    Ok(RouterOptions {
        suppress_envoy_headers: router.suppress_envoy_headers,
        respect_expected_timeout: router.respect_expected_rq_timeout,
        strict_check_headers: strict.collect::<Result<_>>()?,
    })
}
