use crate::codes::IST0126;
use crate::finding::Findings;
use crate::json::{at, list, text};
use crate::kinds::{MESH_NETWORKS, SECRET};
use crate::objects::Objects;

/// Registries that Istio always has.
const ALWAYS: [&str; 3] = ["Mock", "Kubernetes", "External"];

/// Endpoints of registries that no remote secret brings.
pub(crate) fn registries(objects: &Objects, found: &mut Findings) {
    let secrets = objects.of(SECRET).filter(|secret| secret.label("istio/multiCluster") == Some("true"));
    let known: Vec<_> =
        secrets.filter_map(|secret| at(&secret.json, "data").as_object()).flat_map(|data| data.keys()).collect();
    for networks in objects.of(MESH_NETWORKS) {
        for (name, network) in at(&networks.json, "networks").as_object().into_iter().flatten() {
            for (index, endpoint) in list(network, "endpoints").iter().enumerate() {
                let registry = text(endpoint, "fromRegistry");
                let is_known = ALWAYS.contains(&registry) || known.iter().any(|known| *known == registry);
                if !registry.is_empty() && !is_known {
                    let message = format!(
                        "network {name} takes endpoints from the registry `{registry}`, which no remote secret brings"
                    );
                    found.report(
                        networks,
                        IST0126,
                        format!("networks.{name}.endpoints[{index}].fromRegistry"),
                        message,
                    );
                }
            }
        }
    }
}
