//! What a path below `/api` or `/apis` names.

use leno_api::{Kind, ResourceKey};
use serde_json::{Value, json};

use crate::ApiError;

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Target {
    /// `/api`
    CoreVersions,
    /// `/apis/GROUP`
    Group(String),
    /// `/apis`
    Groups,
    /// One object, or all of a kind.
    Objects(Place),
    /// Something that is asked, not kept: `/apis/authorization.k8s.io/v1/selfsubjectaccessreviews`
    Review(String),
    /// `/api/v1`, `/apis/GROUP/VERSION`
    Version { group: String, version: String },
}

/// Where objects of a kind are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Place {
    pub(crate) kind: Kind,
    pub(crate) version: &'static str,
    /// `None`: all, or none for a kind that lives in none.
    pub(crate) namespace: Option<String>,
    /// `None`: all.
    pub(crate) name: Option<String>,
    /// `status` …; empty for the object itself.
    pub(crate) subresource: String,
}

/// Kinds of objects that are asked and not kept: group, kind, plural.
pub(crate) const REVIEWS: [(&str, &str, &str); 4] = [
    ("authentication.k8s.io", "SelfSubjectReview", "selfsubjectreviews"),
    ("authorization.k8s.io", "SelfSubjectAccessReview", "selfsubjectaccessreviews"),
    ("authorization.k8s.io", "SelfSubjectRulesReview", "selfsubjectrulesreviews"),
    ("authorization.k8s.io", "SubjectAccessReview", "subjectaccessreviews"),
];

/// Parts of an object that are read or written by themselves.
pub(crate) const SUBRESOURCES: [&str; 2] = ["proxies", "status"];

impl Target {
    /// # Errors
    /// There is no such path.
    pub(crate) fn parse(path: &str) -> Result<Self, ApiError> {
        let parts: Vec<_> = path.trim_matches('/').split('/').collect();
        match parts.as_slice() {
            ["api"] => Ok(Self::CoreVersions),
            ["api", version, rest @ ..] => Self::below("", version, rest),
            ["apis"] => Ok(Self::Groups),
            ["apis", group] => Ok(Self::Group((*group).to_owned())),
            ["apis", group, version, rest @ ..] if !group.is_empty() => Self::below(group, version, rest),
            _ => Err(no_such_path()),
        }
    }

    fn below(group: &str, version: &str, rest: &[&str]) -> Result<Self, ApiError> {
        if let ([plural], true) = (rest, version == "v1")
            && let Some((_, kind, _)) =
                REVIEWS.iter().find(|(known, _, known_plural)| (*known, *known_plural) == (group, *plural))
        {
            return Ok(Self::Review((*kind).to_owned()));
        }
        let place = |namespace: Option<&str>, plural: &str, name: Option<&str>, subresource: &str| {
            let known = |kind: &Kind| kind.plural() == plural && kind.group() == group;
            let kind = Kind::ALL.into_iter().find(known).ok_or_else(no_such_path)?;
            let version = kind.versions().iter().find(|known| **known == version).ok_or_else(no_such_path)?;
            if namespace.is_some() && !kind.is_namespaced() {
                return Err(no_such_path());
            }
            if !subresource.is_empty() && !SUBRESOURCES.contains(&subresource) {
                return Err(no_such_path());
            }
            let owned = |text: Option<&str>| text.map(str::to_owned);
            let subresource = subresource.to_owned();
            Ok(Self::Objects(Place { kind, version, namespace: owned(namespace), name: owned(name), subresource }))
        };
        match rest {
            [] => Ok(Self::Version { group: group.to_owned(), version: version.to_owned() }),
            ["namespaces", name, subresource] if SUBRESOURCES.contains(subresource) => {
                place(None, "namespaces", Some(name), subresource)
            }
            ["namespaces", namespace, plural] => place(Some(namespace), plural, None, ""),
            ["namespaces", namespace, plural, name] => place(Some(namespace), plural, Some(name), ""),
            ["namespaces", namespace, plural, name, subresource] => {
                place(Some(namespace), plural, Some(name), subresource)
            }
            [plural] => place(None, plural, None, ""),
            [plural, name] => place(None, plural, Some(name), ""),
            [plural, name, subresource] => place(None, plural, Some(name), subresource),
            _ => Err(no_such_path()),
        }
    }
}

impl Place {
    /// `None` for a list.
    pub(crate) fn key(&self) -> Option<ResourceKey> {
        let namespace = self.namespace.as_deref().unwrap_or_default();
        self.name.as_ref().map(|name| key(self.kind, namespace, name))
    }

    /// Whether `key` is in the list that this place is.
    pub(crate) fn holds(&self, key: &ResourceKey) -> bool {
        self.namespace.as_ref().is_none_or(|namespace| *namespace == key.namespace)
    }

    pub(crate) fn api_version(&self) -> String {
        api_version(self.kind, self.version)
    }
}

pub(crate) fn key(kind: Kind, namespace: &str, name: &str) -> ResourceKey {
    ResourceKey::new(kind, if kind.is_namespaced() { namespace } else { "" }, name)
}

pub(crate) fn api_version(kind: Kind, version: &str) -> String {
    if kind.group().is_empty() { version.to_owned() } else { format!("{}/{version}", kind.group()) }
}

/// `virtualservices.networking.istio.io`, as errors call it.
pub(crate) fn resource_name(kind: Kind) -> String {
    if kind.group().is_empty() { kind.plural().to_owned() } else { format!("{}.{}", kind.plural(), kind.group()) }
}

/// For the `details` of an error.
pub(crate) fn details(key: &ResourceKey) -> Value {
    json!({ "name": key.name, "group": key.kind.group(), "kind": key.kind.plural() })
}

pub(crate) fn not_found(key: &ResourceKey) -> ApiError {
    ApiError::not_found(format!("{} \"{}\" not found", resource_name(key.kind), key.name)).with_details(details(key))
}

fn no_such_path() -> ApiError {
    ApiError::not_found("the server could not find the requested resource")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects(path: &str) -> Place {
        match Target::parse(path) {
            Ok(Target::Objects(place)) => place,
            other => panic!("{path}: {other:?}"),
        }
    }

    #[test]
    fn paths_are_those_of_kubernetes() {
        assert_eq!(Target::parse("/api").unwrap(), Target::CoreVersions);
        assert_eq!(Target::parse("/apis/").unwrap(), Target::Groups);
        assert_eq!(Target::parse("/apis/a.b").unwrap(), Target::Group("a.b".to_owned()));
        let version = Target::Version { group: String::new(), version: "v1".to_owned() };
        assert_eq!(Target::parse("/api/v1").unwrap(), version);
        let place = objects("/apis/networking.istio.io/v1beta1/namespaces/n/virtualservices/a/status");
        assert_eq!(
            (place.kind, place.version, place.subresource.as_str()),
            (Kind::VirtualService, "v1beta1", "status")
        );
        assert_eq!(place.key(), Some(ResourceKey::new(Kind::VirtualService, "n", "a")));
        assert_eq!(objects("/api/v1/services").key(), None);
        assert_eq!(objects("/api/v1/namespaces/n/services").namespace.as_deref(), Some("n"));
        let review = Target::parse("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews").unwrap();
        assert_eq!(review, Target::Review("SelfSubjectAccessReview".to_owned()));
    }

    #[test]
    fn a_kind_is_only_in_its_own_group_and_versions() {
        for path in [
            "/nothing",
            "/api/v2/services",
            "/api/v1/virtualservices",
            "/apis/networking.istio.io/v9/virtualservices",
            "/apis/wrong.group/v1/virtualservices",
            "/api/v1/namespaces/n/services/a/proxy",
            "/api/v1/namespaces/n/services/a/status/b",
        ] {
            assert_eq!(Target::parse(path).unwrap_err().code, 404, "{path}");
        }
    }
}
