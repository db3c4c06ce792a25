//! Keys and roots that gateways refer to.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use leno_api::{Resource, Secret, SecretRef};

use super::GROUP;
use crate::gateway::Certificate;
use crate::grants::{Grants, Referent, Referrer};

/// Secrets and config maps by namespace and name.
pub(super) struct Vault<'a> {
    secrets: BTreeMap<(&'a str, &'a str), &'a Secret>,
    maps: BTreeMap<(&'a str, &'a str), &'a BTreeMap<String, String>>,
}

/// Why a reference gives nothing: a reason of the specification, and a sentence.
pub(super) type RefError = (&'static str, String);

/// The object whose reference is followed.
#[derive(Clone, Copy)]
pub(super) struct From<'a> {
    pub(super) kind: &'a str,
    pub(super) namespace: &'a str,
}

impl<'a> Vault<'a> {
    pub(super) fn new(resources: &'a [Arc<Resource>]) -> Self {
        let (mut secrets, mut maps) = (BTreeMap::new(), BTreeMap::new());
        for resource in resources {
            match &**resource {
                Resource::Secret(secret) => {
                    secrets.insert((secret.metadata.namespace(), &*secret.metadata.name), &**secret);
                }
                Resource::ConfigMap(map) => {
                    maps.insert((map.metadata.namespace(), &*map.metadata.name), &map.data);
                }
                _ => {}
            }
        }
        Self { secrets, maps }
    }

    /// A certificate with its key, of a Secret of type `kubernetes.io/tls`.
    ///
    /// # Errors
    /// `RefNotPermitted`, or `invalid` for what is not there or no certificate.
    pub(super) fn certificate(
        &self,
        from: From<'_>,
        to: &SecretRef,
        grants: &Grants,
        invalid: &'static str,
    ) -> Result<Arc<Certificate>, RefError> {
        let (group, kind) = (to.group.as_deref().unwrap_or_default(), to.kind.as_deref().unwrap_or("Secret"));
        if !group.is_empty() || kind != "Secret" {
            return Err((invalid, format!("a certificate is in a Secret, not in a {kind}")));
        }
        let namespace = to.namespace.as_deref().unwrap_or(from.namespace);
        let secret = self.permitted(from, "Secret", namespace, &to.name, grants)?;
        let secret = secret.ok_or_else(|| (invalid, format!("there is no Secret {namespace}/{}", to.name)))?;
        let part = |name: &str, marker: &str| {
            let text = value(secret, name)
                .ok_or_else(|| (invalid, format!("Secret {namespace}/{} has no usable {name}", to.name)))?;
            let is_pem = text.contains("-----BEGIN") && text.contains(marker);
            let wrong = || (invalid, format!("{name} of Secret {namespace}/{} is not PEM of a {marker}", to.name));
            is_pem.then_some(text).ok_or_else(wrong)
        };
        let (chain, private_key) = (part("tls.crt", "CERTIFICATE")?, part("tls.key", "PRIVATE KEY")?);
        Ok(Arc::new(Certificate { chain, private_key }))
    }

    fn permitted(
        &self,
        from: From<'_>,
        kind: &str,
        namespace: &str,
        name: &str,
        grants: &Grants,
    ) -> Result<Option<&'a Secret>, RefError> {
        let referrer = Referrer { group: GROUP, kind: from.kind, namespace: from.namespace };
        if !grants.permit(referrer, Referent { group: "", kind, namespace, name }) {
            let message =
                format!("{kind} {namespace}/{name} is of another namespace, and no ReferenceGrant there allows it");
            return Err(("RefNotPermitted", message));
        }
        Ok(self.secrets.get(&(namespace, name)).copied())
    }

    /// PEM roots under `ca.crt` of a ConfigMap or a Secret. The error is (reason for a kind, reason for the rest).
    pub(super) fn roots(
        &self,
        from: From<'_>,
        to: (&str, &str, &str, &str),
        grants: &Grants,
        invalid: [&'static str; 2],
    ) -> Result<String, RefError> {
        let [invalid_kind, invalid] = invalid;
        let (group, kind, namespace, name) = to;
        if !group.is_empty() || !matches!(kind, "ConfigMap" | "Secret") {
            return Err((invalid_kind, format!("roots are in a ConfigMap or a Secret, not in a {kind}")));
        }
        let secret = self.permitted(from, kind, namespace, name, grants)?;
        let text = match kind {
            "Secret" => secret.and_then(|secret| value(secret, "ca.crt")),
            _ => self.maps.get(&(namespace, name)).and_then(|data| data.get("ca.crt").cloned()),
        };
        let text = text.ok_or_else(|| (invalid, format!("there is no {kind} {namespace}/{name} with a ca.crt")))?;
        if text.contains("-----BEGIN CERTIFICATE-----") {
            return Ok(text);
        }
        Err((invalid, format!("ca.crt of {kind} {namespace}/{name} is not PEM of a certificate")))
    }
}

/// A part of a Secret as text.
pub(in crate::build) fn value(secret: &Secret, name: &str) -> Option<String> {
    if let Some(text) = secret.string_data.get(name) {
        return Some(text.clone());
    }
    let encoded: String = secret.data.get(name)?.split_whitespace().collect();
    String::from_utf8(STANDARD.decode(encoded).ok()?).ok()
}
