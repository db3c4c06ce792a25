//! Where retries go, both ways: what is said of endpoints and priorities that were tried.

use std::num::NonZeroU32;

use leno_ir::RetryPolicy;
use leno_proto::envoy::config::route::v3::{
    RetryPolicy as Proto,
    retry_policy::{RetryHostPredicate, RetryPriority, retry_host_predicate, retry_priority},
};
use leno_proto::envoy::extensions::retry::host::omit_canary_hosts::v3::OmitCanaryHostsPredicate;
use leno_proto::envoy::extensions::retry::host::omit_host_metadata::v3::OmitHostMetadataConfig;
use leno_proto::envoy::extensions::retry::host::previous_hosts::v3::PreviousHostsPredicate;
use leno_proto::envoy::extensions::retry::priority::previous_priorities::v3::PreviousPrioritiesConfig;
use prost::Message;

use crate::codec::common::{any, unpack};
use crate::codec::error::{At, DecodeError, Result};
use crate::codec::subset;

const OMIT_CANARIES: &str = "envoy.extensions.retry.host.omit_canary_hosts.v3.OmitCanaryHostsPredicate";
const OMIT_METADATA: &str = "envoy.extensions.retry.host.omit_host_metadata.v3.OmitHostMetadataConfig";
const PREVIOUS_HOSTS: &str = "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate";
const PREVIOUS_PRIORITIES: &str = "envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig";

pub(super) fn encode(retry: &RetryPolicy) -> Vec<RetryHostPredicate> {
    let mut all = Vec::new();
    if retry.avoid_previous_hosts {
        all.push(predicate("previous_hosts", PREVIOUS_HOSTS, &PreviousHostsPredicate {}));
    }
    if retry.avoid_canaries {
        all.push(predicate("omit_canary_hosts", OMIT_CANARIES, &OmitCanaryHostsPredicate {}));
    }
    for labels in &retry.avoid_labelled {
        let config = OmitHostMetadataConfig { metadata_match: subset::encode_labels(labels, None) };
        all.push(predicate("omit_host_metadata", OMIT_METADATA, &config));
    }
    all
}

fn predicate(name: &str, type_name: &str, config: &impl Message) -> RetryHostPredicate {
    RetryHostPredicate {
        name: format!("envoy.retry_host_predicates.{name}"),
        config_type: Some(retry_host_predicate::ConfigType::TypedConfig(any(type_name, config))),
    }
}

pub(super) fn encode_priority(frequency: NonZeroU32) -> RetryPriority {
    let update_frequency = i32::try_from(frequency.get()).unwrap_or(i32::MAX);
    let config = any(PREVIOUS_PRIORITIES, &PreviousPrioritiesConfig { update_frequency });
    RetryPriority {
        name: "envoy.retry_priorities.previous_priorities".to_owned(),
        config_type: Some(retry_priority::ConfigType::TypedConfig(config)),
    }
}

pub(super) fn decode(retry: &Proto, policy: &mut RetryPolicy) -> Result<()> {
    for (index, predicate) in retry.retry_host_predicate.iter().enumerate() {
        decode_predicate(predicate, policy).at_index("retry_host_predicate", index)?;
    }
    let Some(priority) = &retry.retry_priority else { return Ok(()) };
    let Some(retry_priority::ConfigType::TypedConfig(config)) = &priority.config_type else {
        return Err(DecodeError::new("retry_priority.typed_config", "is missing"));
    };
    let config: PreviousPrioritiesConfig = unpack(Some(config), PREVIOUS_PRIORITIES).at("retry_priority")?;
    let frequency = u32::try_from(config.update_frequency).ok().and_then(NonZeroU32::new);
    let error = || DecodeError::new("retry_priority.typed_config.update_frequency", "must be above 0");
    policy.other_priorities = Some(frequency.ok_or_else(error)?);
    Ok(())
}

fn decode_predicate(predicate: &RetryHostPredicate, policy: &mut RetryPolicy) -> Result<()> {
    let Some(retry_host_predicate::ConfigType::TypedConfig(config)) = &predicate.config_type else {
        // Without a type the name says it.
        return match predicate.name.as_str() {
            "envoy.retry_host_predicates.previous_hosts" => {
                policy.avoid_previous_hosts = true;
                Ok(())
            }
            "envoy.retry_host_predicates.omit_canary_hosts" => {
                policy.avoid_canaries = true;
                Ok(())
            }
            other => Err(DecodeError::new("name", format!("{other} is not supported without a typed_config"))),
        };
    };
    match config.type_url.rsplit('/').next().unwrap_or_default() {
        PREVIOUS_HOSTS => policy.avoid_previous_hosts = true,
        OMIT_CANARIES => policy.avoid_canaries = true,
        OMIT_METADATA => {
            let config: OmitHostMetadataConfig = unpack(Some(config), OMIT_METADATA)?;
            let labels = subset::decode_labels(config.metadata_match.as_ref());
            // Nothing to look for is found nowhere.
            policy.avoid_labelled.extend(Some(labels).filter(|labels| !labels.is_empty()));
        }
        _ => return Err(DecodeError::new("typed_config", format!("{} is not supported", config.type_url))),
    }
    Ok(())
}
