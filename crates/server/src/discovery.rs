//! Which groups, versions and kinds there are.
//!
//! Source      Kubernetes "API discovery", aggregated and not (`apidiscovery.k8s.io/v2`)

use std::collections::BTreeMap;

use axum::Json;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use leno_api::Kind;
use serde_json::{Value, json};

use crate::place::REVIEWS;
use crate::{ApiError, accept};

/// The Kubernetes whose API this is as far as it goes: clients ask before they use what is newer.
const KUBERNETES: (&str, &str) = ("1", "36");

/// What may be done with objects.
const VERBS: [&str; 8] = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
/// All kinds that live in namespaces at once: `kubectl get leno`.
const CATEGORIES: [&str; 1] = ["leno"];

/// One version of a kind.
struct Offer {
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
    singular: String,
    short_names: &'static [&'static str],
    is_namespaced: bool,
    is_kept: bool,
}

/// Kinds in the order of their groups; of each group the newest version first.
fn offers() -> Vec<Offer> {
    let kept = Kind::ALL.into_iter().flat_map(|kind| {
        kind.versions().iter().map(move |version| Offer {
            group: kind.group(),
            version,
            kind: kind.as_str(),
            plural: kind.plural(),
            singular: kind.singular(),
            short_names: kind.short_names(),
            is_namespaced: kind.is_namespaced(),
            is_kept: true,
        })
    });
    let asked = REVIEWS.iter().map(|(group, kind, plural)| Offer {
        group,
        version: "v1",
        kind,
        plural,
        singular: kind.to_ascii_lowercase(),
        short_names: &[],
        is_namespaced: false,
        is_kept: false,
    });
    kept.chain(asked).collect()
}

/// By group, then by version.
fn groups() -> BTreeMap<&'static str, Vec<(&'static str, Vec<Offer>)>> {
    let mut groups: BTreeMap<_, Vec<(&'static str, Vec<Offer>)>> = BTreeMap::new();
    for offer in offers() {
        let versions = groups.entry(offer.group).or_default();
        match versions.iter_mut().find(|(version, _)| *version == offer.version) {
            Some((_, offers)) => offers.push(offer),
            None => versions.push((offer.version, vec![offer])),
        }
    }
    for versions in groups.values_mut() {
        versions.sort_by_key(|(version, _)| std::cmp::Reverse(age_of(version)));
    }
    groups
}

/// `v1` is newer than `v2beta1` is newer than `v2alpha3` (Kubernetes "version priority").
fn age_of(version: &str) -> (u8, u32, u32) {
    let number = |text: &str| text.parse().unwrap_or(0);
    let rest = version.trim_start_matches('v');
    if let Some((major, minor)) = rest.split_once("beta") {
        return (1, number(major), number(minor));
    }
    if let Some((major, minor)) = rest.split_once("alpha") {
        return (0, number(major), number(minor));
    }
    (2, number(rest), 0)
}

fn group_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

/// `/version`
pub(crate) fn version() -> Value {
    let (major, minor) = KUBERNETES;
    json!({
        "major": major,
        "minor": minor,
        "gitVersion": format!("v{major}.{minor}.0+leno-{}", env!("CARGO_PKG_VERSION")),
        "gitCommit": "",
        "gitTreeState": "",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
    })
}

/// `/api`
pub(crate) fn core_versions(headers: &HeaderMap) -> Response {
    if let Some(media_type) = accept::aggregated(headers) {
        return all_at_once(media_type, |group| group.is_empty());
    }
    Json(json!({ "kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [] })).into_response()
}

/// `/apis`
pub(crate) fn group_list(headers: &HeaderMap) -> Response {
    if let Some(media_type) = accept::aggregated(headers) {
        return all_at_once(media_type, |group| !group.is_empty());
    }
    let groups = groups();
    let named = groups.iter().filter(|(name, _)| !name.is_empty());
    let list: Vec<_> = named.map(|(name, versions)| describe_group(name, versions)).collect();
    Json(json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": list })).into_response()
}

/// `/apis/GROUP`
pub(crate) fn group(name: &str) -> Result<Value, ApiError> {
    let groups = groups();
    let versions =
        groups.get(name).filter(|_| !name.is_empty()).ok_or_else(|| ApiError::not_found(format!("no group {name}")))?;
    let mut group = describe_group(name, versions);
    group["kind"] = json!("APIGroup");
    group["apiVersion"] = json!("v1");
    Ok(group)
}

fn describe_group(name: &str, versions: &[(&str, Vec<Offer>)]) -> Value {
    let versions: Vec<_> = versions
        .iter()
        .map(|(version, _)| json!({ "groupVersion": group_version(name, version), "version": version }))
        .collect();
    json!({ "name": name, "preferredVersion": versions.first(), "versions": versions })
}

/// `/api/v1`, `/apis/GROUP/VERSION`
pub(crate) fn resources(group: &str, version: &str) -> Result<Value, ApiError> {
    let groups = groups();
    let found = groups.get(group).and_then(|versions| versions.iter().find(|(known, _)| *known == version));
    let api_version = group_version(group, version);
    let (_, offers) = found.ok_or_else(|| ApiError::not_found(format!("no {api_version}")))?;
    let mut resources = Vec::new();
    for offer in offers {
        let mut resource = json!({
            "name": offer.plural, "singularName": offer.singular, "namespaced": offer.is_namespaced, "kind": offer.kind,
            "verbs": if offer.is_kept { VERBS.as_slice() } else { &["create"] },
        });
        if !offer.short_names.is_empty() {
            resource["shortNames"] = json!(offer.short_names);
        }
        if offer.is_kept && offer.is_namespaced {
            resource["categories"] = json!(CATEGORIES);
        }
        resources.push(resource);
        if offer.is_kept {
            resources.push(json!({
                "name": format!("{}/status", offer.plural), "singularName": "", "namespaced": offer.is_namespaced,
                "kind": offer.kind, "verbs": ["get", "patch", "update"],
            }));
        }
    }
    Ok(json!({ "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": api_version, "resources": resources }))
}

fn all_at_once(media_type: &'static str, wanted: impl Fn(&str) -> bool) -> Response {
    let groups = groups();
    let items: Vec<_> = groups
        .iter()
        .filter(|(name, _)| wanted(name))
        .map(|(name, versions)| {
            let versions: Vec<_> = versions
                .iter()
                .map(|(version, offers)| {
                    let resources: Vec<_> = offers.iter().map(|offer| describe_offer(name, version, offer)).collect();
                    json!({ "version": version, "resources": resources, "freshness": "Current" })
                })
                .collect();
            json!({ "metadata": { "name": name, "creationTimestamp": null }, "versions": versions })
        })
        .collect();
    let list = json!({ "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items });
    ([(header::CONTENT_TYPE, media_type)], list.to_string()).into_response()
}

fn describe_offer(group: &str, version: &str, offer: &Offer) -> Value {
    let response_kind = json!({ "group": group, "version": version, "kind": offer.kind });
    let mut resource = json!({
        "resource": offer.plural,
        "responseKind": response_kind,
        "scope": if offer.is_namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": offer.singular,
        "verbs": if offer.is_kept { VERBS.as_slice() } else { &["create"] },
    });
    if !offer.short_names.is_empty() {
        resource["shortNames"] = json!(offer.short_names);
    }
    if offer.is_kept && offer.is_namespaced {
        resource["categories"] = json!(CATEGORIES);
    }
    if offer.is_kept {
        let verbs = ["get", "patch", "update"];
        resource["subresources"] = json!([{ "subresource": "status", "responseKind": response_kind, "verbs": verbs }]);
    }
    resource
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_in_the_order_of_their_age() {
        let mut versions = ["v1alpha3", "v1", "v1beta1", "v2", "v1alpha10"];
        versions.sort_by_key(|version| std::cmp::Reverse(age_of(version)));
        assert_eq!(versions, ["v2", "v1", "v1beta1", "v1alpha10", "v1alpha3"]);
    }

    #[test]
    fn every_kind_is_offered_in_every_version() {
        for kind in Kind::ALL {
            for version in kind.versions() {
                let list = resources(kind.group(), version).unwrap();
                let names = list["resources"].as_array().unwrap().iter().map(|resource| &resource["name"]);
                assert!(names.clone().any(|name| name == kind.plural()), "{kind} {version}");
            }
        }
        assert!(resources("networking.istio.io", "v7").is_err());
        assert_eq!(group("networking.istio.io").unwrap()["preferredVersion"]["version"], "v1");
        assert!(group("nothing").is_err());
    }
}
