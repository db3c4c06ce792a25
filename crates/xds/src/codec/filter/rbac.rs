use leno_ir::HttpRbac;
use leno_proto::envoy::extensions::filters::http::rbac::v3::{Rbac as Proto, RbacPerRoute};
use leno_proto::google::protobuf::Any;

use crate::codec::common::{any, unpack};
use crate::codec::error::{At, Result, refuse};
use crate::codec::rbac;

pub(super) const TYPE: &str = "envoy.extensions.filters.http.rbac.v3.RBAC";
pub(super) const ROUTE_TYPE: &str = "envoy.extensions.filters.http.rbac.v3.RBACPerRoute";

pub(super) fn encode(filter: &HttpRbac) -> Any {
    any(TYPE, &proto(filter))
}

pub(super) fn decode(config: &Any) -> Result<HttpRbac> {
    read(&unpack(Some(config), TYPE)?)
}

/// `None`: no rules for this route.
pub(super) fn encode_route(filter: Option<&HttpRbac>) -> Any {
    any(ROUTE_TYPE, &RbacPerRoute { rbac: filter.map(proto) })
}

pub(super) fn decode_route(config: &Any) -> Result<Option<HttpRbac>> {
    let route: RbacPerRoute = unpack(Some(config), ROUTE_TYPE)?;
    route.rbac.as_ref().map(read).transpose().at("rbac")
}

fn proto(filter: &HttpRbac) -> Proto {
    Proto {
        rules: filter.rules.as_ref().map(rbac::encode),
        rules_stat_prefix: filter.rules_stat_prefix.clone(),
        shadow_rules: filter.shadow_rules.as_ref().map(rbac::encode),
        shadow_rules_stat_prefix: filter.shadow_rules_stat_prefix.clone(),
        track_per_rule_stats: filter.track_per_rule_stats,
        ..Proto::default()
    }
}

fn read(proto: &Proto) -> Result<HttpRbac> {
    refuse!(proto, matcher, shadow_matcher);
    Ok(HttpRbac {
        rules: proto.rules.as_ref().map(rbac::decode).transpose().at("rules")?,
        rules_stat_prefix: proto.rules_stat_prefix.clone(),
        shadow_rules: proto.shadow_rules.as_ref().map(rbac::decode).transpose().at("shadow_rules")?,
        shadow_rules_stat_prefix: proto.shadow_rules_stat_prefix.clone(),
        track_per_rule_stats: proto.track_per_rule_stats,
    })
}
