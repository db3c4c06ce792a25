//! When endpoints are left out, both ways.
//!
//! Source      Envoy outlier_detection.proto v3, 1.40: the defaults of what is not said

use leno_ir::{Consecutive, FailurePercentage, OutlierDetection, SuccessRate};
use leno_names::Fraction;
use leno_proto::envoy::config::cluster::v3::OutlierDetection as Proto;
use leno_proto::google::protobuf::UInt32Value;

use super::common::{bool_value, duration, read_duration, u32_value};
use super::error::{Result, refuse};

pub(super) fn encode(detection: &OutlierDetection) -> Proto {
    // A detector is turned off by never enforcing it.
    let share = |enforced: Option<Fraction>| u32_value(enforced.map_or(0, percent));
    let of = |detector: Option<Consecutive>| share(detector.map(|detector| detector.enforced));
    let count = |detector: Option<Consecutive>| detector.and_then(|detector| u32_value(detector.threshold));
    let (rate, failures) = (detection.success_rate, detection.failure_percentage);
    Proto {
        consecutive_5xx: count(detection.consecutive_5xx),
        enforcing_consecutive_5xx: of(detection.consecutive_5xx),
        consecutive_gateway_failure: count(detection.consecutive_gateway_errors),
        enforcing_consecutive_gateway_failure: of(detection.consecutive_gateway_errors),
        split_external_local_origin_errors: detection.split_local_origin,
        consecutive_local_origin_failure: count(detection.consecutive_local_origin_failures),
        enforcing_consecutive_local_origin_failure: of(detection.consecutive_local_origin_failures),
        enforcing_success_rate: share(rate.map(|rate| rate.enforced)),
        enforcing_local_origin_success_rate: share(rate.map(|rate| rate.local_origin_enforced)),
        success_rate_minimum_hosts: rate.and_then(|rate| u32_value(rate.minimum_hosts)),
        success_rate_request_volume: rate.and_then(|rate| u32_value(rate.request_volume)),
        success_rate_stdev_factor: rate.and_then(|rate| u32_value(rate.stdev_factor_thousandths)),
        enforcing_failure_percentage: share(failures.map(|failures| failures.enforced)),
        enforcing_failure_percentage_local_origin: share(failures.map(|failures| failures.local_origin_enforced)),
        failure_percentage_threshold: failures.and_then(|failures| u32_value(failures.threshold_percent)),
        failure_percentage_minimum_hosts: failures.and_then(|failures| u32_value(failures.minimum_hosts)),
        failure_percentage_request_volume: failures.and_then(|failures| u32_value(failures.request_volume)),
        interval: duration(detection.interval),
        base_ejection_time: duration(detection.base_ejection_time),
        max_ejection_time: duration(detection.max_ejection_time.max(detection.base_ejection_time)),
        max_ejection_time_jitter: duration(detection.max_ejection_time_jitter),
        max_ejection_percent: u32_value(percent(detection.max_ejection)),
        always_eject_one_host: bool_value(detection.always_eject_one),
        successful_active_health_check_uneject_host: bool_value(detection.health_check_readmits),
        ..Proto::default()
    }
}

fn percent(fraction: Fraction) -> u32 {
    fraction.parts_per_million() / 10_000
}

pub(super) fn decode(proto: &Proto) -> Result<OutlierDetection> {
    refuse!(proto, monitors, detect_degraded_hosts);
    let default = OutlierDetection::default();
    let number = |value: Option<&UInt32Value>, default: u32| value.map_or(default, |value| value.value);
    let share = |value: Option<&UInt32Value>, default: u32| {
        Fraction::from_percent(number(value, default).min(100)).unwrap_or(Fraction::ONE)
    };
    let split = proto.split_external_local_origin_errors;
    let consecutive = |threshold: Option<&UInt32Value>, enforcing: Option<&UInt32Value>, default: u32| {
        let (threshold, enforced) = (number(threshold, 5), share(enforcing, default));
        (threshold > 0 && enforced > Fraction::ZERO).then_some(Consecutive { threshold, enforced })
    };
    let rate = SuccessRate {
        minimum_hosts: number(proto.success_rate_minimum_hosts.as_ref(), 5),
        request_volume: number(proto.success_rate_request_volume.as_ref(), 100),
        stdev_factor_thousandths: number(proto.success_rate_stdev_factor.as_ref(), 1900),
        enforced: share(proto.enforcing_success_rate.as_ref(), 100),
        local_origin_enforced: share(proto.enforcing_local_origin_success_rate.as_ref(), 100),
    };
    let failures = FailurePercentage {
        threshold_percent: number(proto.failure_percentage_threshold.as_ref(), 85),
        minimum_hosts: number(proto.failure_percentage_minimum_hosts.as_ref(), 5),
        request_volume: number(proto.failure_percentage_request_volume.as_ref(), 50),
        enforced: share(proto.enforcing_failure_percentage.as_ref(), 0),
        local_origin_enforced: share(proto.enforcing_failure_percentage_local_origin.as_ref(), 0),
    };
    let is_used = |enforced: Fraction, local: Fraction| enforced > Fraction::ZERO || local > Fraction::ZERO;
    let base = read_duration(proto.base_ejection_time.as_ref()).unwrap_or(default.base_ejection_time);
    let max = read_duration(proto.max_ejection_time.as_ref()).unwrap_or(default.max_ejection_time);
    Ok(OutlierDetection {
        consecutive_5xx: consecutive(proto.consecutive_5xx.as_ref(), proto.enforcing_consecutive_5xx.as_ref(), 100),
        consecutive_gateway_errors: consecutive(
            proto.consecutive_gateway_failure.as_ref(),
            proto.enforcing_consecutive_gateway_failure.as_ref(),
            0,
        ),
        consecutive_local_origin_failures: consecutive(
            proto.consecutive_local_origin_failure.as_ref(),
            proto.enforcing_consecutive_local_origin_failure.as_ref(),
            100,
        )
        .filter(|_| split),
        split_local_origin: split,
        success_rate: is_used(rate.enforced, rate.local_origin_enforced).then_some(rate),
        failure_percentage: is_used(failures.enforced, failures.local_origin_enforced).then_some(failures),
        interval: read_duration(proto.interval.as_ref()).unwrap_or(default.interval),
        base_ejection_time: base,
        max_ejection_time: max.max(base),
        max_ejection_time_jitter: read_duration(proto.max_ejection_time_jitter.as_ref()).unwrap_or_default(),
        max_ejection: share(proto.max_ejection_percent.as_ref(), 10),
        always_eject_one: proto.always_eject_one_host.is_some_and(|always| always.value),
        health_check_readmits: proto.successful_active_health_check_uneject_host.is_none_or(|readmits| readmits.value),
    })
}
