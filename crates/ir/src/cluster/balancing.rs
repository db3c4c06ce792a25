use std::time::Duration;

use leno_names::Fraction;
use serde::Serialize;

use super::SubsetSettings;
use crate::EndpointHealth;

/// What holds for every balancing policy (Envoy `CommonLbConfig` and what is beside it in a cluster).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Balancing {
    /// With a smaller share of healthy endpoints all of a priority are used. `None`: 50 %, Envoy's default; guests that
    /// run Envoy are told 0 %, as Istio tells them.
    pub panic_threshold: Option<Fraction>,
    pub localities: LocalityBalancing,
    /// Endpoints that were not checked yet do not count at all, instead of counting as unhealthy.
    pub ignore_new_until_checked: bool,
    /// An endpoint that discovery takes away goes at once, even while its health checks pass.
    pub ignore_health_on_removal: bool,
    /// TCP connections to an endpoint end when health checks or outlier detection find that it fails.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub closes_connections_of_failed: bool,
    /// For balancers by hash.
    #[serde(skip_serializing_if = "Hashing::is_default")]
    pub hashing: Hashing,
    /// For round robin, least request and peak EWMA. `None`: new endpoints get their whole share at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow_start: Option<SlowStart>,
    /// `None`: endpoints are not told apart. Localities have no weights where they are, unless that is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subsets: Option<Box<SubsetSettings>>,
    /// How an endpoint may be that a session names (`StatefulSession`). `None`: degraded, healthy or not checked, Envoy's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub override_health: Option<Vec<EndpointHealth>>,
}

impl Balancing {
    /// How an endpoint may be that a session names.
    pub fn override_health(&self) -> &[EndpointHealth] {
        const DEFAULT: &[EndpointHealth] =
            &[EndpointHealth::Degraded, EndpointHealth::Healthy, EndpointHealth::Unknown];
        self.override_health.as_deref().unwrap_or(DEFAULT)
    }

    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for Balancing {
    fn default() -> Self {
        Self {
            panic_threshold: None,
            localities: LocalityBalancing::Weighted,
            ignore_new_until_checked: false,
            ignore_health_on_removal: false,
            closes_connections_of_failed: false,
            hashing: Hashing::default(),
            slow_start: None,
            subsets: None,
            override_health: None,
        }
    }
}

/// What the localities of endpoints mean.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LocalityBalancing {
    /// Nothing.
    Ignored,
    /// Each gets traffic by its weight.
    #[default]
    Weighted,
    /// Traffic stays in the zone of the proxy as far as the endpoints there can carry it.
    ZoneAware(ZoneAware),
}

/// Envoy's `ZoneAwareLbConfig`.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct ZoneAware {
    /// Share of the requests for which zones are looked at. Default all.
    pub routing_enabled: Fraction,
    /// With fewer healthy endpoints zones are not looked at. Default 6.
    pub min_cluster_size: u64,
    /// Whether in panic requests fail instead of going to all endpoints.
    pub fails_in_panic: bool,
}

impl Default for ZoneAware {
    fn default() -> Self {
        Self { routing_enabled: Fraction::ONE, min_cluster_size: 6, fails_in_panic: false }
    }
}

/// Endpoints chosen by requests under way.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LeastRequest {
    /// Endpoints drawn, of which the least busy one is taken, where all weights are equal. Default 2, at least that.
    pub choices: u32,
    /// Where weights differ endpoints take turns by `weight / (requests under way + 1) ^ bias`. Default 1.
    #[serde(skip_serializing_if = "is_one")]
    pub active_request_bias: f64,
    /// All endpoints are looked at instead of `choices`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_full_scan: bool,
}

impl LeastRequest {
    pub const ACTIVE_REQUEST_BIAS: f64 = 1.0;
    /// Default and least (Envoy `choice_count`).
    pub const CHOICES: u32 = 2;
}

impl Default for LeastRequest {
    fn default() -> Self {
        Self { choices: Self::CHOICES, active_request_bias: Self::ACTIVE_REQUEST_BIAS, is_full_scan: false }
    }
}

fn is_one(bias: &f64) -> bool {
    *bias == LeastRequest::ACTIVE_REQUEST_BIAS
}

/// How ring hash and Maglev use their tables.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Hashing {
    /// Whether endpoints stand in tables by their names instead of their addresses.
    pub by_hostname: bool,
    /// No endpoint has more than this share of the mean of requests under way; at least 100. `None`: whatever comes.
    pub balance_percent: Option<u32>,
}

impl Hashing {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// An endpoint that is new, or healthy again, gets its share little by little.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SlowStart {
    pub window: Duration,
    /// Its share is `(time / window) ^ (1 / aggression)` of the whole. Default 1, above 0.
    pub aggression: f64,
    /// And never below this. Default 10 %.
    pub min_weight: Fraction,
}

impl SlowStart {
    pub fn new(window: Duration) -> Self {
        Self { window, aggression: 1.0, min_weight: Fraction::from_percent(10).unwrap_or(Fraction::ZERO) }
    }
}
