use crate::codes::IST0176;
use crate::finding::Findings;
use crate::kinds::CUSTOM_RESOURCE_DEFINITION;
use crate::objects::Objects;

/// The first release of the Gateway API in which a kind is as Istio 1.30 reads it.
const LEAST: [(&str, (u32, u32, u32)); 4] = [
    ("grpcroutes.gateway.networking.k8s.io", (1, 1, 0)),
    ("backendtlspolicies.gateway.networking.k8s.io", (1, 4, 0)),
    ("tlsroutes.gateway.networking.k8s.io", (1, 5, 0)),
    ("tcproutes.gateway.networking.k8s.io", (1, 6, 0)),
];

const BUNDLE_VERSION: &str = "gateway.networking.k8s.io/bundle-version";

/// Definitions that are too old to be used.
pub(crate) fn versions(objects: &Objects, found: &mut Findings) {
    for definition in objects.of(CUSTOM_RESOURCE_DEFINITION) {
        let least = LEAST.iter().find(|(name, _)| *name == definition.name).map(|(_, least)| *least);
        let installed = definition.annotation(BUNDLE_VERSION);
        if let (Some(least), Some(installed)) = (least, installed)
            && parse(installed).is_some_and(|version| version < least)
        {
            let (major, minor, patch) = least;
            let message = format!(
                "it is of Gateway API {installed}; objects of the kind are ignored before {major}.{minor}.{patch}"
            );
            found.report(definition, IST0176, format!("metadata.annotations.{BUNDLE_VERSION}"), message);
        }
    }
}

/// `v1.4.0-rc.1` is 1.4.0.
fn parse(version: &str) -> Option<(u32, u32, u32)> {
    let numbers = version.trim_start_matches('v').split(['-', '+']).next()?;
    let mut numbers = numbers.split('.').map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??, numbers.next()??))
}
