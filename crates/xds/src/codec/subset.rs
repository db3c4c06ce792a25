//! Subsets of a cluster's endpoints, and the labels that lead to them.

use std::collections::{BTreeSet, HashMap};

use leno_ir::{Labels, MetadataValue, SubsetFallback, SubsetSelector, SubsetSettings};
use leno_proto::envoy::config::cluster::v3::cluster::{
    LbSubsetConfig,
    lb_subset_config::{
        LbSubsetFallbackPolicy, LbSubsetSelector, lb_subset_selector::LbSubsetSelectorFallbackPolicy as OfSelector,
    },
};
use leno_proto::envoy::config::core::v3::Metadata;
use leno_proto::google::protobuf::{ListValue, Struct, Value, value::Kind};

use super::error::{At, DecodeError, Result, refuse};

/// The namespace of labels.
pub(super) const FILTER: &str = "envoy.lb";
pub(super) const SOCKET_FILTER: &str = "envoy.transport_socket_match";

pub(super) fn encode(settings: &SubsetSettings) -> LbSubsetConfig {
    let selector = |selector: &SubsetSelector| LbSubsetSelector {
        keys: selector.keys.iter().cloned().collect(),
        fallback_policy: match selector.fallback {
            _ if !selector.fewer_keys.is_empty() => OfSelector::KeysSubset,
            None => OfSelector::NotDefined,
            Some(SubsetFallback::AnyEndpoint) => OfSelector::AnyEndpoint,
            Some(SubsetFallback::DefaultSubset) => OfSelector::DefaultSubset,
            Some(SubsetFallback::NoFallback) => OfSelector::NoFallback,
        }
        .into(),
        fallback_keys_subset: selector.fewer_keys.iter().cloned().collect(),
        single_host_per_subset: selector.is_single,
    };
    LbSubsetConfig {
        fallback_policy: match settings.fallback {
            SubsetFallback::AnyEndpoint => LbSubsetFallbackPolicy::AnyEndpoint,
            SubsetFallback::DefaultSubset => LbSubsetFallbackPolicy::DefaultSubset,
            SubsetFallback::NoFallback => LbSubsetFallbackPolicy::NoFallback,
        }
        .into(),
        default_subset: (!settings.default_subset.is_empty()).then(|| encode_fields(&settings.default_subset)),
        subset_selectors: settings.selectors.iter().map(selector).collect(),
        list_as_any: settings.list_as_any,
        locality_weight_aware: settings.weighs_localities,
        scale_locality_weight: settings.scales_localities,
        panic_mode_any: settings.panics_to_any,
        ..LbSubsetConfig::default()
    }
}

/// `None`: there are no selectors, so the rest means nothing (Envoy `LoadBalancerSubsetInfo::isEnabled`).
pub(super) fn decode(config: &LbSubsetConfig) -> Result<Option<SubsetSettings>> {
    if config.subset_selectors.is_empty() {
        return Ok(None);
    }
    refuse!(config, metadata_fallback_policy);
    let mut selectors: Vec<SubsetSelector> = Vec::new();
    for (index, selector) in config.subset_selectors.iter().enumerate() {
        let selector = decode_selector(selector).at_index("subset_selectors", index)?;
        if selectors.iter().any(|known| known.keys == selector.keys) {
            let error = DecodeError::new("keys", "are those of another selector, which is not supported");
            return Err(error).at_index("subset_selectors", index);
        }
        selectors.push(selector);
    }
    Ok(Some(SubsetSettings {
        fallback: match config.fallback_policy() {
            LbSubsetFallbackPolicy::AnyEndpoint => SubsetFallback::AnyEndpoint,
            LbSubsetFallbackPolicy::DefaultSubset => SubsetFallback::DefaultSubset,
            LbSubsetFallbackPolicy::NoFallback => SubsetFallback::NoFallback,
        },
        default_subset: config.default_subset.as_ref().map(decode_fields).unwrap_or_default(),
        selectors,
        list_as_any: config.list_as_any,
        weighs_localities: config.locality_weight_aware,
        scales_localities: config.scale_locality_weight,
        panics_to_any: config.panic_mode_any,
    }))
}

fn decode_selector(selector: &LbSubsetSelector) -> Result<SubsetSelector> {
    let keys: BTreeSet<_> = selector.keys.iter().cloned().collect();
    let fewer_keys: BTreeSet<_> = selector.fallback_keys_subset.iter().cloned().collect();
    let has_fewer = selector.fallback_policy() == OfSelector::KeysSubset;
    if has_fewer && (fewer_keys.is_empty() || !fewer_keys.is_subset(&keys) || fewer_keys == keys) {
        return Err(DecodeError::new("fallback_keys_subset", "must be some of keys, and not all"));
    }
    Ok(SubsetSelector {
        keys,
        fallback: match selector.fallback_policy() {
            OfSelector::KeysSubset | OfSelector::NotDefined => None,
            OfSelector::AnyEndpoint => Some(SubsetFallback::AnyEndpoint),
            OfSelector::DefaultSubset => Some(SubsetFallback::DefaultSubset),
            OfSelector::NoFallback => Some(SubsetFallback::NoFallback),
        },
        fewer_keys: if has_fewer { fewer_keys } else { BTreeSet::new() },
        is_single: selector.single_host_per_subset,
    })
}

/// Adds `labels` to what else is said.
pub(super) fn encode_labels(labels: &Labels, metadata: Option<Metadata>) -> Option<Metadata> {
    add(FILTER, labels, metadata)
}

pub(super) fn decode_labels(metadata: Option<&Metadata>) -> Labels {
    read(FILTER, metadata)
}

/// The same for what says how to connect.
pub(super) fn encode_socket_labels(labels: &Labels, metadata: Option<Metadata>) -> Option<Metadata> {
    add(SOCKET_FILTER, labels, metadata)
}

pub(super) fn decode_socket_labels(metadata: Option<&Metadata>) -> Labels {
    read(SOCKET_FILTER, metadata)
}

fn add(filter: &str, labels: &Labels, metadata: Option<Metadata>) -> Option<Metadata> {
    if labels.is_empty() {
        return metadata;
    }
    let mut metadata = metadata.unwrap_or_default();
    metadata.filter_metadata.insert(filter.to_owned(), encode_fields(labels));
    Some(metadata)
}

fn read(filter: &str, metadata: Option<&Metadata>) -> Labels {
    metadata.and_then(|metadata| metadata.filter_metadata.get(filter)).map(decode_fields).unwrap_or_default()
}

pub(super) fn encode_fields(fields: &Labels) -> Struct {
    Struct { fields: fields.iter().map(|(key, value)| (key.clone(), encode_value(value))).collect::<HashMap<_, _>>() }
}

pub(super) fn decode_fields(fields: &Struct) -> Labels {
    fields.fields.iter().map(|(key, value)| (key.clone(), decode_value(value))).collect()
}

fn encode_value(value: &MetadataValue) -> Value {
    let kind = match value {
        MetadataValue::Null => Kind::NullValue(0),
        MetadataValue::Bool(value) => Kind::BoolValue(*value),
        MetadataValue::Number(value) => Kind::NumberValue(*value),
        MetadataValue::String(text) => Kind::StringValue(text.clone()),
        MetadataValue::List(values) => Kind::ListValue(ListValue { values: values.iter().map(encode_value).collect() }),
        MetadataValue::Struct(fields) => Kind::StructValue(encode_fields(fields)),
    };
    Value { kind: Some(kind) }
}

fn decode_value(value: &Value) -> MetadataValue {
    match &value.kind {
        None | Some(Kind::NullValue(_)) => MetadataValue::Null,
        Some(Kind::BoolValue(value)) => MetadataValue::Bool(*value),
        Some(Kind::NumberValue(value)) => MetadataValue::Number(*value),
        Some(Kind::StringValue(text)) => MetadataValue::String(text.clone()),
        Some(Kind::ListValue(list)) => MetadataValue::List(list.values.iter().map(decode_value).collect()),
        Some(Kind::StructValue(fields)) => MetadataValue::Struct(decode_fields(fields)),
    }
}
