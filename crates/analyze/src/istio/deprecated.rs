use crate::codes::IST0002;
use crate::finding::Findings;
use crate::json::{at, list, number, text};
use crate::kinds::{CUSTOM_RESOURCE_DEFINITION, SIDECAR, TELEMETRY, VIRTUAL_SERVICE};
use crate::objects::Objects;

/// Kinds of `rbac.istio.io`, gone since Istio 1.6.
const GONE: [&str; 4] = ["ClusterRbacConfig", "RbacConfig", "ServiceRole", "ServiceRoleBinding"];

/// Fields and kinds.
pub(crate) fn fields(objects: &Objects, found: &mut Findings) {
    for route in objects.of(VIRTUAL_SERVICE) {
        for (index, http) in list(&route.json, "spec.http").iter().enumerate() {
            if number(http, "fault.delay.percent").is_some_and(|percent| percent > 0) {
                let field = format!("spec.http[{index}].fault.delay.percent");
                found.report(route, IST0002, field, "`percent` is deprecated; use `percentage`");
            }
        }
    }
    for sidecar in objects.of(SIDECAR) {
        if !at(&sidecar.json, "spec.outboundTrafficPolicy.egressProxy").is_null() {
            found.report(sidecar, IST0002, "spec.outboundTrafficPolicy.egressProxy", "`egressProxy` does nothing");
        }
    }
    for definition in objects.of(CUSTOM_RESOURCE_DEFINITION) {
        let kind = text(&definition.json, "spec.names.kind");
        if text(&definition.json, "spec.group") == "rbac.istio.io" && GONE.contains(&kind) {
            found.report(definition, IST0002, "spec.names.kind", format!("Istio has no {kind} any more"));
        }
    }
}

/// Lightstep as a provider of traces.
pub(crate) fn providers(objects: &Objects, found: &mut Findings) {
    let providers = list(&objects.mesh, "extensionProviders").iter();
    let names: Vec<_> = providers
        .filter(|provider| !at(provider, "lightstep").is_null())
        .map(|provider| text(provider, "name"))
        .collect();
    for telemetry in objects.of(TELEMETRY) {
        for (index, tracing) in list(&telemetry.json, "spec.tracing").iter().enumerate() {
            for (place, provider) in list(tracing, "providers").iter().enumerate() {
                if names.contains(&text(provider, "name")) {
                    let message = "Lightstep is deprecated as a provider; send to it with OpenTelemetry";
                    let field = format!("spec.tracing[{index}].providers[{place}].name");
                    found.report(telemetry, IST0002, field, message);
                }
            }
        }
    }
}
