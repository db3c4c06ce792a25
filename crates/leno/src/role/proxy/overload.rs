use std::time::Duration;

use leno_ir::{Overload, OverloadAction, OverloadActionKind, OverloadTrigger};

/// What a sidecar sheds before the kernel ends it for want of memory. `None`: there is no limit that would make it.
pub(super) fn within_control_group() -> Option<Overload> {
    leno_runtime::memory::limit_bytes().map(within)
}

/// Chosen: what costs nobody anything first; then idle connections, then requests.
fn within(limit_bytes: u64) -> Overload {
    let action = |kind, from| OverloadAction { kind, trigger: OverloadTrigger::Threshold(from) };
    Overload {
        refresh_interval: Duration::from_secs(1),
        max_heap_size_bytes: Some(limit_bytes),
        max_downstream_connections: None,
        actions: vec![
            action(OverloadActionKind::ShrinkHeap, 0.8),
            action(OverloadActionKind::DisableHttpKeepalive, 0.9),
            action(OverloadActionKind::StopAcceptingRequests, 0.95),
        ],
    }
}
