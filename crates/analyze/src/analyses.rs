use crate::finding::{Finding, Findings};
use crate::objects::Objects;
use crate::{gateway_api, istio, own, smi};

type Analysis = fn(&Objects, &mut Findings);

/// Those of Istio have Istio's names for them, so that what is said about one applies to the other.
const ANALYSES: &[(&str, Analysis)] = &[
    ("annotations.K8sAnalyzer", istio::annotations::misplaced),
    ("auth.AuthorizationPoliciesAnalyzer", istio::authorization::policies),
    ("authn.BlockedCIDRsAnalyzer", istio::authorization::key_sets),
    ("conditions.ConditionAnalyzer", istio::conditions::negative),
    ("deployment.MultiServiceAnalyzer", istio::deployments::services),
    ("applicationUID.Analyzer", istio::deployments::users),
    ("deprecation.DeprecationAnalyzer", istio::deprecated::fields),
    ("destinationrule.CaCertificateAnalyzer", istio::destination_rules::unchecked_servers),
    ("destinationrule.SubsetSelectPodAnalyzer", istio::destination_rules::subsets),
    ("envoyfilter.EnvoyPatchAnalyzer", istio::envoy_filters::patches),
    ("externalcontrolplane.ExternalControlPlaneAnalyzer", istio::webhooks::external),
    ("gateway.CertificateAnalyzer", istio::certificates::shared),
    ("gateway.ConflictingGatewayAnalyzer", istio::gateways::conflicts),
    ("gateway.IngressGatewayPortAnalyzer", istio::gateways::ports),
    ("gateway.SecretAnalyzer", istio::certificates::secrets),
    ("injection.Analyzer", istio::injection::sidecars),
    ("injection.ImageAnalyzer", istio::images::outdated),
    ("injection.ImageAutoAnalyzer", istio::images::auto),
    ("k8sgateway.CRDVersionAnalyzer", istio::definitions::versions),
    ("k8sgateway.SelectorAnalyzer", istio::gateways::selectors),
    ("meshnetworks.MeshNetworksAnalyzer", istio::mesh_networks::registries),
    ("schema.ValidationAnalyzer.VirtualService", istio::unreachable::rules),
    ("service.PortNameAnalyzer", istio::services::port_names),
    ("serviceentry.Analyzer", istio::service_entries::addresses),
    ("serviceentry.ConflictingServiceEntryProtocolAnalyzer", istio::service_entries::protocols),
    ("services.MultiClusterServiceAnalyzer", istio::clusters::services),
    ("sidecar.SelectorAnalyzer", istio::sidecars::sidecars),
    ("telemetry.DefaultSelectorAnalyzer", istio::telemetry::of_namespaces),
    ("telemetry.LightstepAnalyzer", istio::deprecated::providers),
    ("telemetry.ProviderAnalyzer", istio::telemetry::providers),
    ("telemetry.SelectorAnalyzer", istio::telemetry::selectors),
    ("virtualservice.ConflictingMeshGatewayHostsAnalyzer", istio::virtual_services::mesh_hosts),
    ("virtualservice.DestinationHostAnalyzer", istio::virtual_services::destinations),
    ("virtualservice.DestinationRuleAnalyzer", istio::virtual_services::subsets),
    ("virtualservice.GatewayAnalyzer", istio::virtual_services::gateways),
    ("virtualservice.JWTClaimRouteAnalyzer", istio::virtual_services::claims),
    ("webhook.Analyzer", istio::webhooks::injectors),
    ("leno.Attachment", gateway_api::attachment::routes),
    ("leno.Backends", gateway_api::references::of_routes),
    ("leno.Certificates", gateway_api::references::of_gateways),
    ("leno.Listeners", gateway_api::listeners::conflicts),
    ("leno.Matches", gateway_api::matches::shadowed),
    ("leno.MutualTls", gateway_api::mutual_tls::mismatches),
    ("leno.OwnPolicies", own::targets),
    ("leno.PolicySelectors", gateway_api::policies::selectors),
    ("leno.PolicyTargets", gateway_api::policies::targets),
    ("leno.Rivals", smi::rivals),
    ("leno.TrafficSplits", smi::splits),
    ("leno.TrafficTargets", smi::targets),
    ("leno.Weights", gateway_api::weights::sums),
];

/// Run only when asked for by name: more noise than news.
const QUIET: &[(&str, Analysis)] = &[("annotations.AlphaAnalyzer", istio::annotations::alpha)];

/// The names of all.
pub fn analyses() -> impl Iterator<Item = &'static str> {
    ANALYSES.iter().chain(QUIET).map(|(name, _)| *name)
}

/// All that is found, by object, code and field.
pub fn analyze(objects: &Objects) -> Vec<Finding> {
    let mut found = Findings::default();
    ANALYSES.iter().for_each(|(_, analysis)| analysis(objects, &mut found));
    sorted(found, objects)
}

/// What one analysis finds; `None` when there is none of the name.
pub fn run(name: &str, objects: &Objects) -> Option<Vec<Finding>> {
    let (_, analysis) = ANALYSES.iter().chain(QUIET).find(|(known, _)| *known == name)?;
    let mut found = Findings::default();
    analysis(objects, &mut found);
    Some(sorted(found, objects))
}

/// Namespaces of Kubernetes itself: users can change nothing there, and are told nothing of it.
const SYSTEM: [&str; 4] = ["kube-node-lease", "kube-public", "kube-system", "local-path-storage"];

fn sorted(found: Findings, objects: &Objects) -> Vec<Finding> {
    let mut found = found.0;
    found.retain(|found| {
        objects.object(found.object).is_some_and(|object| !SYSTEM.contains(&object.namespace.as_str()))
    });
    found.sort();
    found.dedup();
    found
}
