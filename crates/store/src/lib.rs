//! Versioned resources: what was written over the API, kept in one file, and what lies in a directory of YAML.
//!
//! Knows names and texts of objects, not their meaning.
//!
//! Shape       `EmbeddedStore`: n resources, n state values, 1 revision; `DirectorySource`: n files -> n resources
//! Invariants  a write is on disk when it returns; what cannot be written changes nothing; a file that became bad keeps
//!             its last good content
//! Errors      `StoreError` names the file and what was wanted; a conflict of versions is the caller's to resolve
//! Cost        one fsync per write; reads come from memory
#![forbid(unsafe_code)]

mod contents;
mod directory;
mod embedded;
mod stored;

pub use contents::Contents;
pub use directory::{DirectoryContent, DirectorySource};
pub use embedded::{Change, EmbeddedStore, Mode, StoreError, Update, Written};
pub use stored::{Stored, timestamp};
