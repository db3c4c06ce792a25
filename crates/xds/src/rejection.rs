use std::fmt;

use crate::ResourceKind;

/// A resource that is not used, and why.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rejection {
    pub kind: ResourceKind,
    pub name: String,
    pub reason: String,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.reason)
    }
}
