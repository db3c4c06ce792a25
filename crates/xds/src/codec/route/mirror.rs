use leno_ir::Mirror;
use leno_names::Fraction;
use leno_proto::envoy::config::route::v3::route_action::RequestMirrorPolicy as Proto;

use crate::codec::common::{read_fraction, read_visible, runtime_fraction};
use crate::codec::error::{At, DecodeError, Result, refuse};

pub(super) fn encode(mirror: &Mirror) -> Proto {
    Proto {
        cluster: mirror.cluster.clone(),
        cluster_header: mirror.cluster_header.clone().unwrap_or_default(),
        runtime_fraction: Some(runtime_fraction(mirror.fraction)),
        disable_shadow_host_suffix_append: mirror.keeps_host,
        host_rewrite_literal: mirror.host_rewrite.clone().unwrap_or_default(),
        ..Proto::default()
    }
}

pub(super) fn decode_all(mirrors: &[Proto]) -> Result<Vec<Mirror>> {
    let mirrors = mirrors.iter().enumerate();
    mirrors.map(|(index, mirror)| decode(mirror).at_index("request_mirror_policies", index)).collect()
}

fn decode(mirror: &Proto) -> Result<Mirror> {
    refuse!(mirror, request_headers_mutations);
    if mirror.cluster.is_empty() == mirror.cluster_header.is_empty() {
        return Err(DecodeError::new("cluster", "either cluster or cluster_header must be set"));
    }
    let share = mirror.runtime_fraction.as_ref().and_then(|share| share.default_value.as_ref());
    let host = read_visible(&mirror.host_rewrite_literal, "host_rewrite_literal")?;
    Ok(Mirror {
        cluster: mirror.cluster.clone(),
        cluster_header: (!mirror.cluster_header.is_empty()).then(|| mirror.cluster_header.to_ascii_lowercase()),
        fraction: share.map_or(Ok(Fraction::ONE), read_fraction).at("runtime_fraction")?,
        keeps_host: mirror.disable_shadow_host_suffix_append,
        host_rewrite: Some(host).filter(|host| !host.is_empty()),
    })
}
