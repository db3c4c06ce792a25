use std::collections::BTreeMap;

use leno_ir::{
    CidrRange, Config as MeshConfig, ConnectionLimit, ConnectionRateLimit, ConnectionRbac, Permission, Principal, Rbac,
    RbacAction, RbacEnforcement, RbacPolicy, TokenBucket,
};

use super::*;

fn connection(client: [u8; 4]) -> Connection {
    Connection::for_tests((client, 40_000))
}

const NEAR: [u8; 4] = [127, 0, 0, 1];
const FAR: [u8; 4] = [192, 0, 2, 1];

fn rbac(action: RbacAction, shadow: bool) -> Config {
    let near = CidrRange::new(NEAR.into(), 8).expect("a block");
    let policy = RbacPolicy { permissions: vec![Permission::Any], principals: vec![Principal::DirectRemoteIp(near)] };
    let rules = Rbac { action, policies: BTreeMap::from([("near by".to_owned(), policy)]) };
    Config::Rbac(Box::new(ConnectionRbac {
        stat_prefix: "tcp".to_owned(),
        rules: (!shadow).then(|| rules.clone()),
        shadow_rules: shadow.then_some(rules),
        shadow_rules_stat_prefix: String::new(),
        enforcement: RbacEnforcement::OneTime,
        delay_deny: None,
    }))
}

fn filters(configs: &[Config], worker: &Worker) -> ConnectionFilters {
    ConnectionFilters::new(configs, "in.filter_chains[0]", worker)
}

fn details(result: Result<Admission, Refusal>) -> Option<String> {
    result.err().map(|refusal| refusal.termination_details.into_owned())
}

#[test]
fn rules_refuse_and_name_the_policy() {
    let worker = Worker::for_tests(MeshConfig::default());
    let allow = filters(&[rbac(RbacAction::Allow, false)], &worker);
    assert_eq!(details(allow.admit(&connection(NEAR), worker.now())), None);
    let none = "rbac_access_denied_matched_policy[none]";
    assert_eq!(details(allow.admit(&connection(FAR), worker.now())).as_deref(), Some(none));
    let deny = filters(&[rbac(RbacAction::Deny, false)], &worker);
    let named = "rbac_access_denied_matched_policy[near_by]";
    assert_eq!(details(deny.admit(&connection(NEAR), worker.now())).as_deref(), Some(named));
    assert_eq!(details(deny.admit(&connection(FAR), worker.now())), None);
    assert!(deny.allow_early_dial(&connection(FAR)) && !deny.allow_early_dial(&connection(NEAR)));
}

#[test]
fn shadow_rules_refuse_nobody() {
    let worker = Worker::for_tests(MeshConfig::default());
    let shadow = filters(&[rbac(RbacAction::Deny, true)], &worker);
    assert_eq!(details(shadow.admit(&connection(NEAR), worker.now())), None);
    assert!(shadow.allow_early_dial(&connection(NEAR)));
}

#[test]
fn a_limit_counts_connections_of_all_workers_until_they_close() {
    let limit = |delay| {
        let stat_prefix = "few".to_owned();
        Config::Limit(ConnectionLimit { stat_prefix, max_connections: 2, delay })
    };
    let worker = Worker::for_tests(MeshConfig::default());
    // Two versions of a listener, or two workers: the same place and the same settings are one limit.
    let (one, other) = (filters(&[limit(None)], &worker), filters(&[limit(None)], &worker));
    let first = one.admit(&connection(NEAR), worker.now());
    let second = other.admit(&connection(NEAR), worker.now());
    assert!(first.is_ok() && second.is_ok() && !one.allow_early_dial(&connection(NEAR)));
    let refused = one.admit(&connection(NEAR), worker.now());
    assert!(refused.is_err());
    drop((first, second));
    // The refused one counts as long as it is held.
    let third = one.admit(&connection(NEAR), worker.now());
    assert!(third.is_ok() && one.admit(&connection(NEAR), worker.now()).is_err());
    drop(refused);
    assert!(one.admit(&connection(NEAR), worker.now()).is_ok());
    let other_settings = filters(&[limit(Some(Duration::from_secs(1)))], &worker);
    let both = [0, 1].map(|_| other_settings.admit(&connection(NEAR), worker.now()));
    assert!(both.iter().all(Result::is_ok));
    let late = other_settings.admit(&connection(NEAR), worker.now()).expect_err("too many");
    assert_eq!(late.delay, Some(Duration::from_secs(1)));
}

#[test]
fn a_rate_limit_takes_a_token_a_connection() {
    let worker = Worker::for_tests(MeshConfig::default());
    let limit = |stat_prefix: &str, share_key: &str| {
        let token_bucket = TokenBucket { max_tokens: 2, tokens_per_fill: 1, fill_interval: Duration::from_secs(3600) };
        let (stat_prefix, share_key) = (stat_prefix.to_owned(), share_key.to_owned());
        Config::RateLimit(ConnectionRateLimit { stat_prefix, token_bucket, share_key })
    };
    let admits = |filters: &ConnectionFilters| filters.admit(&connection(NEAR), worker.now()).is_ok();
    let alone = filters(&[limit("a", "")], &worker);
    assert!(admits(&alone) && admits(&alone) && !admits(&alone));
    let (one, other) = (filters(&[limit("b", "key")], &worker), filters(&[limit("c", "key")], &worker));
    assert!(admits(&one) && admits(&other) && !admits(&one) && !admits(&other));
}
