use std::time::Duration;

use leno_names::Fraction;
use serde::Serialize;

/// When an endpoint is left out for a while (Envoy `OutlierDetection`). `None` turns a detector off.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OutlierDetection {
    /// 5xx answers in a row, failures to connect included unless `split_local_origin`. Default 5.
    pub consecutive_5xx: Option<Consecutive>,
    /// 502, 503, 504 in a row. Off.
    pub consecutive_gateway_errors: Option<Consecutive>,
    /// Connection failures, resets and time-outs in a row; only with `split_local_origin`. Off.
    pub consecutive_local_origin_failures: Option<Consecutive>,
    /// Whether what happens on the way to an endpoint counts apart from what it answers.
    pub split_local_origin: bool,
    /// Far fewer successes than the others. Off.
    pub success_rate: Option<SuccessRate>,
    /// Too large a share of failures. Off.
    pub failure_percentage: Option<FailurePercentage>,
    /// Between two sweeps that let endpoints back in and judge rates. 10 s.
    pub interval: Duration,
    /// Times the number of ejections so far. 30 s.
    pub base_ejection_time: Duration,
    /// 300 s.
    pub max_ejection_time: Duration,
    /// Up to this is added to an ejection. None.
    pub max_ejection_time_jitter: Duration,
    /// At most this share of the endpoints is out. 10 %.
    pub max_ejection: Fraction,
    /// Whether one endpoint may be out whatever its share. Yes; Envoy's default is no.
    pub always_eject_one: bool,
    /// Whether a passed active health check ends an ejection. Yes.
    pub health_check_readmits: bool,
}

/// So many in a row.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct Consecutive {
    pub threshold: u32,
    /// Share of the detections that eject.
    #[serde(skip_serializing_if = "is_whole")]
    pub enforced: Fraction,
}

impl Consecutive {
    pub const fn new(threshold: u32) -> Self {
        Self { threshold, enforced: Fraction::ONE }
    }
}

/// An endpoint is out of line when its rate is below the mean by `stdev_factor` standard deviations.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct SuccessRate {
    /// With fewer endpoints nothing is judged. 5.
    pub minimum_hosts: u32,
    /// Requests in an interval without which an endpoint is not judged. 100.
    pub request_volume: u32,
    /// Thousandths. 1,900.
    pub stdev_factor_thousandths: u32,
    pub enforced: Fraction,
    /// The same for what happens on the way; only with `split_local_origin`.
    pub local_origin_enforced: Fraction,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct FailurePercentage {
    /// 85.
    pub threshold_percent: u32,
    /// 5.
    pub minimum_hosts: u32,
    /// 50.
    pub request_volume: u32,
    pub enforced: Fraction,
    /// The same for what happens on the way; only with `split_local_origin`.
    pub local_origin_enforced: Fraction,
}

fn is_whole(share: &Fraction) -> bool {
    *share == Fraction::ONE
}

impl Default for OutlierDetection {
    /// Istio's, which turns rates off and always may eject one.
    fn default() -> Self {
        Self {
            consecutive_5xx: Some(Consecutive::new(5)),
            consecutive_gateway_errors: None,
            consecutive_local_origin_failures: None,
            split_local_origin: false,
            success_rate: None,
            failure_percentage: None,
            interval: Duration::from_secs(10),
            base_ejection_time: Duration::from_secs(30),
            max_ejection_time: Duration::from_secs(300),
            max_ejection_time_jitter: Duration::ZERO,
            max_ejection: Fraction::from_percent(10).unwrap_or(Fraction::ZERO),
            always_eject_one: true,
            health_check_readmits: true,
        }
    }
}
