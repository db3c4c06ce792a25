use std::sync::Arc;

use crate::tree::{Place, Tree, Value};
use crate::{DEFAULT_NAMESPACE, ParseProblem, parse};

/// One object of a text as it was written, of whatever kind, with the places of its fields. Nothing of it was checked.
#[derive(Clone, Debug)]
pub struct Document {
    source: Arc<str>,
    pub(crate) tree: Tree,
}

/// The objects of `text`, YAML or JSON, in order; those of a `List` one by one. `source` is what problems call the file.
pub fn documents(source: &str, text: &str) -> Vec<Result<Document, ParseProblem>> {
    let source: Arc<str> = source.into();
    let mut all = Vec::new();
    for tree in parse::trees(&source, text) {
        match tree {
            Ok(tree) => unlisted(&source, tree, &mut all),
            Err(problem) => all.push(Err(problem)),
        }
    }
    all
}

fn unlisted(source: &Arc<str>, tree: Tree, all: &mut Vec<Result<Document, ParseProblem>>) {
    if tree.value == Value::Null {
        return;
    }
    if tree.text("kind") != Some("List") {
        return all.push(Ok(Document { source: source.clone(), tree }));
    }
    let Value::Map(entries) = tree.value else { return };
    for (name, _, child) in entries {
        if let Value::List(items) = child.value
            && name == "items"
        {
            items.into_iter().for_each(|item| unlisted(source, item, all));
        }
    }
}

impl Document {
    pub const fn source(&self) -> &Arc<str> {
        &self.source
    }

    /// Where it begins.
    pub const fn start(&self) -> Place {
        self.tree.place
    }

    /// Empty when there is none.
    pub fn kind(&self) -> &str {
        self.tree.text("kind").unwrap_or_default()
    }

    /// Empty for the core group, and when there is none.
    pub fn group(&self) -> &str {
        self.tree.text("apiVersion").and_then(|version| version.split_once('/')).map_or("", |(group, _)| group)
    }

    pub fn name(&self) -> &str {
        self.metadata("name").unwrap_or_default()
    }

    /// As written.
    pub fn namespace(&self) -> Option<&str> {
        self.metadata("namespace")
    }

    fn metadata(&self, key: &str) -> Option<&str> {
        self.tree.get("metadata").and_then(|metadata| metadata.text(key))
    }

    /// `VirtualService default/reviews`, as far as it is known.
    pub fn describe(&self) -> String {
        match (self.kind(), self.metadata("name")) {
            ("", _) => String::new(),
            (kind, None) => kind.to_owned(),
            (kind, Some(name)) => format!("{kind} {}/{name}", self.namespace().unwrap_or(DEFAULT_NAMESPACE)),
        }
    }

    /// The place of `spec.http[0].timeout`: of its value when that is one word, else of its name, else of the nearest
    /// parent that is there.
    pub fn place(&self, field: &str) -> Place {
        self.tree.value_place_of(field).unwrap_or_else(|| self.tree.place_of(field))
    }

    /// Without places.
    pub fn to_json(&self) -> serde_json::Value {
        self.tree.to_json()
    }
}
