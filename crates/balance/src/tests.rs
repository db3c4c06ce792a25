use std::time::{Duration, Instant};

use leno_ir::{
    BalancerPolicy, Consecutive, EndpointHealth, FailurePercentage, LeastRequest, OutlierDetection, SlowStart,
    SuccessRate,
};
use leno_names::Fraction;
use rand::rngs::SmallRng;
use rand::{Rng, RngCore, SeedableRng};

use crate::{Balancer, BalancerSettings, Choice, Member, Signal, Wish};

/// A balancer under virtual time and seeded randomness.
struct Simulation {
    balancer: Balancer<u32>,
    now: Instant,
    rng: SmallRng,
}

impl Simulation {
    fn new(policy: BalancerPolicy, members: Vec<Member<u32>>) -> Self {
        Self::with_outliers(policy, members, None)
    }

    fn with_outliers(policy: BalancerPolicy, members: Vec<Member<u32>>, outlier: Option<OutlierDetection>) -> Self {
        // Any origin will do: time only moves when a test moves it.
        #[expect(clippy::disallowed_methods, reason = "a start for virtual time, read once")]
        let now = Instant::now();
        let mut balancer = Balancer::new(BalancerSettings::new(policy, outlier), 0);
        balancer.update(members.into_iter().map(placed), now);
        balancer.sweep(now, &mut || 0);
        Self { balancer, now, rng: SmallRng::seed_from_u64(42) }
    }

    fn pick(&mut self, avoid: &[u32]) -> Option<Choice<u32>> {
        let rng = &mut self.rng;
        self.balancer.pick(self.now, &mut || rng.next_u64(), avoid)
    }

    fn fail(&mut self, key: u32, times: usize) -> bool {
        let mut ejected = false;
        for _ in 0..times {
            let others: Vec<u32> = (0..20).filter(|other| *other != key).collect();
            let choice = self.pick(&others).expect("a member");
            assert_eq!(choice.key(), key, "the member is in rotation");
            ejected |= self.balancer.report(&choice, Signal::Response { status: 503 }, None, self.now, 0);
        }
        ejected
    }

    /// Shares in percent of `requests` made one after the other, each taking `latency` of its member.
    fn shares(&mut self, requests: u32, latency: impl Fn(u32) -> Duration) -> Vec<f64> {
        let mut counts = vec![0_u32; 20];
        for _ in 0..requests {
            let choice = self.pick(&[]).expect("a member");
            let latency = latency(choice.key());
            self.now += latency;
            counts[choice.key() as usize] += 1;
            self.balancer.report(&choice, Signal::Response { status: 200 }, Some(latency), self.now, 0);
        }
        counts.into_iter().map(|count| f64::from(count) * 100.0 / f64::from(requests)).collect()
    }

    /// How many came back.
    fn advance(&mut self, time: Duration) -> usize {
        self.now += time;
        let before = self.balancer.ejected();
        self.balancer.sweep(self.now, &mut || 0);
        before.saturating_sub(self.balancer.ejected())
    }
}

/// At an address of its own, as outliers are known by that.
fn placed(member: Member<u32>) -> Member<u32> {
    let address = ([127, 0, 0, 1], u16::try_from(member.key).expect("few members") + 1).into();
    Member { address, ..member }
}

fn members(count: u32) -> Vec<Member<u32>> {
    (0..count).map(Member::new).map(placed).collect()
}

fn weighted(weights: &[u32]) -> Vec<Member<u32>> {
    weights.iter().zip(0..).map(|(weight, key)| Member { weight: *weight, ..Member::new(key) }).collect()
}

fn near(share: f64, expected: f64, tolerance: f64) -> bool {
    (share - expected).abs() <= tolerance
}

fn ewma() -> BalancerPolicy {
    BalancerPolicy::default()
}

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

#[test]
fn equal_members_get_equal_shares_whatever_the_policy() {
    for policy in [
        ewma(),
        BalancerPolicy::Random,
        BalancerPolicy::RoundRobin,
        BalancerPolicy::LeastRequest(LeastRequest::default()),
    ] {
        let mut simulation = Simulation::new(policy.clone(), members(4));
        let shares = simulation.shares(20_000, |_| MS);
        assert!(shares[..4].iter().all(|share| near(*share, 25.0, 1.5)), "{policy:?} {shares:?}");
    }
}

#[test]
fn weights_are_kept_by_every_policy_but_random() {
    for policy in [ewma(), BalancerPolicy::RoundRobin, BalancerPolicy::LeastRequest(LeastRequest::default())] {
        let mut simulation = Simulation::new(policy.clone(), weighted(&[1, 3, 6]));
        let shares = simulation.shares(20_000, |_| MS);
        assert!(
            near(shares[0], 10.0, 1.5) && near(shares[1], 30.0, 2.0) && near(shares[2], 60.0, 2.0),
            "{policy:?} {shares:?}"
        );
    }
}

#[test]
fn a_new_member_gets_its_share_little_by_little() {
    for policy in [BalancerPolicy::RoundRobin, BalancerPolicy::LeastRequest(LeastRequest::default())] {
        let mut simulation = Simulation::new(policy.clone(), members(1));
        let window = Duration::from_secs(3600);
        let slow_start = Some(SlowStart { min_weight: Fraction::ZERO, ..SlowStart::new(window) });
        let settings = BalancerSettings { slow_start, ..BalancerSettings::new(policy.clone(), None) };
        simulation.balancer.reconfigure(settings);
        simulation.now += window;
        simulation.balancer.update(members(2), simulation.now);
        for (passed, expected) in [(0.25, 20.0), (0.5, 100.0 / 3.0), (1.0, 50.0)] {
            simulation.balancer.update(members(2), simulation.now);
            let begin = simulation.now;
            simulation.now += window.mul_f64(passed);
            // No time passes.
            let shares = simulation.shares(20_000, |_| Duration::ZERO);
            assert!(near(shares[1], expected, 2.0), "{policy:?} after {passed}: {shares:?}");
            simulation.now = begin;
        }
    }
}

#[test]
fn a_member_that_is_healthy_again_starts_slowly() {
    const WINDOW: Duration = Duration::from_secs(360_000);
    for policy in [ewma(), BalancerPolicy::RoundRobin] {
        let mut simulation = Simulation::new(policy.clone(), members(2));
        let slow_start = Some(SlowStart::new(WINDOW));
        simulation.balancer.reconfigure(BalancerSettings { slow_start, ..BalancerSettings::new(policy.clone(), None) });
        simulation.now += WINDOW;
        simulation.shares(1_000, |_| MS);
        for health in [EndpointHealth::Unhealthy, EndpointHealth::Healthy] {
            simulation.balancer.update([Member::new(0), Member { health, ..Member::new(1) }], simulation.now);
        }
        let shares = simulation.shares(20_000, |_| MS);
        assert!(near(shares[1], 100.0 / 11.0, 2.0), "{policy:?} {shares:?}");
    }
}

#[test]
fn least_request_sees_all_members_in_a_full_scan() {
    let policy = BalancerPolicy::LeastRequest(LeastRequest { is_full_scan: true, ..LeastRequest::default() });
    let mut simulation = Simulation::new(policy, members(10));
    let busy: Vec<_> = (0..9).map(|_| simulation.pick(&[]).expect("a member")).collect();
    let mut keys: Vec<u32> = busy.iter().map(Choice::key).collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 9, "nobody has two requests while another has none");
}

#[test]
fn tables_of_hashes_share_what_is_too_much_for_one() {
    let policy = BalancerPolicy::Maglev { table_size: 251 };
    let mut simulation = Simulation::new(policy.clone(), Vec::new());
    let settings = BalancerSettings { balance_percent: Some(125), ..BalancerSettings::new(policy, None) };
    simulation.balancer.reconfigure(settings);
    let member = |key: u32| Member { address: ([127, 0, 0, 1], key as u16).into(), ..Member::new(key) };
    simulation.balancer.update((0..4).map(member), simulation.now);
    let rng = &mut simulation.rng;
    let mut pick = || simulation.balancer.pick_by_hash(7, simulation.now, &mut || rng.next_u64(), &[]);
    let first = pick().expect("a member").key();
    let busy: Vec<_> = (0..40).map(|_| pick().expect("a member")).collect();
    for key in 0..4 {
        let count = busy.iter().filter(|choice| choice.key() == key).count();
        assert!(count <= 14, "a quarter of 41 and a quarter of that, and one: {key} has {count}");
    }
    drop(busy);
    assert_eq!(pick().expect("a member").key(), first, "the member of the hash, once it has room");
}

#[test]
fn tables_of_hashes_bound_what_all_workers_have_under_way() {
    let policy = BalancerPolicy::Maglev { table_size: 251 };
    let settings = BalancerSettings { balance_percent: Some(125), ..BalancerSettings::new(policy, None) };
    let mut one = Simulation::new(BalancerPolicy::Random, Vec::new());
    one.balancer.reconfigure(settings.clone());
    one.balancer.update(members(4), one.now);
    let mut other = Balancer::sharing(settings, 1, one.balancer.together());
    other.update(members(4), one.now);
    let of = |balancer: &mut Balancer<u32>| balancer.pick_by_hash(7, one.now, &mut || 0, &[]).expect("a member");
    let mut counts = [0_u32; 4];
    let choices: Vec<_> = (0..20).flat_map(|_| [of(&mut one.balancer), of(&mut other)]).collect();
    choices.iter().for_each(|choice| counts[choice.key() as usize] += 1);
    // Each by itself would take 8 for the member of the hash, as 125 % of a fourth of 21 is 7, and one: 16 together.
    assert!(counts.iter().all(|count| *count <= 14), "a quarter of 41 and a quarter of that, and one: {counts:?}");
    drop(choices);
    assert_eq!(of(&mut one.balancer).key(), of(&mut other).key(), "nothing is under way any more");
}

#[test]
fn other_priorities_are_preferred_to_those_that_were_tried() {
    let level = |key: u32| Member { priority: key, ..Member::new(key) };
    let mut simulation = Simulation::new(BalancerPolicy::RoundRobin, (0..3).map(level).collect());
    let rng = &mut simulation.rng;
    let mut pick = |past: &[u32], priority| {
        let wish = Wish { past_priorities: past, priority, ..Wish::default() };
        simulation.balancer.pick_for(wish, simulation.now, &mut || rng.next_u64(), &[]).expect("a member").key()
    };
    assert_eq!([pick(&[], None), pick(&[0], None), pick(&[0, 1], None), pick(&[0, 1, 2], None)], [0, 1, 2, 0]);
    assert_eq!(pick(&[], Some(2)), 2, "the only one that will do");
}

#[test]
fn round_robin_by_weight_is_exact_and_interleaved() {
    let mut simulation = Simulation::new(BalancerPolicy::RoundRobin, weighted(&[1, 2]));
    let keys: Vec<u32> = (0..6).map(|_| simulation.pick(&[]).expect("a member").key()).collect();
    assert_eq!(keys, [1, 0, 1, 1, 0, 1]);
}

#[test]
fn a_slow_member_gets_little_and_recovers() {
    let mut simulation = Simulation::new(ewma(), members(3));
    let slow = simulation.shares(10_000, |key| if key == 0 { 50 * MS } else { 2 * MS });
    assert!(slow[0] < 5.0 && near(slow[1], 48.0, 5.0), "{slow:?}");
    simulation.now += 60 * SECOND;
    let healed = simulation.shares(10_000, |_| 2 * MS);
    assert!(healed[0] > 20.0, "{healed:?}");
}

#[test]
fn requests_under_way_count() {
    for policy in [ewma(), BalancerPolicy::LeastRequest(LeastRequest::default())] {
        let mut simulation = Simulation::new(policy, members(2));
        let held: Vec<_> = (0..10).map(|_| simulation.pick(&[]).expect("a member")).collect();
        let first = held.iter().filter(|choice| choice.key() == 0).count();
        assert!((4..=6).contains(&first), "{first}");
        drop(held);
        assert!(simulation.balancer.status(simulation.now).all(|status| status.active == 0));
    }
}

#[test]
fn a_member_that_fails_fast_attracts_nothing() {
    let mut simulation = Simulation::new(ewma(), members(2));
    let mut failing = 0;
    for _ in 0..1_000 {
        let choice = simulation.pick(&[]).expect("a member");
        simulation.now += MS;
        let signal = if choice.key() == 0 { Signal::LocalFailure } else { Signal::Response { status: 200 } };
        failing += u32::from(choice.key() == 0);
        simulation.balancer.report(&choice, signal, Some(10 * MS), simulation.now, 0);
    }
    assert!(failing < 50, "{failing}");
}

#[test]
fn tried_members_are_avoided_while_there_is_another() {
    for policy in [ewma(), BalancerPolicy::RoundRobin, BalancerPolicy::Random] {
        let mut simulation = Simulation::new(policy, members(3));
        for _ in 0..100 {
            assert_eq!(simulation.pick(&[0, 2]).map(|choice| choice.key()), Some(1));
        }
        assert!(simulation.pick(&[0, 1, 2]).is_some());
    }
    assert!(Simulation::new(ewma(), Vec::new()).pick(&[]).is_none());
}

#[test]
fn an_update_keeps_what_was_measured() {
    let mut simulation = Simulation::new(ewma(), members(2));
    let held = simulation.pick(&[1]).expect("a member");
    simulation.balancer.report(&held, Signal::Success, Some(90 * MS), simulation.now, 0);
    simulation.balancer.update(members(3), simulation.now);
    let status: Vec<_> = simulation.balancer.status(simulation.now).collect();
    assert_eq!((status[0].active, status[0].latency, status[2].latency), (1, 90 * MS, 30 * MS));
    simulation.balancer.update(weighted(&[1]), simulation.now);
    assert_eq!(simulation.balancer.len(), 1);
}

#[test]
fn priorities_spill_over_by_health() {
    let make = |healthy: u32| {
        let first = (0..10).map(|key| Member {
            health: if key < healthy { EndpointHealth::Healthy } else { EndpointHealth::Unhealthy },
            ..Member::new(key)
        });
        let second = (10..20).map(|key| Member { priority: 1, ..Member::new(key) });
        Simulation::new(BalancerPolicy::Random, first.chain(second).collect())
    };
    for (healthy, expected) in [(10, 100.0), (8, 100.0), (5, 70.0), (2, 28.0), (0, 0.0)] {
        let shares = make(healthy).shares(20_000, |_| MS);
        let first: f64 = shares[..10].iter().sum();
        assert!(near(first, expected, 1.5), "{healthy} healthy: {first}");
    }
}

#[test]
fn panic_uses_everybody_but_those_that_drain() {
    let health = |key: u32| match key {
        0 => EndpointHealth::Healthy,
        1 => EndpointHealth::Draining,
        _ => EndpointHealth::Unhealthy,
    };
    let all = members(4).into_iter().map(|member| Member { health: health(member.key), ..member }).collect();
    let shares = Simulation::new(BalancerPolicy::Random, all).shares(10_000, |_| MS);
    assert!(shares[1] == 0.0 && near(shares[2], 33.0, 2.0), "{shares:?}");
    let half = members(4).into_iter().map(|member| Member {
        health: if member.key < 2 { EndpointHealth::Healthy } else { EndpointHealth::Unhealthy },
        ..member
    });
    let shares = Simulation::new(BalancerPolicy::Random, half.collect()).shares(1_000, |_| MS);
    assert_eq!(shares[2] + shares[3], 0.0);
}

#[test]
fn localities_get_the_share_of_their_weight() {
    let member = |key: u32| Member { locality: key % 2, locality_weight: 1 + 2 * (key % 2), ..Member::new(key) };
    let shares = Simulation::new(BalancerPolicy::Random, (0..4).map(member).collect()).shares(20_000, |_| MS);
    assert!(near(shares[0] + shares[2], 25.0, 1.5), "{shares:?}");
}

fn outliers() -> OutlierDetection {
    OutlierDetection { max_ejection: Fraction::ONE, ..OutlierDetection::default() }
}

#[test]
fn ejections_last_longer_each_time_and_are_forgiven() {
    let mut simulation = Simulation::with_outliers(ewma(), members(4), Some(outliers()));
    assert!(!simulation.fail(0, 4));
    assert!(simulation.fail(0, 1), "the fifth in a row");
    assert_eq!(simulation.balancer.ejected(), 1);
    assert_eq!(simulation.shares(1_000, |_| Duration::from_micros(1))[0], 0.0);
    assert_eq!(simulation.advance(29 * SECOND), 0);
    assert_eq!(simulation.advance(10 * SECOND), 1, "after 30 s, at the next sweep");
    assert!(simulation.fail(0, 5));
    assert_eq!(simulation.advance(31 * SECOND), 0, "the second time is 60 s");
    assert_eq!(simulation.advance(30 * SECOND), 1);
    for _ in 0..2 {
        simulation.advance(11 * SECOND);
    }
    assert!(simulation.fail(0, 5));
    assert_eq!(simulation.advance(31 * SECOND), 1, "two sweeps in rotation forgave two ejections");
}

#[test]
fn a_good_response_starts_the_count_anew() {
    let mut simulation = Simulation::with_outliers(ewma(), members(2), Some(outliers()));
    assert!(!simulation.fail(0, 4));
    let choice = simulation.pick(&[1]).expect("a member");
    simulation.balancer.report(&choice, Signal::Response { status: 404 }, Some(MS), simulation.now, 0);
    drop(choice);
    assert!(!simulation.fail(0, 4));
}

#[test]
fn gateway_and_local_failures_have_detectors_of_their_own() {
    let config = OutlierDetection {
        consecutive_5xx: None,
        consecutive_gateway_errors: Some(Consecutive::new(2)),
        consecutive_local_origin_failures: Some(Consecutive::new(3)),
        split_local_origin: true,
        ..outliers()
    };
    let mut simulation = Simulation::with_outliers(ewma(), members(4), Some(config.clone()));
    let mut report = |key: u32, signal: Signal| {
        let others: Vec<u32> = (0..4).filter(|other| *other != key).collect();
        let choice = simulation.pick(&others).expect("a member");
        simulation.balancer.report(&choice, signal, None, simulation.now, 0)
    };
    assert!(!report(0, Signal::Response { status: 500 }) && !report(0, Signal::Response { status: 500 }));
    assert!(!report(0, Signal::Response { status: 502 }) && report(0, Signal::Response { status: 504 }));
    let config = OutlierDetection { consecutive_gateway_errors: None, ..config };
    let mut simulation = Simulation::with_outliers(ewma(), members(1), Some(config));
    let mut report = |signal: Signal| {
        let choice = simulation.pick(&[]).expect("a member");
        simulation.balancer.report(&choice, signal, None, simulation.now, 0)
    };
    assert!(!report(Signal::LocalFailure) && !report(Signal::LocalFailure) && report(Signal::LocalFailure));
}

#[test]
fn only_a_share_is_ejected_but_always_one() {
    let config = |percent| OutlierDetection {
        max_ejection: Fraction::from_percent(percent).expect("in range"),
        ..OutlierDetection::default()
    };
    let mut simulation = Simulation::with_outliers(ewma(), members(4), Some(config(10)));
    assert!(simulation.fail(0, 5) && !simulation.fail(1, 10));
    let mut simulation = Simulation::with_outliers(ewma(), members(4), Some(config(50)));
    assert!(simulation.fail(0, 5) && simulation.fail(1, 5) && !simulation.fail(2, 10));
}

#[test]
fn random_histories_keep_the_invariants() {
    for seed in 0..200 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut simulation = Simulation::with_outliers(ewma(), members(5), Some(outliers()));
        let mut held = Vec::new();
        for _ in 0..200 {
            match rng.random_range(0..6) {
                0 => simulation.balancer.update(weighted(&[1, 2, 3, 4][..rng.random_range(0..5)]), simulation.now),
                1 => drop(held.pop()),
                2 => drop(simulation.advance(SECOND * rng.random_range(0..60))),
                _ => {
                    if let Some(choice) = simulation.pick(&[rng.random_range(0..5)]) {
                        let signal = Signal::Response { status: if rng.random_bool(0.7) { 503 } else { 200 } };
                        simulation.balancer.report(&choice, signal, Some(MS), simulation.now, 0);
                        held.push(choice);
                    }
                }
            }
            let total = simulation.balancer.len();
            assert!(simulation.balancer.ejected() <= total, "seed {seed}");
            assert_eq!(simulation.pick(&[]).is_some(), total > 0, "seed {seed}: somebody takes traffic");
            let active: u32 = simulation.balancer.status(simulation.now).map(|status| status.active).sum();
            assert!(active as usize <= held.len(), "seed {seed}");
        }
    }
}

/// Reports to every member its share of failures in one interval, then sweeps.
fn an_interval(simulation: &mut Simulation, failures: &[u32]) {
    for (key, failures) in (0..).zip(failures) {
        let others: Vec<u32> = (0..20).filter(|other| *other != key).collect();
        for request in 0..100 {
            let choice = simulation.pick(&others).expect("a member");
            let status = if request < *failures { 500 } else { 200 };
            simulation.balancer.report(&choice, Signal::Response { status }, None, simulation.now, 0);
        }
    }
    simulation.advance(11 * SECOND);
}

#[test]
fn rates_out_of_line_are_ejected() {
    let rate = SuccessRate {
        minimum_hosts: 5,
        request_volume: 100,
        stdev_factor_thousandths: 1900,
        enforced: Fraction::ONE,
        local_origin_enforced: Fraction::ZERO,
    };
    let config = OutlierDetection { consecutive_5xx: None, success_rate: Some(rate), ..outliers() };
    let mut simulation = Simulation::with_outliers(ewma(), members(6), Some(config.clone()));
    an_interval(&mut simulation, &[0, 1, 0, 2, 0, 40]);
    assert_eq!(simulation.balancer.ejected(), 1);
    let mut few = Simulation::with_outliers(ewma(), members(4), Some(config));
    an_interval(&mut few, &[0, 1, 0, 100]);
    assert_eq!(few.balancer.ejected(), 0, "fewer than the least number of hosts");

    let failures = FailurePercentage {
        threshold_percent: 85,
        minimum_hosts: 3,
        request_volume: 100,
        enforced: Fraction::ONE,
        local_origin_enforced: Fraction::ZERO,
    };
    let config = OutlierDetection { consecutive_5xx: None, failure_percentage: Some(failures), ..outliers() };
    let mut simulation = Simulation::with_outliers(ewma(), members(3), Some(config));
    an_interval(&mut simulation, &[84, 85, 0]);
    assert_eq!(simulation.balancer.ejected(), 1);
}

#[test]
fn what_one_worker_finds_out_the_others_know_with_their_next_choice() {
    let detection = OutlierDetection { max_ejection: Fraction::ONE, ..OutlierDetection::default() };
    let mut simulation = Simulation::with_outliers(BalancerPolicy::RoundRobin, members(3), Some(detection.clone()));
    let settings = BalancerSettings::new(BalancerPolicy::RoundRobin, Some(detection));
    let mut other = Balancer::sharing(settings, 1, simulation.balancer.together());
    // Keys are a worker's own.
    other.update(members(3).into_iter().map(|member| Member { key: member.key + 10, ..member }), simulation.now);
    // Four failures here and one there are five in a row.
    assert!(!simulation.fail(1, 4));
    let choice = other.pick(simulation.now, &mut || 0, &[10, 12]).expect("a member");
    assert!(other.report(&choice, Signal::Response { status: 503 }, None, simulation.now, 0));
    drop(choice);
    let keys: Vec<u32> = (0..4).map(|_| simulation.pick(&[]).expect("a member").key()).collect();
    assert!(!keys.contains(&1), "{keys:?}");
    assert_eq!((simulation.balancer.ejected(), other.ejected()), (1, 1));
    simulation.now += Duration::from_secs(31);
    other.sweep(simulation.now, &mut || 0);
    let keys: Vec<u32> = (0..3).map(|_| simulation.pick(&[]).expect("a member").key()).collect();
    assert!(keys.contains(&1), "let back in by the other: {keys:?}");
}

#[test]
fn rates_are_those_of_all_workers() {
    let failures = FailurePercentage {
        threshold_percent: 50,
        minimum_hosts: 2,
        request_volume: 10,
        enforced: Fraction::ONE,
        local_origin_enforced: Fraction::ZERO,
    };
    let detection = OutlierDetection {
        consecutive_5xx: None,
        failure_percentage: Some(failures),
        max_ejection: Fraction::ONE,
        ..OutlierDetection::default()
    };
    let mut simulation = Simulation::with_outliers(BalancerPolicy::RoundRobin, members(2), Some(detection.clone()));
    let settings = BalancerSettings::new(BalancerPolicy::RoundRobin, Some(detection));
    let mut other = Balancer::sharing(settings, 1, simulation.balancer.together());
    other.update(members(2), simulation.now);
    let now = simulation.now;
    for balancer in [&mut simulation.balancer, &mut other] {
        // Six of each on either: too few alone.
        for _ in 0..12 {
            let choice = balancer.pick(now, &mut || 0, &[]).expect("a member");
            let status = if choice.key() == 0 { 200 } else { 500 };
            balancer.report(&choice, Signal::Response { status }, None, now, 0);
        }
    }
    simulation.advance(Duration::from_secs(10));
    assert_eq!(simulation.balancer.ejected(), 1);
}
