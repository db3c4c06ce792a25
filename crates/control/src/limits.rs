//! The limits that the control plane keeps for all proxies.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use leno_api::Resource;
use leno_api::leno::LimitScope;
use leno_xds_server::{LimitSource, SharedLimit, SharedLimits};

use crate::Control;

/// Of the policies for the whole mesh.
pub(crate) fn of(resources: &[Arc<Resource>]) -> SharedLimits {
    let policy = |resource: &Arc<Resource>| {
        let Resource::RateLimitPolicy(policy) = &**resource else { return None };
        let is_shared = policy.spec.scope == Some(LimitScope::Mesh);
        let limits = policy.spec.limits.iter().map(|limit| SharedLimit {
            requests: limit.requests,
            per: limit.per.map(|per| per.0).filter(|per| !per.is_zero()).unwrap_or(Duration::from_secs(1)),
            burst: limit.burst.unwrap_or(limit.requests).max(1),
        });
        is_shared.then(|| (leno_compile::limit_domain(&resource.key()), limits.collect()))
    };
    resources.iter().filter_map(policy).collect()
}

impl LimitSource for Control {
    fn limits(&self) -> Arc<SharedLimits> {
        self.shared.limits.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
