use leno_ir::{Flavor, Forward, HostRewrite, PathMatch, Rewrite, RoutingPriority};
use leno_proto::envoy::config::core::v3::RoutingPriority as ProtoPriority;
use leno_proto::envoy::config::route::v3::{
    RouteAction as Proto, RouteMatch,
    route_action::{ClusterNotFoundResponseCode, HostRewriteSpecifier},
};
use leno_proto::google::protobuf::BoolValue;

use super::rewrite::{self, WHOLE_PATH, prefix_substitution, substitution};
use super::{clusters, internal_redirect, mirror, rate_limit, retry, template, timeouts};
use crate::codec::common::read_visible;
use crate::codec::error::{At, DecodeError, Result, refuse};
use crate::codec::http::upgrade;
use crate::codec::{hash, policy, subset};

pub(super) fn takes_nothing(forward: &Forward) -> bool {
    forward.clusters.iter().all(|cluster| cluster.weight == 0)
}

#[allow(deprecated, reason = "Envoy still reads the older field")]
pub(super) fn encode(forward: &Forward, matched: &PathMatch, flavor: Flavor) -> Proto {
    let mut action = Proto {
        // gRPC refuses a policy of no attempts (A44).
        retry_policy: forward
            .retry
            .as_ref()
            .filter(|retry| flavor != Flavor::Grpc || retry.attempts > 0)
            .map(|retry| retry::encode(retry, flavor)),
        host_rewrite_specifier: forward.host_rewrite.as_ref().map(encode_host),
        append_x_forwarded_host: forward.append_x_forwarded_host,
        request_mirror_policies: forward.mirrors.iter().map(mirror::encode).collect(),
        cluster_specifier: Some(clusters::encode(forward, flavor)),
        cluster_not_found_response_code: match forward.cluster_not_found_status {
            404 => ClusterNotFoundResponseCode::NotFound,
            500 => ClusterNotFoundResponseCode::InternalServerError,
            _ => ClusterNotFoundResponseCode::ServiceUnavailable,
        }
        .into(),
        internal_redirect_policy: forward.internal_redirects.as_ref().map(internal_redirect::encode),
        hash_policy: forward.hash_policies.iter().map(hash::encode).collect(),
        rate_limits: rate_limit::encode(&forward.rate_limits),
        upgrade_configs: upgrade::encode_route(&forward.upgrades),
        include_vh_rate_limits: forward.include_host_rate_limits.then_some(BoolValue { value: true }),
        priority: policy::encode_priority(forward.priority),
        ..Proto::default()
    };
    action.hedge_policy = retry::encode_hedge(forward.hedge_on_per_try_timeout);
    timeouts::encode(forward, &mut action, flavor);
    match &forward.rewrite {
        None => {}
        Some(Rewrite::Prefix(prefix)) => match prefix_substitution(prefix, matched, flavor) {
            Some(rewrite) => action.regex_rewrite = Some(rewrite),
            None => action.prefix_rewrite.clone_from(prefix),
        },
        Some(Rewrite::Path(path)) => action.regex_rewrite = Some(substitution(WHOLE_PATH, &path.replace('\\', "\\\\"))),
        Some(Rewrite::Regex { pattern, substitution: by }) => action.regex_rewrite = Some(substitution(pattern, by)),
    }
    action
}

#[allow(deprecated, reason = "other control planes still write the older field")]
fn include_host_rate_limits(action: &Proto) -> bool {
    action.include_vh_rate_limits.as_ref().is_some_and(|include| include.value)
}

#[allow(deprecated, reason = "a field that is refused has to be looked at")]
pub(super) fn decode(action: &Proto, matches: &RouteMatch) -> Result<Forward> {
    refuse!(action, internal_redirect_action, max_internal_redirects);
    refuse!(action, path_rewrite, retry_policy_typed_config, early_data_policy);
    let (cluster_number_header, clusters_by_hash) = clusters::decode_decider(action.cluster_specifier.as_ref());
    let mut forward = Forward {
        clusters: clusters::decode(action.cluster_specifier.as_ref())?,
        cluster_number_header,
        clusters_by_hash,
        rate_limits: rate_limit::decode(&action.rate_limits)?,
        include_host_rate_limits: include_host_rate_limits(action),
        retry: action.retry_policy.as_ref().map(retry::decode).transpose().at("retry_policy")?,
        priority: match action.priority() {
            ProtoPriority::Default => RoutingPriority::Default,
            ProtoPriority::High => RoutingPriority::High,
        },
        hedge_on_per_try_timeout: retry::decode_hedge(action.hedge_policy.as_ref()).at("hedge_policy")?,
        internal_redirects: action
            .internal_redirect_policy
            .as_ref()
            .map(internal_redirect::decode)
            .transpose()
            .at("internal_redirect_policy")?,
        rewrite: match template::decode_rewrite(action, matches)? {
            None => rewrite::decode(action)?,
            rewrite => rewrite,
        },
        host_rewrite: match &action.host_rewrite_specifier {
            None | Some(HostRewriteSpecifier::AutoHostRewrite(BoolValue { value: false })) => None,
            Some(specifier) => Some(decode_host(specifier)?),
        },
        append_x_forwarded_host: action.append_x_forwarded_host,
        cluster_not_found_status: match action.cluster_not_found_response_code() {
            ClusterNotFoundResponseCode::ServiceUnavailable => 503,
            ClusterNotFoundResponseCode::NotFound => 404,
            ClusterNotFoundResponseCode::InternalServerError => 500,
        },
        upgrades: upgrade::decode_route(&action.upgrade_configs)?,
        mirrors: mirror::decode_all(&action.request_mirror_policies)?,
        hash_policies: hash::decode_all(&action.hash_policy)?,
        ..Forward::to("")
    };
    timeouts::decode(action, &mut forward);
    // What a cluster of several wants goes before what the route wants.
    let wanted = subset::decode_labels(action.metadata_match.as_ref());
    for cluster in forward.clusters.iter_mut().filter(|_| !wanted.is_empty()) {
        let own = std::mem::replace(&mut cluster.metadata_match, wanted.clone());
        cluster.metadata_match.extend(own);
    }
    Ok(forward)
}

fn encode_host(rewrite: &HostRewrite) -> HostRewriteSpecifier {
    match rewrite {
        HostRewrite::Auto => HostRewriteSpecifier::AutoHostRewrite(BoolValue { value: true }),
        HostRewrite::Header(name) => HostRewriteSpecifier::HostRewriteHeader(name.clone()),
        HostRewrite::Literal(host) => HostRewriteSpecifier::HostRewriteLiteral(host.clone()),
        HostRewrite::PathRegex { pattern, substitution: by } => {
            HostRewriteSpecifier::HostRewritePathRegex(substitution(pattern, by))
        }
    }
}

fn decode_host(specifier: &HostRewriteSpecifier) -> Result<HostRewrite> {
    Ok(match specifier {
        HostRewriteSpecifier::HostRewriteLiteral(host) => {
            HostRewrite::Literal(read_visible(host, "host_rewrite_literal")?)
        }
        HostRewriteSpecifier::HostRewriteHeader(name) => HostRewrite::Header(name.to_ascii_lowercase()),
        HostRewriteSpecifier::HostRewritePathRegex(rewrite) => {
            let (pattern, substitution) = rewrite::decode_regex(rewrite).at("host_rewrite_path_regex")?;
            HostRewrite::PathRegex { pattern, substitution }
        }
        HostRewriteSpecifier::AutoHostRewrite(_) => HostRewrite::Auto,
        HostRewriteSpecifier::HostRewrite(_) => return Err(DecodeError::unsupported("host_rewrite")),
    })
}
