//! What Leno's TrafficPolicy changes in clusters, before DestinationRules do.

use leno_ir::{BalancerPolicy, Cluster, Consecutive, LeastRequest, OutlierDetection, RetryBudget, SlowStart};
use leno_model::api::leno::{Balancer, CircuitBreakers, Outliers, TrafficPolicySpec};
use leno_names::Fraction;

/// Each part that the policy speaks of is replaced as a whole.
pub(crate) fn apply(spec: &TrafficPolicySpec, cluster: &mut Cluster) {
    if let Some(timeout) = spec.connect_timeout {
        cluster.connect_timeout = timeout.0;
    }
    if let Some(balancing) = &spec.load_balancer {
        cluster.balancer = match balancing.r#type {
            None | Some(Balancer::PeakEwma) => BalancerPolicy::default(),
            Some(Balancer::LeastRequest) => BalancerPolicy::LeastRequest(LeastRequest::default()),
            Some(Balancer::Random) => BalancerPolicy::Random,
            Some(Balancer::RoundRobin) => BalancerPolicy::RoundRobin,
        };
        cluster.balancing.slow_start = balancing.slow_start.as_ref().map(|written| {
            let default = SlowStart::new(written.window.0);
            SlowStart { min_weight: share(written.min_percent).unwrap_or(default.min_weight), ..default }
        });
    }
    if let Some(outliers) = &spec.outlier_detection {
        cluster.outlier_detection = Some(outlier_detection(outliers));
    }
    if let Some(CircuitBreakers { max_connections, max_pending_requests, max_requests }) = spec.circuit_breakers {
        let limits = &mut cluster.circuit_breakers.default;
        limits.max_connections = max_connections.unwrap_or(limits.max_connections);
        limits.max_pending_requests = max_pending_requests.unwrap_or(limits.max_pending_requests);
        limits.max_requests = max_requests.unwrap_or(limits.max_requests);
    }
    if let Some(budget) = &spec.retry_budget {
        let default = RetryBudget::default();
        cluster.circuit_breakers.default.retry_budget = Some(RetryBudget {
            budget: share(budget.percent).unwrap_or(default.budget),
            min_retry_concurrency: budget.min_concurrency.unwrap_or(default.min_retry_concurrency),
        });
    }
}

/// Failures to reach an endpoint count apart from what it answers.
fn outlier_detection(written: &Outliers) -> OutlierDetection {
    let default = OutlierDetection::default();
    let most = written.max_ejection_percent.unwrap_or(50);
    OutlierDetection {
        consecutive_5xx: written.consecutive5xx.map(Consecutive::new),
        consecutive_gateway_errors: written.consecutive_gateway_errors.map(Consecutive::new),
        consecutive_local_origin_failures: Some(Consecutive::new(written.consecutive_failures.unwrap_or(5))),
        split_local_origin: true,
        interval: written.interval.map_or(default.interval, |interval| interval.0),
        base_ejection_time: written.base_ejection_time.map_or(std::time::Duration::from_secs(10), |time| time.0),
        max_ejection: Fraction::from_percent(most).unwrap_or(default.max_ejection),
        ..default
    }
}

fn share(percent: Option<f64>) -> Option<Fraction> {
    Fraction::from_percent_f64(percent?).ok()
}
