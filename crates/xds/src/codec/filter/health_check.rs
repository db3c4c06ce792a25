use leno_ir::HttpHealthCheck;
use leno_names::Fraction;
use leno_proto::envoy::extensions::filters::http::health_check::v3::HealthCheck as Proto;
use leno_proto::envoy::r#type::v3::Percent;
use leno_proto::google::protobuf::Any;

use crate::codec::common::{any, bool_value, duration, read_duration, unpack};
use crate::codec::error::{DecodeError, Result};
use crate::codec::route::matches;

pub(super) const TYPE: &str = "envoy.extensions.filters.http.health_check.v3.HealthCheck";

pub(super) fn encode(check: &HttpHealthCheck) -> Any {
    let percent = |share: &Fraction| Percent { value: f64::from(share.parts_per_million()) / 10_000.0 };
    let proto = Proto {
        pass_through_mode: bool_value(check.pass_through),
        cache_time: check.cache_time.and_then(duration),
        cluster_min_healthy_percentages: check
            .min_healthy
            .iter()
            .map(|(name, share)| (name.clone(), percent(share)))
            .collect(),
        headers: check.headers.iter().map(matches::encode_header).collect(),
    };
    any(TYPE, &proto)
}

pub(super) fn decode(config: &Any) -> Result<HttpHealthCheck> {
    let proto: Proto = unpack(Some(config), TYPE)?;
    let pass_through = proto.pass_through_mode.ok_or_else(|| DecodeError::new("pass_through_mode", "is missing"))?;
    let cache_time = read_duration(proto.cache_time.as_ref()).filter(|time| !time.is_zero());
    if cache_time.is_some() && !pass_through.value {
        return Err(DecodeError::new("cache_time", "is only for pass_through_mode"));
    }
    if !proto.cluster_min_healthy_percentages.is_empty() && pass_through.value {
        return Err(DecodeError::new("cluster_min_healthy_percentages", "is not for pass_through_mode"));
    }
    let share = |(name, percent): (String, Percent)| {
        let share = Fraction::from_percent_f64(percent.value);
        let field = || format!("cluster_min_healthy_percentages[{name}]");
        share.map_err(|error| DecodeError::new(field(), error.to_string())).map(|share| (name.clone(), share))
    };
    Ok(HttpHealthCheck {
        pass_through: pass_through.value,
        cache_time,
        min_healthy: proto.cluster_min_healthy_percentages.into_iter().map(share).collect::<Result<_>>()?,
        headers: super::decode_headers(&proto.headers)?,
    })
}
