use std::fmt;

use serde::{Deserialize, Serialize};

/// A service, unique within the mesh: its name inside its namespace.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct ServiceKey {
    pub namespace: String,
    pub name: String,
}

impl ServiceKey {
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// The name that never depends on who asks: `reviews.default.svc.cluster.local`.
    pub fn fqdn(&self, domain: &str) -> String {
        format!("{}.{}.svc.{domain}", self.name, self.namespace)
    }
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Checks an RFC 1123 label: 1 to 63 of `a-z`, `0-9` and `-`, starting and ending with a letter or digit.
///
/// # Errors
/// Says what is wrong with the text.
pub fn dns_label(text: &str) -> Result<(), NameError> {
    let fits = (1..=63).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-');
    if fits {
        Ok(())
    } else {
        Err(NameError { text: text.to_owned(), what: "label (at most 63 of a-z, 0-9 and \"-\")" })
    }
}

/// Checks an RFC 1123 subdomain: labels joined by dots, at most 253 characters.
///
/// # Errors
/// Says what is wrong with the text.
pub fn dns_name(text: &str) -> Result<(), NameError> {
    if text.len() <= 253 && !text.is_empty() && text.split('.').all(|label| dns_label(label).is_ok()) {
        Ok(())
    } else {
        Err(NameError {
            text: text.to_owned(),
            what: "name (lower-case labels joined by dots, at most 253 characters)",
        })
    }
}

#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("\"{text}\" is not a DNS {what}")]
pub struct NameError {
    text: String,
    what: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_follow_rfc_1123() {
        for good in ["a", "web", "reviews-v2", "0x"] {
            assert!(dns_label(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a_b", "a.b", &"x".repeat(64)] {
            assert!(dns_label(bad).is_err(), "{bad}");
        }
    }
}
