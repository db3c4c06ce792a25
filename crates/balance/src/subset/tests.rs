use std::time::Instant;

use leno_ir::{BalancerPolicy, EndpointHealth, Labels, MetadataValue, SubsetFallback, SubsetSelector, SubsetSettings};
use leno_names::Fraction;

use crate::{Balancer, BalancerSettings, Member, Wish};

fn labels(fields: &[(&str, MetadataValue)]) -> Labels {
    fields.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
}

fn selector(keys: &[&str], fallback: Option<SubsetFallback>) -> SubsetSelector {
    SubsetSelector { keys: keys.iter().map(|key| (*key).to_owned()).collect(), fallback, ..SubsetSelector::default() }
}

fn settings(subsets: SubsetSettings) -> BalancerSettings {
    let policy = BalancerPolicy::RoundRobin;
    BalancerSettings {
        subsets: Some(Box::new(subsets)),
        panic_threshold: Fraction::ZERO,
        ..BalancerSettings::new(policy, None)
    }
}

#[expect(clippy::disallowed_methods, reason = "a start for virtual time, read once")]
fn start() -> Instant {
    Instant::now()
}

/// Who takes requests, in order.
fn takers(balancer: &mut Balancer<u32>, wanted: &Labels) -> Vec<u32> {
    let wish = Wish { labels: wanted, ..Wish::default() };
    let mut takers: Vec<u32> =
        (0..12).filter_map(|_| balancer.pick_for(wish, start(), &mut || 0, &[]).map(|choice| choice.key())).collect();
    takers.sort_unstable();
    takers.dedup();
    takers
}

fn members() -> Vec<(Member<u32>, Labels)> {
    let stages = MetadataValue::List(vec!["prod".into(), "canary".into(), "prod".into()]);
    vec![
        (Member::new(1), labels(&[("version", "1".into()), ("stage", stages)])),
        (Member::new(2), labels(&[("version", "1".into()), ("stage", "prod".into())])),
        (Member::new(3), labels(&[("version", "2".into())])),
        (Member::new(4), Labels::new()),
    ]
}

#[test]
fn keys_must_be_those_of_a_selector_and_values_those_of_a_member() {
    let subsets = SubsetSettings { selectors: vec![selector(&["version"], None)], ..SubsetSettings::default() };
    let mut balancer = Balancer::new(settings(subsets), 0);
    balancer.update_labelled(members(), start());
    let mut of = |fields: &[(&str, MetadataValue)]| takers(&mut balancer, &labels(fields));
    assert_eq!(of(&[("version", "1".into())]), [1, 2]);
    assert_eq!(of(&[("version", "2".into())]), [3]);
    assert_eq!(of(&[("version", "3".into())]), []);
    assert_eq!(of(&[("version", "1".into()), ("stage", "prod".into())]), []);
    assert_eq!(of(&[]), []);
}

#[test]
fn the_fallback_of_a_selector_goes_before_that_of_the_cluster() {
    let subsets = SubsetSettings {
        fallback: SubsetFallback::DefaultSubset,
        default_subset: labels(&[("version", "2".into())]),
        selectors: vec![selector(&["version"], Some(SubsetFallback::AnyEndpoint)), selector(&["stage"], None)],
        list_as_any: true,
        ..SubsetSettings::default()
    };
    let mut balancer = Balancer::new(settings(subsets), 0);
    balancer.update_labelled(members(), start());
    let mut of = |fields: &[(&str, MetadataValue)]| takers(&mut balancer, &labels(fields));
    assert_eq!(of(&[("version", "9".into())]), [1, 2, 3, 4]);
    assert_eq!(of(&[("stage", "none".into())]), [3]);
    assert_eq!(of(&[("stage", "canary".into())]), [1]);
    assert_eq!(of(&[("stage", "prod".into())]), [1, 2]);
    assert_eq!(of(&[]), [3]);
}

#[test]
fn a_subset_that_is_unhealthy_is_not_replaced_by_the_fallback() {
    let subsets = SubsetSettings {
        fallback: SubsetFallback::AnyEndpoint,
        selectors: vec![selector(&["version"], None)],
        ..SubsetSettings::default()
    };
    let mut balancer = Balancer::new(settings(subsets), 0);
    balancer.update_labelled(members(), start());
    let wanted = labels(&[("version", "2".into())]);
    assert_eq!(takers(&mut balancer, &wanted), [3]);
    let sick = members().into_iter().map(|(member, labels)| match member.key {
        3 => (Member { health: EndpointHealth::Unhealthy, ..member }, labels),
        _ => (member, labels),
    });
    balancer.update_labelled(sick, start());
    assert_eq!(takers(&mut balancer, &wanted), []);
    assert_eq!(takers(&mut balancer, &Labels::new()), [1, 2, 4]);
}
