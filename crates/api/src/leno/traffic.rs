use super::TargetRef;
use crate::GatewayDuration;
use crate::described::{described, words};

described! {
    /// How connections to a service are made, balanced and limited. Of policies for the mesh, the namespace and the service
    /// the nearest one that says something of a part has the part; what DestinationRules say comes first.
    pub struct TrafficPolicySpec where {
        "!has(self.connectTimeout) || duration(self.connectTimeout) > duration('0s')": "connectTimeout is more than 0s",
    } {
        /// Services. Default: all of the namespace, or of the mesh in the root namespace.
        pub target_refs: Vec<TargetRef> = { "maxItems": 16, "x-kubernetes-list-type": "atomic" },
        /// Default 10s.
        pub connect_timeout: Option<GatewayDuration>,
        pub load_balancer: Option<LoadBalancing>,
        pub outlier_detection: Option<Outliers>,
        pub circuit_breakers: Option<CircuitBreakers>,
        pub retry_budget: Option<TrafficRetryBudget>,
    }
    pub struct LoadBalancing {
        /// Default `PeakEWMA`.
        pub r#type: Option<Balancer>,
        /// Endpoints that are new get their share little by little.
        pub slow_start: Option<SlowStart>,
    }
    pub struct SlowStart {
        /// After which an endpoint has all of its share.
        pub window: GatewayDuration = { "required": true },
        /// Of its share at first. Default 10.
        pub min_percent: Option<f64> = { "minimum": 0, "maximum": 100 },
    }
    /// Endpoints that fail are left out for a while.
    pub struct Outliers {
        /// Answers with 5xx in a row. Default: none are counted.
        pub consecutive5xx: Option<u32> = { "minimum": 1 },
        /// 502, 503 and 504 in a row. Default: none are counted.
        pub consecutive_gateway_errors: Option<u32> = { "minimum": 1 },
        /// Connections that fail, resets and timeouts in a row. Default 5.
        pub consecutive_failures: Option<u32> = { "minimum": 1 },
        /// How often is looked whether an endpoint may come back. Default 10s.
        pub interval: Option<GatewayDuration>,
        /// Times the number of ejections. Default 10s.
        pub base_ejection_time: Option<GatewayDuration>,
        /// Of the endpoints. Default 50.
        pub max_ejection_percent: Option<u32> = { "maximum": 100 },
    }
    /// To each cluster, of one proxy.
    pub struct CircuitBreakers {
        pub max_connections: Option<u32> = { "minimum": 1 },
        /// Waiting for a connection.
        pub max_pending_requests: Option<u32> = { "minimum": 1 },
        pub max_requests: Option<u32> = { "minimum": 1 },
    }
    /// How many of the requests under way may be retries.
    pub struct TrafficRetryBudget {
        /// Default 20.
        pub percent: Option<f64> = { "minimum": 0, "maximum": 100 },
        /// So many are always allowed. Default 3.
        pub min_concurrency: Option<u32>,
    }
}

words! {
    pub enum Balancer {
        LeastRequest = "LeastRequest",
        /// The better of two random endpoints by decaying latency times requests under way.
        PeakEwma = "PeakEWMA",
        Random = "Random",
        RoundRobin = "RoundRobin",
    }
}
