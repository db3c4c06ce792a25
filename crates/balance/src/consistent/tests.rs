use std::collections::BTreeSet;
use std::time::Instant;

use leno_ir::{BalancerPolicy, EndpointHealth, RingFunction};
use proptest::prelude::*;
use xxhash_rust::xxh64::xxh64;

use super::{HashTables, Point, Table};
use crate::{Balancer, BalancerSettings, Member};

const RING: BalancerPolicy = BalancerPolicy::RingHash {
    minimum_ring_size: BalancerPolicy::MINIMUM_RING_SIZE,
    maximum_ring_size: BalancerPolicy::MAXIMUM_RING_SIZE,
    function: RingFunction::XxHash,
};
const MAGLEV: BalancerPolicy = BalancerPolicy::Maglev { table_size: BalancerPolicy::MAGLEV_TABLE_SIZE };
const KEYS: u64 = 20_000;

fn member(port: u16) -> Member<u16> {
    Member { address: ([127, 0, 0, 1], port).into(), ..Member::new(port) }
}

fn members(ports: std::ops::Range<u16>) -> Vec<Member<u16>> {
    ports.map(member).collect()
}

fn balancer(policy: BalancerPolicy, members: impl IntoIterator<Item = Member<u16>>) -> Balancer<u16> {
    let mut balancer = Balancer::new(BalancerSettings::new(policy, None), 0);
    balancer.update(members, now());
    balancer
}

#[allow(clippy::disallowed_methods, reason = "any origin will do: no test lets time pass")]
fn now() -> Instant {
    Instant::now()
}

fn no_draw() -> u64 {
    panic!("a hash was given: nothing is drawn")
}

/// The member of each of [`KEYS`] keys.
fn assign(balancer: &mut Balancer<u16>, avoid: &[u16]) -> Vec<u16> {
    let (now, mut random) = (now(), no_draw);
    let mut pick = |key: u64| balancer.pick_by_hash(hash_of(key), now, &mut random, avoid).expect("a member").key();
    (0..KEYS).map(&mut pick).collect()
}

fn hash_of(key: u64) -> u64 {
    xxh64(format!("user-{key}").as_bytes(), 0)
}

fn share(assigned: &[u16], port: u16) -> f64 {
    assigned.iter().filter(|key| **key == port).count() as f64 / assigned.len() as f64
}

fn moved(before: &[u16], after: &[u16]) -> f64 {
    before.iter().zip(after).filter(|(before, after)| before != after).count() as f64 / before.len() as f64
}

/// Envoy `ring_hash_lb_test.cc`, `RingHashLoadBalancerTest.Basic`.
#[test]
fn the_ring_is_that_of_envoy() {
    let policy =
        BalancerPolicy::RingHash { minimum_ring_size: 12, maximum_ring_size: 1024, function: RingFunction::XxHash };
    let tables = HashTables::new(&policy, (0..).zip(members(90..96).iter()));
    let Some(Table::Ring(points)) = tables.of(0) else { panic!("a ring") };
    let points: Vec<(u32, u64)> = points.iter().map(|Point { hash, at }| (90 + at, *hash)).collect();
    let expected = [
        (94, 833_437_586_790_550_860),
        (92, 928_266_305_478_181_108),
        (90, 1_033_482_794_131_418_490),
        (95, 3_551_244_743_356_806_947),
        (93, 3_851_675_632_748_031_481),
        (91, 5_583_722_120_771_150_861),
        (91, 6_311_230_543_546_372_928),
        (93, 7_700_377_290_971_790_572),
        (95, 13_144_177_310_400_110_813),
        (92, 13_444_792_449_719_432_967),
        (94, 15_516_499_411_664_133_160),
        (90, 16_117_243_373_044_804_889),
    ];
    assert_eq!(points, expected);
}

/// Envoy `maglev_lb_test.cc`, `MaglevLoadBalancerTest.Basic`.
#[test]
fn the_maglev_table_is_that_of_envoy() {
    let tables = HashTables::new(&BalancerPolicy::Maglev { table_size: 7 }, (0..).zip(members(90..96).iter()));
    let Some(Table::Maglev(places)) = tables.of(0) else { panic!("a table") };
    assert_eq!(*places, [2, 4, 0, 1, 5, 0, 3]);
}

/// 1,024 points among 10 members: a member's share of the ring has a deviation of about a tenth of it; Maglev differs by
/// one place of 65,537 at most, the rest is the chance of 20,000 keys (deviation 0.2 points).
#[test]
fn members_of_equal_weight_get_equal_shares() {
    for (policy, bound) in [(RING, 0.04), (MAGLEV, 0.01)] {
        let assigned = assign(&mut balancer(policy.clone(), members(1..11)), &[]);
        for port in 1..11 {
            let share = share(&assigned, port);
            assert!((share - 0.1).abs() < bound, "{policy:?}: {port} has {share}");
        }
    }
}

#[test]
fn weights_are_kept() {
    for (policy, bound) in [(RING, 0.05), (MAGLEV, 0.015)] {
        let weighted = [1, 3, 6].map(|weight| Member { weight, ..member(weight as u16) });
        let assigned = assign(&mut balancer(policy.clone(), weighted), &[]);
        for (port, expected) in [(1, 0.1), (3, 0.3), (6, 0.6)] {
            let share = share(&assigned, port);
            assert!((share - expected).abs() < bound, "{policy:?}: {port} has {share}");
        }
    }
}

#[test]
fn localities_have_the_share_of_their_weight() {
    // One member in a locality of weight 3, three in one of weight 1.
    let place = |port: u16| Member {
        locality: u32::from(port > 1),
        locality_weight: if port > 1 { 1 } else { 3 },
        ..member(port)
    };
    for policy in [RING, MAGLEV] {
        let share = share(&assign(&mut balancer(policy.clone(), (1..5).map(place)), &[]), 1);
        assert!((share - 0.75).abs() < 0.05, "{policy:?}: {share}");
    }
}

/// As long as each member keeps its points a ring moves nothing else. By default the others get some of the points that are
/// gone, so that the ring keeps its least size, which moves up to as much again. Maglev: paper, §5.3.
#[test]
fn a_member_that_leaves_moves_hardly_more_than_its_own() {
    let plain = BalancerPolicy::RingHash {
        minimum_ring_size: 1,
        maximum_ring_size: BalancerPolicy::MAXIMUM_RING_SIZE,
        function: RingFunction::XxHash,
    };
    for (policy, others) in [(plain, 0.0), (RING, 0.1), (MAGLEV, 0.005)] {
        let before = assign(&mut balancer(policy.clone(), members(1..11)), &[]);
        let after = assign(&mut balancer(policy.clone(), members(1..10)), &[]);
        let had = share(&before, 10);
        let moved = moved(&before, &after);
        assert!((had - 1e-9..=had + others + 1e-9).contains(&moved), "{policy:?}: it had {had}, moved {moved}");
    }
}

#[test]
fn a_member_ejected_or_avoided_moves_only_its_own_and_not_to_one() {
    for policy in [RING, MAGLEV] {
        let before = assign(&mut balancer(policy.clone(), members(1..11)), &[]);
        let unhealthy = |port: u16| Member { health: EndpointHealth::Unhealthy, ..member(port) };
        let away = members(1..10).into_iter().chain([unhealthy(10)]);
        let without = assign(&mut balancer(policy.clone(), away), &[]);
        let avoiding = assign(&mut balancer(policy.clone(), members(1..11)), &[10]);
        assert_eq!(without, avoiding, "{policy:?}");
        for (before, after) in before.iter().zip(&without) {
            assert!(before == after || *before == 10, "{policy:?}: {before} moved to {after}");
        }
        let heirs: BTreeSet<u16> =
            before.iter().zip(&without).filter(|(before, _)| **before == 10).map(|(_, after)| *after).collect();
        assert_eq!(heirs.len(), 9, "{policy:?}: its keys go to everybody");
    }
}

#[test]
fn an_update_of_health_alone_builds_no_new_table() {
    let mut balancer = balancer(RING, members(1..4));
    assign(&mut balancer, &[]);
    let places = |balancer: &Balancer<u16>| balancer.tables_at();
    let before = places(&balancer);
    assert!(before.is_some());
    let drained = members(1..4).into_iter().map(|member| Member { health: EndpointHealth::Draining, ..member });
    balancer.update(drained, now());
    assert_eq!(places(&balancer), before);
    balancer.update(members(1..5), now());
    assert_eq!(places(&balancer), None, "built again by the next choice");
}

#[test]
fn priorities_take_over_where_the_first_has_nobody() {
    let down = Member { health: EndpointHealth::Unhealthy, ..member(1) };
    let second = (2..5).map(|port| Member { priority: 1, ..member(port) });
    let assigned = assign(&mut balancer(RING, [down].into_iter().chain(second)), &[]);
    assert!(share(&assigned, 1) == 0.0 && (2..5).all(|port| share(&assigned, port) > 0.2));
}

#[test]
fn without_a_hash_members_are_drawn() {
    let mut balancer = balancer(RING, members(1..4));
    let mut draw = 0;
    let mut random = || {
        draw += 1;
        hash_of(draw)
    };
    let picked: BTreeSet<u16> =
        (0..100).filter_map(|_| balancer.pick(now(), &mut random, &[]).map(|choice| choice.key())).collect();
    assert_eq!(picked.len(), 3);
}

fn any_member() -> impl Strategy<Value = Member<u16>> {
    let health = prop_oneof![
        Just(EndpointHealth::Healthy),
        Just(EndpointHealth::Unknown),
        Just(EndpointHealth::Unhealthy),
        Just(EndpointHealth::Draining)
    ];
    (1..40_u16, 0..200_u32, health, 0..3_u32, 0..3_u32).prop_map(|(port, weight, health, priority, locality)| Member {
        weight,
        health,
        priority,
        locality,
        ..member(port)
    })
}

fn any_policy() -> impl Strategy<Value = BalancerPolicy> {
    let ring = |(minimum_ring_size, maximum_ring_size)| BalancerPolicy::RingHash {
        minimum_ring_size,
        maximum_ring_size,
        function: RingFunction::XxHash,
    };
    prop_oneof![
        prop::sample::select(vec![2_u32, 7, 251, 65_537]).prop_map(|table_size| BalancerPolicy::Maglev { table_size }),
        (0..2000_u32, 0..3000_u32).prop_map(ring),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the members: somebody takes the request as long as there is anybody, nobody that is to be avoided while there
    /// is another that may be chosen, and the order of the members does not matter.
    #[test]
    fn choices_keep_the_invariants(
        policy in any_policy(),
        all in prop::collection::btree_map(1..40_u16, any_member(), 0..12),
        locality_weights in prop::array::uniform3(1..4_u32),
        avoid in prop::collection::vec(1..40_u16, 0..3),
        hashes in prop::collection::vec(any::<u64>(), 20),
    ) {
        let located = |(port, any): (u16, Member<u16>)| {
            let locality_weight = locality_weights[any.locality as usize];
            Member { health: any.health, weight: any.weight, priority: any.priority, locality: any.locality, locality_weight, ..member(port) }
        };
        let all: Vec<_> = all.into_iter().map(located).collect();
        let mut one = balancer(policy.clone(), all.iter().cloned());
        let mut other = balancer(policy, all.iter().rev().cloned());
        for hash in hashes {
            let pick = |of: &mut Balancer<u16>| of.pick_by_hash(hash, now(), &mut no_draw, &avoid).map(|choice| choice.key());
            let picked = pick(&mut one);
            prop_assert_eq!(picked, pick(&mut one));
            prop_assert_eq!(picked.is_some(), !all.is_empty());
            let is_clean = |key: &u16| !avoid.contains(key);
            let is_healthy = |member: &&Member<u16>| member.health.takes_traffic();
            if all.iter().filter(is_healthy).any(|member| member.priority == 0 && is_clean(&member.key)) {
                prop_assert!(picked.as_ref().is_some_and(is_clean));
            }
            // A panic and a last resort take members in the order they came.
            if all.iter().all(|member| member.health.takes_traffic()) && avoid.is_empty() {
                prop_assert_eq!(picked, pick(&mut other));
            }
        }
    }
}
