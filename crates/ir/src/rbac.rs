use std::collections::BTreeMap;

use serde::Serialize;

use crate::{CidrRange, HeaderMatch, MetadataMatch, StringMatch};

/// Who may do what (Envoy `config.rbac.v3.RBAC`).
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Rbac {
    pub action: RbacAction,
    /// By name; the first that matches decides, in the order of the names.
    pub policies: BTreeMap<String, RbacPolicy>,
}

/// What it means that a policy matches.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RbacAction {
    /// Allowed is what some policy matches. Without policies: nothing.
    #[default]
    Allow,
    /// Allowed is what no policy matches. Without policies: everything.
    Deny,
    /// Everything is allowed; that a policy matches is noted for access logs.
    Log,
}

/// Matches when one of the permissions and one of the principals does. Each list has at least one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RbacPolicy {
    pub permissions: Vec<Permission>,
    pub principals: Vec<Principal>,
}

/// What is done.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    AllOf(Vec<Permission>),
    Any,
    AnyOf(Vec<Permission>),
    /// The address that the client connected to.
    DestinationIp(CidrRange),
    DestinationPort(u16),
    /// `start <= port < end`.
    DestinationPortRange {
        start: u32,
        end: u32,
    },
    Header(HeaderMatch),
    Metadata(SourcedMetadata),
    Not(Box<Permission>),
    /// The SNI; "" when there is none.
    RequestedServerName(StringMatch),
    /// The path without query and fragment. Never matches on a connection.
    UrlPath(StringMatch),
}

/// Who does it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Principal {
    AllOf(Vec<Principal>),
    Any,
    AnyOf(Vec<Principal>),
    /// A client over TLS; `Some`: one of the names of its certificate (URI, DNS, subject) matches.
    Authenticated(Option<StringMatch>),
    /// The peer of the socket.
    DirectRemoteIp(CidrRange),
    Header(HeaderMatch),
    Metadata(SourcedMetadata),
    Not(Box<Principal>),
    /// The client as far as trusted headers (`x-forwarded-for`) tell.
    RemoteIp(CidrRange),
    /// The client of the connection: like the peer of the socket, but the PROXY protocol is believed.
    SourceIp(CidrRange),
    /// The path without query and fragment. Never matches on a connection.
    UrlPath(StringMatch),
}

/// A condition on metadata and where that metadata is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SourcedMetadata {
    pub source: MetadataSource,
    pub matches: MetadataMatch,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MetadataSource {
    /// What filters have said about this request.
    #[default]
    Dynamic,
    /// What the route's configuration says.
    Route,
}
