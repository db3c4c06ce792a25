//! The rules of a schema (`x-kubernetes-validations`), which are CEL expressions.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use kube_cel::{CompiledSchema, ErrorKind, Validator, compile_schema};
use serde_json::Value as Schema;

use crate::Kind;
use crate::tree::{Finding, Tree};

thread_local! {
    /// By kind and version.
    static COMPILED: RefCell<BTreeMap<(Kind, String), Rc<CompiledSchema>>> = RefCell::default();
}

/// A document that has the right structure.
pub(super) fn check(kind: Kind, version: &str, schema: &Schema, tree: &Tree, found: &mut Vec<Finding>) {
    let compiled = COMPILED.with_borrow_mut(|all| {
        all.entry((kind, version.to_owned())).or_insert_with(|| Rc::new(compile_schema(schema))).clone()
    });
    if let Err(errors) = Validator::new().validate_compiled(&compiled, &tree.to_json(), None) {
        // A function that the library lacks says nothing about the document.
        let errors = errors.into_vec().into_iter().filter(|error| error.kind != ErrorKind::UnsupportedReference);
        found.extend(errors.map(|error| Finding {
            path: error.field_path.trim_start_matches('.').to_owned(),
            message: words(&error.rule).unwrap_or(error.message),
        }));
    }
}

/// Of the rules of other projects; ours bring theirs along.
fn words(rule: &str) -> Option<String> {
    super::WORDS.get(rule).and_then(Schema::as_str).map(str::to_owned)
}
