use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The kinds of object that users write.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
pub enum Kind {
    DestinationRule,
    #[serde(rename = "HTTPRoute")]
    HttpRoute,
    Service,
    VirtualService,
    WorkloadEntry,
    WorkloadGroup,
}

impl Kind {
    /// Every variant.
    pub const ALL: [Self; 6] = [
        Self::DestinationRule,
        Self::HttpRoute,
        Self::Service,
        Self::VirtualService,
        Self::WorkloadEntry,
        Self::WorkloadGroup,
    ];

    /// As in the `kind` field.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DestinationRule => "DestinationRule",
            Self::HttpRoute => "HTTPRoute",
            Self::Service => "Service",
            Self::VirtualService => "VirtualService",
            Self::WorkloadEntry => "WorkloadEntry",
            Self::WorkloadGroup => "WorkloadGroup",
        }
    }

    pub const fn plural(self) -> &'static str {
        match self {
            Self::DestinationRule => "destinationrules",
            Self::HttpRoute => "httproutes",
            Self::Service => "services",
            Self::VirtualService => "virtualservices",
            Self::WorkloadEntry => "workloadentries",
            Self::WorkloadGroup => "workloadgroups",
        }
    }

    pub const fn short_names(self) -> &'static [&'static str] {
        match self {
            Self::DestinationRule => &["dr"],
            Self::HttpRoute => &[],
            Self::Service => &["svc"],
            Self::VirtualService => &["vs"],
            Self::WorkloadEntry => &["we"],
            Self::WorkloadGroup => &["wg"],
        }
    }

    /// Empty for the core group.
    pub const fn group(self) -> &'static str {
        match self {
            Self::HttpRoute => "gateway.networking.k8s.io",
            Self::Service => "",
            _ => "networking.istio.io",
        }
    }

    /// Newest first.
    pub const fn versions(self) -> &'static [&'static str] {
        match self {
            Self::HttpRoute => &["v1", "v1beta1"],
            Self::Service => &["v1"],
            _ => &["v1", "v1beta1", "v1alpha3"],
        }
    }

    /// The accepted values of the `apiVersion` field, the newest first.
    pub fn api_versions(self) -> Vec<String> {
        let prefix = if self.group().is_empty() { String::new() } else { format!("{}/", self.group()) };
        self.versions().iter().map(|version| format!("{prefix}{version}")).collect()
    }

    /// By kind, plural, singular or short name, in any case: what a command line accepts.
    pub fn from_word(word: &str) -> Option<Self> {
        let word = word.to_ascii_lowercase();
        Self::ALL.into_iter().find(|kind| {
            kind.as_str().eq_ignore_ascii_case(&word)
                || kind.plural() == word
                || kind.short_names().contains(&word.as_str())
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        Self::from_word(text).ok_or_else(|| UnknownKind { text: text.to_owned() })
    }
}

#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("unknown kind \"{text}\"")]
pub struct UnknownKind {
    text: String,
}
