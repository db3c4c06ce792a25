use std::time::Duration;

use serde::Serialize;

/// What a proxy sheds under pressure (Envoy's overload manager). Of a process, not of a resource that changes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Overload {
    /// Between two looks at the memory.
    pub refresh_interval: Duration,
    /// Resident memory that counts as pressure 1 (Envoy's monitor `fixed_heap`). `None`: memory is not looked at, and there
    /// are no actions.
    pub max_heap_size_bytes: Option<u64>,
    /// Connections of clients above it are closed as they come (`global_downstream_max_connections`).
    pub max_downstream_connections: Option<u64>,
    /// At most one of a kind.
    pub actions: Vec<OverloadAction>,
}

/// What is done, and from which pressure of memory on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct OverloadAction {
    pub kind: OverloadActionKind,
    pub trigger: OverloadTrigger,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OverloadActionKind {
    /// Connections end with the response that is next.
    DisableHttpKeepalive,
    /// Memory that is free is given back to the system.
    ShrinkHeap,
    /// Clients wait in the queue of the kernel.
    StopAcceptingConnections,
    /// 503.
    StopAcceptingRequests,
}

/// From pressure (0 to 1) to how much of an action is due (0 to 1).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OverloadTrigger {
    /// More and more from `scaling` on, all from `saturation` on, which is above it.
    Scaled { scaling: f64, saturation: f64 },
    /// All from there on.
    Threshold(f64),
}

impl OverloadActionKind {
    pub const ALL: [Self; 4] =
        [Self::DisableHttpKeepalive, Self::ShrinkHeap, Self::StopAcceptingConnections, Self::StopAcceptingRequests];

    /// As in Envoy, without its `envoy.overload_actions.`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DisableHttpKeepalive => "disable_http_keepalive",
            Self::ShrinkHeap => "shrink_heap",
            Self::StopAcceptingConnections => "stop_accepting_connections",
            Self::StopAcceptingRequests => "stop_accepting_requests",
        }
    }
}

impl OverloadTrigger {
    pub fn value(self, pressure: f64) -> f64 {
        match self {
            Self::Scaled { saturation, .. } if pressure >= saturation => 1.0,
            Self::Scaled { scaling, saturation } => ((pressure - scaling) / (saturation - scaling)).max(0.0),
            Self::Threshold(from) if pressure >= from => 1.0,
            Self::Threshold(_) => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scaled_trigger_grows_between_its_bounds() {
        let scaled = OverloadTrigger::Scaled { scaling: 0.5, saturation: 0.75 };
        let values = [0.0, 0.5, 0.625, 0.75, 2.0].map(|pressure| scaled.value(pressure));
        assert_eq!(values, [0.0, 0.0, 0.5, 1.0, 1.0]);
        let threshold = OverloadTrigger::Threshold(0.9);
        assert_eq!([0.89, 0.9].map(|pressure| threshold.value(pressure)), [0.0, 1.0]);
    }
}
