//! Who may call a service account (SMI TrafficTarget). Where nothing is said, everybody of the mesh may.

use leno_api::{ResourceKey, SmiMatch};

/// What one TrafficTarget allows.
#[derive(Clone, Debug, PartialEq)]
pub struct AccessRule {
    pub object: ResourceKey,
    /// Namespace and name of service accounts.
    pub sources: Vec<(String, String)>,
    /// Of the application; `None`: all.
    pub port: Option<u16>,
    pub allows: Vec<Allowed>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Allowed {
    /// Requests that one of these matches.
    Requests(Vec<SmiMatch>),
    /// Connections to these ports; empty: to all.
    Ports(Vec<u16>),
}
