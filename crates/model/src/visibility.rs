use std::collections::BTreeSet;

use serde::Serialize;

/// The namespaces in which an object can be seen (`exportTo`).
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Visibility {
    #[default]
    Everywhere,
    /// None at all where the list is empty.
    Namespaces(BTreeSet<String>),
}

impl Visibility {
    /// What an object says, or else what the mesh says for those that say nothing.
    pub(crate) fn of(words: &[String], default: &[String], own: &str) -> Self {
        let words = if words.is_empty() { default } else { words };
        Self::read(words.iter().map(String::as_str), own)
    }

    /// `.` is the object's own namespace, `*` every one, `~` none. Without a word everyone sees it.
    pub(crate) fn read<'a>(words: impl IntoIterator<Item = &'a str>, own: &str) -> Self {
        let words: Vec<_> = words.into_iter().collect();
        if words.is_empty() || words.contains(&"*") {
            return Self::Everywhere;
        }
        let named = words.into_iter().filter(|word| *word != "~").map(|word| if word == "." { own } else { word });
        Self::Namespaces(named.map(str::to_owned).collect())
    }

    pub fn includes(&self, namespace: &str) -> bool {
        match self {
            Self::Everywhere => true,
            Self::Namespaces(namespaces) => namespaces.contains(namespace),
        }
    }

    /// The namespaces that are named.
    pub(crate) fn named(&self) -> impl Iterator<Item = &str> {
        let named = if let Self::Namespaces(namespaces) = self { Some(namespaces) } else { None };
        named.into_iter().flatten().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_for_namespaces() {
        let read = |words: &[&str]| Visibility::read(words.iter().copied(), "shop");
        assert_eq!(read(&[]), Visibility::Everywhere);
        assert_eq!(read(&[".", "*"]), Visibility::Everywhere);
        assert!(read(&["."]).includes("shop") && !read(&["."]).includes("other"));
        assert!(read(&["other"]).includes("other") && !read(&["other"]).includes("shop"));
        assert!(!read(&["~"]).includes("shop"));
    }
}
