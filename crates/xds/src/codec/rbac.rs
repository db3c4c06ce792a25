//! Rules of role based access control. What a rule would need and the proxy does not have is refused by its name: a rule
//! that is left out would let somebody in.

use std::net::IpAddr;

use leno_ir::{
    CidrRange, MetadataSource, Permission, Principal, Rbac, RbacAction, RbacPolicy, SourcedMetadata, StringMatch,
};
use leno_proto::envoy::config::core::v3::CidrRange as ProtoRange;
use leno_proto::envoy::config::rbac::v3::{
    MetadataSource as ProtoSource, Permission as ProtoPermission, Policy, Principal as ProtoPrincipal, Rbac as Proto,
    SourcedMetadata as ProtoSourced, permission, permission::Rule, principal, principal::Identifier, rbac,
};
use leno_proto::envoy::r#type::matcher::v3::{MetadataMatcher, PathMatcher, path_matcher};
use leno_proto::envoy::r#type::v3::Int32Range;
use leno_proto::google::protobuf::UInt32Value;

use super::error::{At, DecodeError, Result, refuse};
use super::route::matches::{decode_header, encode_header};
use super::{matching, metadata};

pub(super) fn encode(rules: &Rbac) -> Proto {
    let policy = |policy: &RbacPolicy| Policy {
        permissions: policy.permissions.iter().map(encode_permission).collect(),
        principals: policy.principals.iter().map(encode_principal).collect(),
        ..Policy::default()
    };
    Proto {
        action: match rules.action {
            RbacAction::Allow => rbac::Action::Allow,
            RbacAction::Deny => rbac::Action::Deny,
            RbacAction::Log => rbac::Action::Log,
        }
        .into(),
        policies: rules.policies.iter().map(|(name, each)| (name.clone(), policy(each))).collect(),
        ..Proto::default()
    }
}

pub(super) fn decode(proto: &Proto) -> Result<Rbac> {
    refuse!(proto, audit_logging_options);
    let policy = |(name, policy): (&String, &Policy)| Ok((name.clone(), decode_policy(policy).at(&place(name))?));
    Ok(Rbac {
        action: match rbac::Action::try_from(proto.action) {
            Ok(rbac::Action::Allow) => RbacAction::Allow,
            Ok(rbac::Action::Deny) => RbacAction::Deny,
            Ok(rbac::Action::Log) => RbacAction::Log,
            Err(_) => return Err(DecodeError::unsupported("action")),
        },
        policies: proto.policies.iter().map(policy).collect::<Result<_>>()?,
    })
}

fn place(policy: &str) -> String {
    format!("policies[\"{policy}\"]")
}

fn decode_policy(policy: &Policy) -> Result<RbacPolicy> {
    refuse!(policy, condition, checked_condition, cel_config);
    Ok(RbacPolicy {
        permissions: all(&policy.permissions, "permissions", decode_permission)?,
        principals: all(&policy.principals, "principals", decode_principal)?,
    })
}

/// At least one, as Envoy demands.
fn all<P, T>(protos: &[P], field: &str, decode: impl Fn(&P) -> Result<T>) -> Result<Vec<T>> {
    if protos.is_empty() {
        return Err(DecodeError::new(field, "must not be empty"));
    }
    let each = |(index, proto)| decode(proto).at_index(field, index);
    protos.iter().enumerate().map(each).collect()
}

fn encode_permission(permission: &Permission) -> ProtoPermission {
    let set = |each: &[Permission]| permission::Set { rules: each.iter().map(encode_permission).collect() };
    let rule = match permission {
        Permission::AllOf(each) => Rule::AndRules(set(each)),
        Permission::Any => Rule::Any(true),
        Permission::AnyOf(each) => Rule::OrRules(set(each)),
        Permission::DestinationIp(range) => Rule::DestinationIp(encode_range(range)),
        Permission::DestinationPort(port) => Rule::DestinationPort((*port).into()),
        Permission::DestinationPortRange { start, end } => {
            Rule::DestinationPortRange(Int32Range { start: start.cast_signed(), end: end.cast_signed() })
        }
        Permission::Header(matches) => Rule::Header(encode_header(matches)),
        Permission::Metadata(sourced) => Rule::SourcedMetadata(encode_metadata(sourced)),
        Permission::Not(inner) => Rule::NotRule(Box::new(encode_permission(inner))),
        Permission::RequestedServerName(matches) => Rule::RequestedServerName(matching::encode(matches)),
        Permission::UrlPath(matches) => Rule::UrlPath(encode_path(matches)),
    };
    ProtoPermission { rule: Some(rule) }
}

#[allow(deprecated, reason = "other control planes still write the older fields")]
fn decode_permission(proto: &ProtoPermission) -> Result<Permission> {
    let rule = proto.rule.as_ref().ok_or_else(|| DecodeError::new("rule", "is missing"))?;
    Ok(match rule {
        Rule::AndRules(set) => Permission::AllOf(all(&set.rules, "rules", decode_permission).at("and_rules")?),
        Rule::Any(any) => any_only(*any).map(|()| Permission::Any)?,
        Rule::DestinationIp(range) => Permission::DestinationIp(decode_range(range).at("destination_ip")?),
        Rule::DestinationPort(port) => Permission::DestinationPort(
            u16::try_from(*port).map_err(|_| DecodeError::new("destination_port", format!("{port} is no port")))?,
        ),
        Rule::DestinationPortRange(range) => decode_port_range(range).at("destination_port_range")?,
        Rule::Header(matcher) => Permission::Header(decode_header(matcher).at("header")?),
        Rule::Matcher(_) => return Err(DecodeError::unsupported("matcher")),
        Rule::Metadata(matcher) => Permission::Metadata(dynamic(matcher).at("metadata")?),
        Rule::NotRule(inner) => Permission::Not(Box::new(decode_permission(inner).at("not_rule")?)),
        Rule::OrRules(set) => Permission::AnyOf(all(&set.rules, "rules", decode_permission).at("or_rules")?),
        Rule::RequestedServerName(matcher) => {
            Permission::RequestedServerName(matching::decode(matcher).at("requested_server_name")?)
        }
        Rule::SourcedMetadata(sourced) => Permission::Metadata(decode_metadata(sourced).at("sourced_metadata")?),
        Rule::UriTemplate(_) => return Err(DecodeError::unsupported("uri_template")),
        Rule::UrlPath(matcher) => Permission::UrlPath(decode_path(matcher).at("url_path")?),
    })
}

fn encode_principal(principal: &Principal) -> ProtoPrincipal {
    let set = |each: &[Principal]| principal::Set { ids: each.iter().map(encode_principal).collect() };
    #[allow(deprecated, reason = "the field differs from the newer ones in what it believes")]
    let identifier = match principal {
        Principal::AllOf(each) => Identifier::AndIds(set(each)),
        Principal::Any => Identifier::Any(true),
        Principal::AnyOf(each) => Identifier::OrIds(set(each)),
        Principal::Authenticated(name) => {
            Identifier::Authenticated(principal::Authenticated { principal_name: name.as_ref().map(matching::encode) })
        }
        Principal::DirectRemoteIp(range) => Identifier::DirectRemoteIp(encode_range(range)),
        Principal::Header(matches) => Identifier::Header(encode_header(matches)),
        Principal::Metadata(sourced) => Identifier::SourcedMetadata(encode_metadata(sourced)),
        Principal::Not(inner) => Identifier::NotId(Box::new(encode_principal(inner))),
        Principal::RemoteIp(range) => Identifier::RemoteIp(encode_range(range)),
        Principal::SourceIp(range) => Identifier::SourceIp(encode_range(range)),
        Principal::UrlPath(matches) => Identifier::UrlPath(encode_path(matches)),
    };
    ProtoPrincipal { identifier: Some(identifier) }
}

#[allow(deprecated, reason = "other control planes still write the older fields")]
fn decode_principal(proto: &ProtoPrincipal) -> Result<Principal> {
    let identifier = proto.identifier.as_ref().ok_or_else(|| DecodeError::new("identifier", "is missing"))?;
    Ok(match identifier {
        Identifier::AndIds(set) => Principal::AllOf(all(&set.ids, "ids", decode_principal).at("and_ids")?),
        Identifier::Any(any) => any_only(*any).map(|()| Principal::Any)?,
        Identifier::Authenticated(authenticated) => {
            let name = authenticated.principal_name.as_ref().map(matching::decode).transpose();
            Principal::Authenticated(name.at("authenticated.principal_name")?)
        }
        Identifier::Custom(_) => return Err(DecodeError::unsupported("custom")),
        Identifier::DirectRemoteIp(range) => Principal::DirectRemoteIp(decode_range(range).at("direct_remote_ip")?),
        Identifier::FilterState(_) => return Err(DecodeError::unsupported("filter_state")),
        Identifier::Header(matcher) => Principal::Header(decode_header(matcher).at("header")?),
        Identifier::Metadata(matcher) => Principal::Metadata(dynamic(matcher).at("metadata")?),
        Identifier::NotId(inner) => Principal::Not(Box::new(decode_principal(inner).at("not_id")?)),
        Identifier::OrIds(set) => Principal::AnyOf(all(&set.ids, "ids", decode_principal).at("or_ids")?),
        Identifier::RemoteIp(range) => Principal::RemoteIp(decode_range(range).at("remote_ip")?),
        Identifier::SourceIp(range) => Principal::SourceIp(decode_range(range).at("source_ip")?),
        Identifier::SourcedMetadata(sourced) => Principal::Metadata(decode_metadata(sourced).at("sourced_metadata")?),
        Identifier::UrlPath(matcher) => Principal::UrlPath(decode_path(matcher).at("url_path")?),
    })
}

/// Envoy: `const: true`.
fn any_only(any: bool) -> Result<()> {
    if any { Ok(()) } else { Err(DecodeError::new("any", "must be true")) }
}

pub(super) fn encode_range(range: &CidrRange) -> ProtoRange {
    ProtoRange {
        address_prefix: range.address().to_string(),
        prefix_len: Some(UInt32Value { value: range.prefix_bits().into() }),
    }
}

/// An absent length is 0, as in Envoy: every address of the family.
pub(super) fn decode_range(range: &ProtoRange) -> Result<CidrRange> {
    let address = range.address_prefix.parse::<IpAddr>();
    let address = address
        .map_err(|_| DecodeError::new("address_prefix", format!("\"{}\" is no IP address", range.address_prefix)))?;
    let bits = range.prefix_len.as_ref().map_or(0, |length| length.value);
    if bits > 128 {
        return Err(DecodeError::new("prefix_len", format!("{bits} is longer than an address")));
    }
    // As Envoy: all of a shorter address.
    let bits = u8::try_from(bits).unwrap_or(128).min(if address.is_ipv4() { 32 } else { 128 });
    CidrRange::new(address, bits).ok_or_else(|| DecodeError::new("prefix_len", "is longer than the address"))
}

/// Envoy's bounds: 0 to 65,536, not empty.
fn decode_port_range(range: &Int32Range) -> Result<Permission> {
    let bound = |value: i32, field: &str| match u32::try_from(value) {
        Ok(value) if value <= 65_536 => Ok(value),
        _ => Err(DecodeError::new(field, format!("{value} is no bound of ports"))),
    };
    let (start, end) = (bound(range.start, "start")?, bound(range.end, "end")?);
    if start >= end {
        return Err(DecodeError::new("end", format!("{end} is not above the start {start}")));
    }
    Ok(Permission::DestinationPortRange { start, end })
}

fn encode_path(matches: &StringMatch) -> PathMatcher {
    PathMatcher { rule: Some(path_matcher::Rule::Path(matching::encode(matches))) }
}

fn decode_path(matcher: &PathMatcher) -> Result<StringMatch> {
    match &matcher.rule {
        Some(path_matcher::Rule::Path(matcher)) => matching::decode(matcher).at("path"),
        None => Err(DecodeError::new("path", "is missing")),
    }
}

fn encode_metadata(sourced: &SourcedMetadata) -> ProtoSourced {
    ProtoSourced {
        metadata_matcher: Some(metadata::encode_match(&sourced.matches)),
        metadata_source: match sourced.source {
            MetadataSource::Dynamic => ProtoSource::Dynamic,
            MetadataSource::Route => ProtoSource::Route,
        }
        .into(),
    }
}

fn decode_metadata(sourced: &ProtoSourced) -> Result<SourcedMetadata> {
    let matcher =
        sourced.metadata_matcher.as_ref().ok_or_else(|| DecodeError::new("metadata_matcher", "is missing"))?;
    let source = match ProtoSource::try_from(sourced.metadata_source) {
        Ok(ProtoSource::Dynamic) => MetadataSource::Dynamic,
        Ok(ProtoSource::Route) => MetadataSource::Route,
        Err(_) => return Err(DecodeError::unsupported("metadata_source")),
    };
    Ok(SourcedMetadata { source, matches: metadata::decode_match(matcher).at("metadata_matcher")? })
}

fn dynamic(matcher: &MetadataMatcher) -> Result<SourcedMetadata> {
    Ok(SourcedMetadata { source: MetadataSource::Dynamic, matches: metadata::decode_match(matcher)? })
}
