//! XBackendTrafficPolicy: what holds for the requests to a service.
//!
//! Invariants  the oldest policy of a service wins
//! Source      Gateway API v1.6, GEP-1619 and GEP-3388. Ours: shares are of the requests under way, as in Envoy's retry
//!             budget, not of those of an interval; the ancestor in the status is the service itself

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use leno_api::{ParentRef, RequestRate, Resource, ResourceKey, RetryConstraint, TypedRef};
use leno_names::{Fraction, ServiceKey};

use crate::status::{AncestorStatus, CONTROLLER, Condition, PolicyStatus, Status};
use crate::{BackendTraffic, RetryShare, Service};

/// The specification's defaults.
const SHARE: u32 = 20;
const LEAST: u32 = 10;

/// What became of each policy.
pub(super) fn apply(
    resources: &[Arc<Resource>],
    services: &mut BTreeMap<ServiceKey, Service>,
) -> BTreeMap<ResourceKey, Status> {
    let mut statuses = BTreeMap::new();
    for resource in resources {
        let Resource::XBackendTrafficPolicy(policy) = &**resource else { continue };
        let key = resource.key();
        let traffic = Arc::new(BackendTraffic {
            policy: key.clone(),
            session: policy.spec.session_persistence.clone(),
            retries: policy.spec.retry_constraint.as_ref().map(share),
        });
        let ancestors = policy.spec.target_refs.iter().map(|target| AncestorStatus {
            ancestor_ref: ParentRef {
                group: Some(target.group.clone()),
                kind: Some(target.kind.clone()),
                name: target.name.clone(),
                namespace: Some(key.namespace.clone()),
                ..ParentRef::default()
            },
            controller_name: CONTROLLER,
            conditions: vec![attach(target, &key, &traffic, services)],
        });
        let status = PolicyStatus { ancestors: ancestors.collect() };
        statuses.insert(key.clone(), Status::Policy(status));
    }
    statuses
}

fn attach(
    target: &TypedRef,
    key: &ResourceKey,
    traffic: &Arc<BackendTraffic>,
    services: &mut BTreeMap<ServiceKey, Service>,
) -> Condition {
    let fail = |reason, message: String| Condition::fails("Accepted", reason, message);
    if target.kind != "Service" || !target.group.is_empty() {
        return fail("Invalid", format!("a policy holds for a Service, not for a {}", target.kind));
    }
    let service = ServiceKey::new(&key.namespace, &target.name);
    let Some(service) = services.get_mut(&service) else {
        return fail("TargetNotFound", format!("there is no service {service}"));
    };
    if let Some(winner) = service.traffic.as_ref().filter(|winner| winner.policy != *key) {
        return fail("Conflicted", format!("the older {} has service {} already", winner.policy, service.key));
    }
    service.traffic = Some(traffic.clone());
    Condition::holds("Accepted", "Accepted")
}

fn share(written: &RetryConstraint) -> RetryShare {
    let share = Fraction::from_percent(written.budget.percent.unwrap_or(SHARE).min(100)).unwrap_or(Fraction::ONE);
    let least = written.min_retry_rate.as_ref().map_or(LEAST, per_second);
    RetryShare { share, least: NonZeroU32::new(least).unwrap_or(NonZeroU32::MIN) }
}

/// Rounded up: a retry is taken for something that lasts a second.
fn per_second(rate: &RequestRate) -> u32 {
    let count = u128::from(rate.count.unwrap_or(LEAST));
    let interval = rate.interval.map_or(Duration::from_secs(1), |interval| interval.0).as_millis().max(1);
    u32::try_from((count * 1000).div_ceil(interval)).unwrap_or(u32::MAX)
}
