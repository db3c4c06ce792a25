//! Who owns which field of an object: server-side apply, and the bookkeeping of all other writes.
//!
//! Shape       object -> n managers -> 1 `FieldSet` each (`metadata.managedFields`, `FieldsV1`)
//! Invariants  applying the same twice changes nothing; a field that somebody else owns and says otherwise is never
//!             overwritten without force; a field that only its applier owned goes when the applier stops naming it
//! Errors      [`Conflict`] for each field that others own
//! Source      Kubernetes "Server-Side Apply"; the list types of the OpenAPI schemas (`x-kubernetes-list-type`). Ours: empty
//!             containers are fields of their own, other containers are not

mod manager;
mod merge;
mod schema;
mod set;
mod walk;

pub(crate) use manager::{Conflict, Write, apply, update};
pub(crate) use schema::Schema;

#[cfg(test)]
mod tests;
