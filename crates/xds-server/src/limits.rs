//! Counts requests for all proxies together: Envoy's rate limit service. It keeps no limits of its own; what is asked for by a
//! name that nobody has published is allowed.
//!
//! Shape       1 policy -> 1 domain -> n limits, by their place; 1 limit -> a counter for each set of values
//! Invariants  a counter is asked about and moved under one lock, so no two proxies get the same token
//! Errors      UNAUTHENTICATED without an identity of the mesh
//! Cost        a request: one lock of one shard for each descriptor. Counters live in this process alone: after a restart all
//!             begin with full buckets
//! Source      Envoy service/ratelimit/v3/rls.proto

mod counter;

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use leno_names::SpiffeId;
use leno_proto::envoy::extensions::common::ratelimit::v3::RateLimitDescriptor;
use leno_proto::envoy::service::ratelimit::v3::rate_limit_response::{Code, DescriptorStatus, RateLimit, rate_limit};
use leno_proto::envoy::service::ratelimit::v3::rate_limit_service_server::{RateLimitService, RateLimitServiceServer};
use leno_proto::envoy::service::ratelimit::v3::{RateLimitRequest, RateLimitResponse};
use leno_proto::google::protobuf;
use tokio::time::Instant;
use tonic::{Request, Response, Status};

pub use counter::SharedLimit;
use counter::{Counter, Verdict};

/// The first entry of a descriptor: which limit of its domain it is about.
const LIMIT_KEY: &str = "limit";
/// Chosen: requests about different counters hardly ever wait for each other.
const SHARDS: usize = 16;
/// Of one shard; beyond it those that are full again are forgotten, and if that is not enough any.
const MAX_COUNTERS: usize = 8192;

/// The limits of each domain.
pub type SharedLimits = BTreeMap<String, Vec<SharedLimit>>;

/// Says what the limits are now.
pub trait LimitSource: Send + Sync + 'static {
    fn limits(&self) -> Arc<SharedLimits>;
}

/// The gRPC service; add it to the server that speaks TLS with the workloads.
pub fn rate_limit_service(source: Arc<dyn LimitSource>) -> RateLimitServiceServer<Counting> {
    RateLimitServiceServer::new(Counting {
        source,
        hasher: RandomState::new(),
        shards: std::array::from_fn(|_| Mutex::default()),
    })
}

pub struct Counting {
    source: Arc<dyn LimitSource>,
    hasher: RandomState,
    shards: [Mutex<HashMap<Key, Counter>>; SHARDS],
}

impl std::fmt::Debug for Counting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Counting").finish_non_exhaustive()
    }
}

/// Domain and entries.
type Key = (String, Vec<(String, String)>);

#[tonic::async_trait]
impl RateLimitService for Counting {
    async fn should_rate_limit(
        &self,
        request: Request<RateLimitRequest>,
    ) -> Result<Response<RateLimitResponse>, Status> {
        if request.extensions().get::<SpiffeId>().is_none() {
            return Err(Status::unauthenticated("limits are counted for proxies with an identity of the mesh"));
        }
        let RateLimitRequest { domain, descriptors, hits_addend } = request.into_inner();
        let limits = self.source.limits();
        let limits = limits.get(&domain).map(Vec::as_slice).unwrap_or_default();
        let now = Instant::now();
        let statuses: Vec<_> = descriptors
            .into_iter()
            .map(|descriptor| match limit_of(&descriptor, limits) {
                Some(limit) => self.count(&domain, descriptor, limit, hits_addend.max(1), now),
                None => DescriptorStatus { code: Code::Ok.into(), ..DescriptorStatus::default() },
            })
            .collect();
        let over = statuses.iter().any(|status| status.code == i32::from(Code::OverLimit));
        let overall = if over { Code::OverLimit } else { Code::Ok };
        Ok(Response::new(RateLimitResponse { overall_code: overall.into(), statuses, ..RateLimitResponse::default() }))
    }
}

impl Counting {
    fn count(
        &self,
        domain: &str,
        descriptor: RateLimitDescriptor,
        limit: SharedLimit,
        hits: u32,
        now: Instant,
    ) -> DescriptorStatus {
        let entries = descriptor.entries.into_iter().map(|entry| (entry.key, entry.value));
        let key: Key = (domain.to_owned(), entries.collect());
        let shard = usize::try_from(self.hasher.hash_one(&key) % SHARDS as u64).unwrap_or_default();
        let mut counters = self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner);
        if counters.len() >= MAX_COUNTERS && !counters.contains_key(&key) {
            counters.retain(|_, counter| !counter.is_full(now));
            if let Some(any) = counters.keys().next().cloned().filter(|_| counters.len() >= MAX_COUNTERS) {
                counters.remove(&any);
            }
        }
        let verdict = counters.entry(key).or_default().take(limit, hits, now);
        drop(counters);
        let Verdict { allowed, left, full_in } = verdict;
        DescriptorStatus {
            code: if allowed { Code::Ok } else { Code::OverLimit }.into(),
            current_limit: unit(limit.per).map(|unit| RateLimit {
                name: String::new(),
                requests_per_unit: limit.requests,
                unit: unit.into(),
            }),
            limit_remaining: left,
            duration_until_reset: Some(protobuf::Duration {
                // Whole seconds, the next one up: who comes then finds a token.
                seconds: i64::try_from(full_in.as_secs()).unwrap_or(i64::MAX) + i64::from(full_in.subsec_nanos() > 0),
                nanos: 0,
            }),
            ..DescriptorStatus::default()
        }
    }
}

/// The limit that a descriptor is about, by its place.
fn limit_of(descriptor: &RateLimitDescriptor, limits: &[SharedLimit]) -> Option<SharedLimit> {
    let first = descriptor.entries.first().filter(|entry| entry.key == LIMIT_KEY)?;
    limits.get(first.value.parse::<usize>().ok()?).copied()
}

/// The word for a time, where there is one.
fn unit(per: Duration) -> Option<rate_limit::Unit> {
    match per.as_secs_f64() {
        1.0 => Some(rate_limit::Unit::Second),
        60.0 => Some(rate_limit::Unit::Minute),
        3600.0 => Some(rate_limit::Unit::Hour),
        86400.0 => Some(rate_limit::Unit::Day),
        _ => None,
    }
}
