//! What a Leno proxy reads is what the compiler made; what others read is what was meant for them.

#[path = "support/generate.rs"]
#[allow(dead_code, reason = "shared by tests that use different parts")]
mod generate;

use leno_ir::Flavor;
use leno_xds::codec::{
    decode_cluster, decode_endpoints, decode_listener, decode_route_table, decode_scope, encode_cluster,
    encode_endpoints, encode_listener, encode_route_table, encode_scope,
};
use leno_xds::{DecodeError, Resource, check_rules};
use proptest::prelude::*;

/// What we write keeps Envoy's rules, or we would refuse it ourselves.
fn check(resource: &Resource) -> Result<(), DecodeError> {
    check_rules(resource.type_url.rsplit('/').next().unwrap_or_default(), &resource.body)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn clusters_survive_the_wire(cluster in generate::cluster()) {
        let resource = encode_cluster(&cluster, Flavor::Leno);
        prop_assert_eq!(&resource.name, &cluster.name);
        prop_assert_eq!(check(&resource), Ok(()));
        prop_assert_eq!(decode_cluster(&resource.body), Ok(cluster));
    }

    #[test]
    fn endpoints_survive_the_wire(endpoints in generate::endpoint_set()) {
        let resource = encode_endpoints(&endpoints, Flavor::Leno);
        prop_assert_eq!(check(&resource), Ok(()));
        prop_assert_eq!(decode_endpoints(&resource.body), Ok(endpoints));
    }

    #[test]
    fn listeners_survive_the_wire(listener in generate::listener()) {
        let resource = encode_listener(&listener, Flavor::Leno);
        prop_assert_eq!(check(&resource), Ok(()));
        prop_assert_eq!(decode_listener(&resource.body), Ok(listener));
    }

    #[test]
    fn route_tables_survive_the_wire(table in generate::route_table()) {
        let resource = encode_route_table(&table, Flavor::Leno);
        prop_assert_eq!(check(&resource), Ok(()));
        prop_assert_eq!(decode_route_table(&resource.body), Ok(table));
    }

    #[test]
    fn scopes_survive_the_wire(scope in generate::scope()) {
        let resource = encode_scope(&scope, Flavor::Leno);
        prop_assert_eq!(decode_scope(&resource.body), Ok(scope));
    }

    #[test]
    fn equal_values_have_equal_versions_and_flavors_differ(cluster in generate::cluster()) {
        let version = |flavor| encode_cluster(&cluster.clone(), flavor).version;
        prop_assert_eq!(version(Flavor::Leno), version(Flavor::Leno));
        prop_assert_ne!(version(Flavor::Leno), version(Flavor::Grpc));
    }

    #[test]
    fn what_stock_envoy_gets_is_readable_to_us_too(cluster in generate::cluster(), listener in generate::listener()) {
        let read = decode_cluster(&encode_cluster(&cluster, Flavor::Envoy).body);
        prop_assert!(read.is_ok(), "{:?}", read);
        let read = decode_listener(&encode_listener(&listener, Flavor::Envoy).body);
        prop_assert!(read.is_ok(), "{:?}", read);
    }

    #[test]
    fn damaged_bytes_are_read_or_refused_without_a_panic(
        cluster in generate::cluster(),
        listener in generate::listener(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let damaged = |mut body: Vec<u8>| {
            for (at, byte) in &damage {
                let at = at.index(body.len());
                body[at] = *byte;
            }
            body
        };
        drop(decode_cluster(&damaged(encode_cluster(&cluster, Flavor::Leno).body)));
        drop(decode_listener(&damaged(encode_listener(&listener, Flavor::Envoy).body)));
    }

    #[test]
    fn foreign_bytes_are_refused_without_a_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        drop(decode_cluster(&body));
        drop(decode_endpoints(&body));
        drop(decode_listener(&body));
        drop(decode_route_table(&body));
    }
}
