use std::net::IpAddr;

use leno_ir::{CidrRange, Permission, Principal, Rbac, RbacAction, RbacPolicy, SourcedMetadata, StringMatch};

use crate::View;

/// What the rules say about one request or connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Decision<'a> {
    pub is_allowed: bool,
    /// The name of the policy that matched, whatever the action made of it.
    pub policy: Option<&'a str>,
}

/// Asks the policies in the order of their names.
pub fn decide<'a>(rules: &'a Rbac, view: &impl View) -> Decision<'a> {
    let policy = rules.policies.iter().find(|(_, policy)| policy_matches(policy, view)).map(|(name, _)| name.as_str());
    let is_allowed = match rules.action {
        RbacAction::Allow => policy.is_some(),
        RbacAction::Deny => policy.is_none(),
        RbacAction::Log => true,
    };
    Decision { is_allowed, policy }
}

fn policy_matches(policy: &RbacPolicy, view: &impl View) -> bool {
    policy.permissions.iter().any(|permission| permits(permission, view))
        && policy.principals.iter().any(|principal| identifies(principal, view))
}

fn permits(permission: &Permission, view: &impl View) -> bool {
    match permission {
        Permission::AllOf(all) => all.iter().all(|permission| permits(permission, view)),
        Permission::Any => true,
        Permission::AnyOf(any) => any.iter().any(|permission| permits(permission, view)),
        Permission::DestinationIp(range) => range.contains(view.destination().ip()),
        Permission::DestinationPort(port) => view.destination().port() == *port,
        Permission::DestinationPortRange { start, end } => {
            (*start..*end).contains(&u32::from(view.destination().port()))
        }
        Permission::Header(matches) => view.header_matches(matches),
        Permission::Metadata(matches) => metadata_matches(matches, view),
        Permission::Not(inner) => !permits(inner, view),
        Permission::RequestedServerName(matches) => matches.is_match(view.requested_server_name()),
        Permission::UrlPath(matches) => path_matches(matches, view),
    }
}

fn identifies(principal: &Principal, view: &impl View) -> bool {
    let is_in = |range: &CidrRange, ip: IpAddr| range.contains(ip);
    match principal {
        Principal::AllOf(all) => all.iter().all(|principal| identifies(principal, view)),
        Principal::Any => true,
        Principal::AnyOf(any) => any.iter().any(|principal| identifies(principal, view)),
        Principal::Authenticated(None) => view.is_tls(),
        Principal::Authenticated(Some(matches)) => {
            view.is_tls() && view.has_peer_name(&mut |name| matches.is_match(name))
        }
        Principal::DirectRemoteIp(range) => is_in(range, view.direct_remote_ip()),
        Principal::Header(matches) => view.header_matches(matches),
        Principal::Metadata(matches) => metadata_matches(matches, view),
        Principal::Not(inner) => !identifies(inner, view),
        Principal::RemoteIp(range) => is_in(range, view.remote_ip()),
        Principal::SourceIp(range) => is_in(range, view.source_ip()),
        Principal::UrlPath(matches) => path_matches(matches, view),
    }
}

fn path_matches(matches: &StringMatch, view: &impl View) -> bool {
    view.url_path().is_some_and(|path| matches.is_match(path))
}

fn metadata_matches(metadata: &SourcedMetadata, view: &impl View) -> bool {
    let SourcedMetadata { source, matches } = metadata;
    matches.is_match(view.metadata(*source, &matches.filter, &matches.path))
}
