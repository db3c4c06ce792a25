//! What is read over xDS is read from a static bootstrap too: everything that we encode for stock Envoy may stand in its file.

#[path = "support/generate.rs"]
#[allow(dead_code, reason = "shared by tests that use different parts")]
mod generate;

use std::collections::BTreeSet;

use leno_ir::{Flavor, Listener, NetworkFilter, RouteSource};
use leno_proto::BOOTSTRAP_DESCRIPTORS;
use leno_xds::codec::{encode_cluster, encode_listener};
use leno_xds::read_bootstrap;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use prost_reflect::{DescriptorPool, DynamicMessage};

const SAMPLES: usize = 120;

#[test]
fn what_is_read_over_xds_is_read_from_a_file() {
    let pool = DescriptorPool::decode(BOOTSTRAP_DESCRIPTORS).expect("the descriptors");
    let json = |message: &str, bytes: &[u8]| {
        let descriptor = pool.get_message_by_name(message).expect("a message of Envoy's API");
        let message = DynamicMessage::decode(descriptor, bytes).expect("what we encoded");
        // Not of filters that only are switched on: their configuration is an `Any` of no type, which JSON has no word for.
        serde_json::to_value(&message).ok()
    };
    let mut runner = TestRunner::deterministic();
    let (mut refused, mut read) = (BTreeSet::new(), 0);
    for _ in 0..SAMPLES {
        let cluster = sample(&mut runner, generate::cluster());
        let mut listener = sample(&mut runner, generate::listener());
        give_routes(&mut listener, &mut runner);
        let clusters = json("envoy.config.cluster.v3.Cluster", &encode_cluster(&cluster, Flavor::Envoy).body);
        let listeners = json("envoy.config.listener.v3.Listener", &encode_listener(&listener, Flavor::Envoy).body);
        let (Some(clusters), Some(listeners)) = (clusters, listeners) else { continue };
        read += 1;
        let text = serde_json::json!({ "static_resources": { "clusters": [clusters], "listeners": [listeners] } });
        let problems = read_bootstrap(&text.to_string()).err().unwrap_or_default();
        let unsupported = problems.into_iter().filter(|problem| problem.reason.contains("not supported"));
        refused.extend(unsupported.map(|problem| (without_indexes(&problem.field), problem.reason)));
    }
    assert!(refused.is_empty(), "{refused:#?}");
    assert!(read > SAMPLES / 4, "only {read} of {SAMPLES} could be written as JSON");
}

fn sample<T: std::fmt::Debug>(runner: &mut TestRunner, strategy: impl Strategy<Value = T>) -> T {
    strategy.new_tree(runner).expect("a value").current()
}

/// A file has its routes in its listeners.
fn give_routes(listener: &mut Listener, runner: &mut TestRunner) {
    for chain in listener.filter_chains.iter_mut().chain(&mut listener.default_filter_chain) {
        if let NetworkFilter::Http(manager) = &mut chain.filter {
            manager.routes = RouteSource::Inline(Box::new(sample(runner, generate::route_table())).into());
        }
    }
}

fn without_indexes(field: &str) -> String {
    field.split('[').map(|part| part.split_once(']').map_or(part, |(_, rest)| rest)).collect()
}
