use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::kinds::with_kinds;

/// Whether objects live in a namespace.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Scope {
    Cluster,
    Namespaced,
}

struct Names {
    word: &'static str,
    group: &'static str,
    plural: &'static str,
    short: &'static [&'static str],
    scope: Scope,
    versions: &'static [&'static str],
}

macro_rules! kind {
    ($($variant:ident $word:literal $group:literal $plural:literal [$($short:literal),*] $scope:ident [$($version:literal),*] $object:ty;)*) => {
        /// The kinds of object that users write. Two groups may use one word: such kinds are told apart by
        /// [`Kind::group`].
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub enum Kind {
            $($variant,)*
        }

        impl Kind {
            /// Every variant.
            pub const ALL: [Self; [$($word),*].len()] = [$(Self::$variant),*];

            const fn names(self) -> &'static Names {
                match self {
                    $(Self::$variant => &Names {
                        word: $word,
                        group: $group,
                        plural: $plural,
                        short: &[$($short),*],
                        scope: Scope::$scope,
                        versions: &[$($version),*],
                    },)*
                }
            }
        }
    };
}
with_kinds!(kind);

impl Kind {
    /// As in the `kind` field.
    pub const fn as_str(self) -> &'static str {
        self.names().word
    }

    pub const fn plural(self) -> &'static str {
        self.names().plural
    }

    /// The kind in lower case: what command lines say for one object.
    pub fn singular(self) -> String {
        self.as_str().to_ascii_lowercase()
    }

    pub const fn short_names(self) -> &'static [&'static str] {
        self.names().short
    }

    /// Empty for the core group.
    pub const fn group(self) -> &'static str {
        self.names().group
    }

    pub const fn scope(self) -> Scope {
        self.names().scope
    }

    pub const fn is_namespaced(self) -> bool {
        matches!(self.scope(), Scope::Namespaced)
    }

    /// Newest first.
    pub const fn versions(self) -> &'static [&'static str] {
        self.names().versions
    }

    /// The accepted values of the `apiVersion` field, the newest first.
    pub fn api_versions(self) -> Vec<String> {
        let prefix = if self.group().is_empty() { String::new() } else { format!("{}/", self.group()) };
        self.versions().iter().map(|version| format!("{prefix}{version}")).collect()
    }

    /// The kind of a document.
    pub fn of(group: &str, word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.group() == group && kind.as_str() == word)
    }

    /// By kind, plural, singular or short name, in any case, alone or followed by `.group` or `.version.group`: what a
    /// command line accepts. Of two kinds with one word Gateway API's is meant.
    pub fn from_word(word: &str) -> Option<Self> {
        let word = word.to_ascii_lowercase();
        let (name, group) = word.split_once('.').map_or((&*word, None), |(name, group)| (name, Some(group)));
        let fits = |kind: &Self| {
            let named =
                kind.as_str().eq_ignore_ascii_case(name) || kind.plural() == name || kind.short_names().contains(&name);
            named && group.is_none_or(|group| kind.is_in(group))
        };
        let found = Self::ALL.into_iter().filter(fits);
        found.min_by_key(|kind| !kind.group().starts_with("gateway.networking"))
    }

    /// Whether `group` is its group, with or without a version before it.
    fn is_in(self, group: &str) -> bool {
        let versioned = |version: &&str| group.strip_prefix(*version).and_then(|rest| rest.strip_prefix('.'));
        group == self.group() || self.versions().iter().filter_map(versioned).any(|rest| rest == self.group())
    }

    /// Unique: with the group where another kind has the same word.
    fn unique(self) -> String {
        match Self::from_word(self.as_str()) {
            Some(first) if first == self => self.as_str().to_owned(),
            _ => format!("{}.{}", self.as_str(), self.group()),
        }
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

/// As the word, followed by the group where the word alone would mean another kind.
impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.unique())
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("unknown kind \"{text}\"")]
pub struct UnknownKind {
    text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_by_what_it_is_written_as() {
        for kind in Kind::ALL.into_iter() {
            let written = serde_json::to_value(kind).expect("a text");
            assert_eq!(serde_json::from_value::<Kind>(written).expect("the kind"), kind);
            assert_eq!(Kind::of(kind.group(), kind.as_str()), Some(kind));
            assert!(!kind.versions().is_empty());
        }
    }

    #[test]
    fn one_word_of_two_groups() {
        assert_eq!(Kind::from_word("gateways"), Some(Kind::Gateway));
        assert_eq!(Kind::from_word("gw"), Some(Kind::IstioGateway));
        assert_eq!(Kind::from_word("gateways.networking.istio.io"), Some(Kind::IstioGateway));
        assert_eq!(Kind::from_word("gateway.v1beta1.networking.istio.io"), Some(Kind::IstioGateway));
        assert_eq!(Kind::from_word("tcproute.specs.smi-spec.io"), Some(Kind::SmiTcpRoute));
        assert_eq!(Kind::from_word("services.v1"), None);
    }
}
