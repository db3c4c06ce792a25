use std::fmt;
use std::str::FromStr;

/// Namespace and service account of the control plane itself.
pub const CONTROL_NAMESPACE: &str = "leno-system";
pub const CONTROL_SERVICE_ACCOUNT: &str = "leno-control";

use serde::{Deserialize, Serialize};

/// The root of trust that issued an identity: lower-case letters, digits, `.`, `-` and `_` (SPIFFE-ID §2.1).
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TrustDomain(String);

impl TrustDomain {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TrustDomain {
    type Err = SpiffeIdError;

    fn from_str(text: &str) -> Result<Self, SpiffeIdError> {
        let fits = (1..=255).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_'));
        if fits { Ok(Self(text.to_owned())) } else { Err(SpiffeIdError::TrustDomain(text.to_owned())) }
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for TrustDomain {
    type Error = SpiffeIdError;

    fn try_from(text: String) -> Result<Self, SpiffeIdError> {
        text.parse()
    }
}

impl From<TrustDomain> for String {
    fn from(domain: TrustDomain) -> Self {
        domain.0
    }
}

/// A workload identity of the form `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`.
///
/// SPIFFE allows any path; Leno, like Istio, uses only this one, so other paths do not parse.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SpiffeId {
    pub trust_domain: TrustDomain,
    pub namespace: String,
    pub service_account: String,
}

impl SpiffeId {
    pub fn new(trust_domain: TrustDomain, namespace: impl Into<String>, service_account: impl Into<String>) -> Self {
        Self { trust_domain, namespace: namespace.into(), service_account: service_account.into() }
    }
}

impl FromStr for SpiffeId {
    type Err = SpiffeIdError;

    fn from_str(text: &str) -> Result<Self, SpiffeIdError> {
        let path = |text: &str| SpiffeIdError::Path(text.to_owned());
        let rest = text.strip_prefix("spiffe://").ok_or_else(|| SpiffeIdError::Scheme(text.to_owned()))?;
        let mut parts = rest.split('/');
        let trust_domain = parts.next().unwrap_or_default().parse()?;
        let (Some("ns"), Some(namespace), Some("sa"), Some(account), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(path(text));
        };
        if is_segment(namespace) && is_segment(account) {
            Ok(Self::new(trust_domain, namespace, account))
        } else {
            Err(path(text))
        }
    }
}

/// A path segment by SPIFFE-ID §2.2: letters, digits, `.`, `-`, `_`; not empty, not `.` or `..`.
fn is_segment(text: &str) -> bool {
    !text.is_empty()
        && text != "."
        && text != ".."
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spiffe://{}/ns/{}/sa/{}", self.trust_domain, self.namespace, self.service_account)
    }
}

impl TryFrom<String> for SpiffeId {
    type Error = SpiffeIdError;

    fn try_from(text: String) -> Result<Self, SpiffeIdError> {
        text.parse()
    }
}

impl From<SpiffeId> for String {
    fn from(id: SpiffeId) -> Self {
        id.to_string()
    }
}

#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SpiffeIdError {
    #[error("\"{0}\" is not a SPIFFE ID of the form spiffe://<trust domain>/ns/<namespace>/sa/<service account>")]
    Path(String),
    #[error("\"{0}\" does not start with spiffe://")]
    Scheme(String),
    #[error("\"{0}\" is not a trust domain (lower-case letters, digits, \".\", \"-\" and \"_\")")]
    TrustDomain(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_value_agree() {
        let text = "spiffe://cluster.local/ns/default/sa/reviews";
        assert_eq!(text.parse::<SpiffeId>().map(|id| id.to_string()).as_deref(), Ok(text));
    }

    #[test]
    fn anything_but_one_namespace_and_one_account_is_refused() {
        for bad in [
            "https://cluster.local/ns/a/sa/b",
            "spiffe:///ns/a/sa/b",
            "spiffe://Cluster/ns/a/sa/b",
            "spiffe://c/ns/a/sa/",
            "spiffe://c/ns/../sa/b",
            "spiffe://c/ns/a/sa/b/",
            "spiffe://c/ns/a/sa/b?x",
            "spiffe://c:1/ns/a/sa/b",
            "spiffe://c/ns/a%2f/sa/b",
        ] {
            assert!(bad.parse::<SpiffeId>().is_err(), "{bad}");
        }
    }
}
