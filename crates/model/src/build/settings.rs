//! Leno's own MeshConfig, in the terms of Istio's: what it says counts first.

use std::sync::Arc;

use leno_api::leno::{LogEncoding, MeshConfigSpec, PathSpelling};
use leno_api::{GoDuration, H2UpgradePolicy, MeshConfig, PathNormalization, Resource};

use crate::Problem;

/// The name of the one that counts.
const NAME: &str = "default";

pub(super) fn lay_over(mesh: &mut MeshConfig, resources: &[Arc<Resource>], problems: &mut Vec<Problem>) {
    for resource in resources {
        let Resource::MeshConfig(object) = &**resource else { continue };
        if object.metadata.name == NAME {
            apply(&object.spec, mesh);
        } else {
            let message = "the MeshConfig that counts is called \"default\"; this one has no effect";
            problems.push(Problem::error(&resource.key(), "metadata.name", "ignored", message));
        }
    }
}

fn apply(spec: &MeshConfigSpec, mesh: &mut MeshConfig) {
    if spec.root_namespace.is_some() {
        mesh.root_namespace.clone_from(&spec.root_namespace);
    }
    if !spec.trust_domain_aliases.is_empty() {
        mesh.trust_domain_aliases.clone_from(&spec.trust_domain_aliases);
    }
    if let Some(log) = &spec.access_log {
        mesh.access_log_file = Some(log.path.clone());
        mesh.access_log_encoding = match log.encoding {
            Some(LogEncoding::Json) => Some("JSON".to_owned()),
            None | Some(LogEncoding::Text) => Some("TEXT".to_owned()),
        };
        mesh.access_log_format.clone_from(&log.format);
    }
    if let Some(spelling) = spec.path_normalization {
        let word = match spelling {
            PathSpelling::Base => "BASE",
            PathSpelling::DecodeAndMergeSlashes => "DECODE_AND_MERGE_SLASHES",
            PathSpelling::MergeSlashes => "MERGE_SLASHES",
            PathSpelling::None => "NONE",
        };
        mesh.path_normalization = Some(PathNormalization { normalization: Some(word.to_owned()) });
    }
    if let Some(rate) = spec.dns_refresh_rate {
        mesh.dns_refresh_rate = Some(GoDuration(rate.0));
    }
    if let Some(upgrade) = spec.upgrade_to_http2 {
        mesh.h2_upgrade_policy = Some(if upgrade { H2UpgradePolicy::Upgrade } else { H2UpgradePolicy::DoNotUpgrade });
    }
}
