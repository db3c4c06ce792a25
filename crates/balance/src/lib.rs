//! Which endpoint takes a request, which endpoints are left out for a while, and how often something may happen. Opens nothing; time and randomness are
//! passed in. Circuit breakers and retry budgets are counters shared by workers and live with the proxy's clusters.
//!
//! Shape       1 `Balancer` (per cluster and worker) -> priorities -> localities -> members; a `Choice` counts one request
//!             a cluster with subsets: n `View`s of its members, and a request's labels lead to one of them
//! Invariants  a member that stays in an update keeps what was measured; at least one member may always be ejected
//! Cost        a choice: two draws and two exponentials (peak EWMA), O(log n) for weighted round robin; a change: O(n)
//!             by hash: one look-up in a table that is rebuilt, at the next choice, when members or weights have changed
//! Source      Finagle and Linkerd (peak EWMA); Envoy: outlier detection, priority levels, panic threshold, ring hash, Maglev
#![forbid(unsafe_code)]

mod balancer;
mod consistent;
mod health;
mod level;
mod load;
mod outlier;
mod plan;
mod rate_limiter;
mod shared;
mod slow_start;
mod subset;
mod token_bucket;
mod view;
mod zone;

pub use balancer::{Balancer, BalancerSettings, Choice, Member, MemberStatus, Wish};
pub use health::{CheckFailure, CheckResult, HostCheck, Transition};
pub use level::{Health, choose_priority};
pub use outlier::{Outliers, Signal};
pub use rate_limiter::{DescriptorEntry, Outcome, RateLimiter, RateLimiterSettings, Verdict};
pub use shared::{SharedCounts, Together};
pub use token_bucket::TokenBucket;
pub use zone::Zones;

#[cfg(test)]
mod tests;
