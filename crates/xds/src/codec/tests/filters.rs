use leno_ir::{FilterOverride, HttpFilter, HttpFilterConfig};
use leno_proto::envoy::config::route::v3::FilterConfig;
use leno_proto::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpFilter as ProtoFilter, http_filter::ConfigType,
};
use leno_proto::google::protobuf::Any;

use crate::codec::common::any;
use crate::codec::filter;

const ROUTER: &str = "envoy.extensions.filters.http.router.v3.Router";
const CORS: &str = "envoy.extensions.filters.http.cors.v3.Cors";

fn proto(name: &str, type_name: &str, is_optional: bool) -> ProtoFilter {
    let config = Any { type_url: format!("type.googleapis.com/{type_name}"), value: Vec::new() };
    let config_type = Some(ConfigType::TypedConfig(config));
    ProtoFilter { name: name.into(), config_type, is_optional, ..ProtoFilter::default() }
}

#[test]
fn the_router_comes_last_and_unknown_filters_are_refused_unless_optional() {
    let (router, cors) = (proto("r", ROUTER, false), proto("c", CORS, false));
    let known = HttpFilter { name: "c".into(), disabled: false, config: HttpFilterConfig::Cors };
    assert_eq!(
        filter::decode("http_filters", &[cors.clone(), proto("x", "no.such", true), router.clone()]),
        Ok(vec![known])
    );
    let refused = |filters: &[ProtoFilter]| filter::decode("http_filters", filters).unwrap_err().to_string();
    assert_eq!(
        refused(&[proto("x", "no.such", false), router.clone()]),
        "http_filters[0]: no such filter here: x (no.such)"
    );
    assert_eq!(refused(&[router.clone(), cors.clone()]), "http_filters[0]: the router, r, must be the last filter");
    assert_eq!(refused(&[cors]), "http_filters: the last filter must be the router");
}

#[test]
fn what_routes_say_may_be_wrapped_and_optional() {
    let read = |config: Any| {
        let overrides = [("f".to_owned(), config)].into_iter().collect();
        filter::decode_overrides(&overrides).map(|mut all| all.remove("f").unwrap()).map_err(|error| error.to_string())
    };
    let unknown = any("no.such.Config", &FilterConfig::default());
    let wrap = |config: FilterConfig| any("envoy.config.route.v3.FilterConfig", &config);
    let config = Some(unknown.clone());
    assert_eq!(read(wrap(FilterConfig { disabled: true, ..Default::default() })), Ok(FilterOverride::Disabled));
    let optional = FilterConfig { is_optional: true, config: config.clone(), ..Default::default() };
    assert_eq!(read(wrap(optional)), Ok(FilterOverride::Enabled));
    assert_eq!(read(wrap(FilterConfig::default())), Err("typed_per_filter_config[f].config: is missing".into()));
    let reason = "typed_per_filter_config[f]: no filter here takes no.such.Config from a route";
    assert_eq!(read(unknown), Err(reason.into()));
    assert_eq!(read(wrap(FilterConfig { config, ..Default::default() })), Err(reason.into()));
}
