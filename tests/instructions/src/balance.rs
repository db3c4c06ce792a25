//! A pick among 100 endpoints and the report of how it went.

use std::hint::black_box;
use std::time::{Duration, Instant};

use leno_balance::{Balancer, BalancerSettings, Member, Signal};
use leno_ir::BalancerPolicy;

pub(crate) fn peak_ewma(count: u32) {
    pick(BalancerPolicy::default(), count);
}

pub(crate) fn round_robin(count: u32) {
    pick(BalancerPolicy::RoundRobin, count);
}

fn pick(policy: BalancerPolicy, count: u32) {
    let mut now = Instant::now();
    let mut balancer = Balancer::new(BalancerSettings::new(policy, None), 7);
    balancer.update((0..100).map(Member::<u32>::new), now);
    // Any sequence does, as long as it is always the same one.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for _ in 0..count {
        if let Some(choice) = balancer.pick(now, &mut random, &[]) {
            now += Duration::from_micros(100);
            black_box(balancer.report(&choice, Signal::Success, Some(Duration::from_micros(500)), now, 0));
        }
    }
}
