//! HTTP filters and what routes say about them.
use leno_ir::*;
use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::*;

use super::{fraction, name, string_match};

pub(super) fn filters() -> impl Strategy<Value = Vec<HttpFilter>> {
    let config = prop_oneof![Just(HttpFilterConfig::Cors)];
    let filter = (name(), any::<bool>(), config);
    vec(filter.prop_map(|(name, disabled, config)| HttpFilter { name, disabled, config }), 0..3)
}

pub(super) fn overrides() -> impl Strategy<Value = FilterOverrides> {
    let config = prop_oneof![cors_policy().prop_map(RouteFilterConfig::Cors)];
    let one = prop_oneof![
        Just(FilterOverride::Disabled),
        Just(FilterOverride::Enabled),
        config.prop_map(FilterOverride::Config),
    ];
    prop_oneof![3 => Just(FilterOverrides::new()), 1 => btree_map(name(), one, 0..3)]
}

fn cors_policy() -> impl Strategy<Value = CorsPolicy> {
    let texts = ("[A-Z,]{0,6}", "[a-z,]{0,6}", "[a-z,]{0,6}", "[0-9]{0,3}");
    let flags = (of(any::<bool>()), of(any::<bool>()), of(any::<bool>()));
    (vec(string_match(), 0..3), texts, flags, fraction(), fraction()).prop_map(
        |(allow_origins, texts, flags, enabled, shadow_enabled)| CorsPolicy {
            allow_origins,
            allow_methods: texts.0,
            allow_headers: texts.1,
            expose_headers: texts.2,
            max_age: texts.3,
            allow_credentials: flags.0,
            allow_private_network_access: flags.1,
            forward_not_matching_preflights: flags.2,
            enabled,
            shadow_enabled,
        },
    )
}
