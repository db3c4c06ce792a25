use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use leno_ir::{
    CidrRange, HeaderMatch, HeaderMatchKind, MetadataMatch, MetadataSource, MetadataValue, Permission, Principal, Rbac,
    RbacAction, RbacPolicy, SourcedMetadata, StringMatch, ValueMatch,
};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use crate::{View, decide};

#[derive(Clone, Debug)]
struct Request {
    path: Option<&'static str>,
    headers: Vec<(&'static str, &'static str)>,
    names: Option<Vec<&'static str>>,
    remote: IpAddr,
    metadata: BTreeMap<String, MetadataValue>,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            path: Some("/a"),
            headers: Vec::new(),
            names: None,
            remote: IpAddr::from([10, 0, 0, 7]),
            metadata: BTreeMap::new(),
        }
    }
}

impl View for Request {
    fn destination(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 8080))
    }

    fn direct_remote_ip(&self) -> IpAddr {
        self.remote
    }

    fn source_ip(&self) -> IpAddr {
        self.remote
    }

    fn remote_ip(&self) -> IpAddr {
        IpAddr::from([192, 0, 2, 1])
    }

    fn is_tls(&self) -> bool {
        self.names.is_some()
    }

    fn has_peer_name(&self, is_match: &mut dyn FnMut(&str) -> bool) -> bool {
        self.names.iter().flatten().any(|name| is_match(name)) || is_match("")
    }

    fn requested_server_name(&self) -> &str {
        ""
    }

    fn url_path(&self) -> Option<&str> {
        self.path
    }

    fn header_matches(&self, matches: &HeaderMatch) -> bool {
        self.headers.iter().any(|(name, _)| *name == matches.name)
    }

    fn metadata(&self, _source: MetadataSource, namespace: &str, path: &[String]) -> Option<&MetadataValue> {
        self.metadata.get(namespace)?.at(path)
    }
}

fn rules(action: RbacAction, policies: &[(&str, Permission, Principal)]) -> Rbac {
    let policy = |(name, permission, principal): &(&str, Permission, Principal)| {
        let policy = RbacPolicy { permissions: vec![permission.clone()], principals: vec![principal.clone()] };
        ((*name).to_owned(), policy)
    };
    Rbac { action, policies: policies.iter().map(policy).collect() }
}

fn holds(permission: Permission, request: &Request) -> bool {
    decide(&rules(RbacAction::Allow, &[("p", permission, Principal::Any)]), request).is_allowed
}

fn is_by(principal: Principal, request: &Request) -> bool {
    decide(&rules(RbacAction::Allow, &[("p", Permission::Any, principal)]), request).is_allowed
}

#[test]
fn without_policies_allow_denies_and_deny_allows() {
    let decision = |action| decide(&rules(action, &[]), &Request::default()).is_allowed;
    assert!(!decision(RbacAction::Allow) && decision(RbacAction::Deny) && decision(RbacAction::Log));
}

#[test]
fn the_first_matching_policy_by_name_is_named() {
    let any = |name| (name, Permission::Any, Principal::Any);
    let never = ("a", Permission::Not(Box::new(Permission::Any)), Principal::Any);
    for action in [RbacAction::Allow, RbacAction::Deny, RbacAction::Log] {
        let rules = rules(action, &[any("c"), any("b"), never.clone()]);
        assert_eq!(decide(&rules, &Request::default()).policy, Some("b"));
    }
}

#[test]
fn a_policy_needs_a_permission_and_a_principal() {
    let none = Principal::Not(Box::new(Principal::Any));
    assert!(!decide(&rules(RbacAction::Allow, &[("p", Permission::Any, none)]), &Request::default()).is_allowed);
}

#[test]
fn permissions_look_at_the_destination_and_the_request() {
    let request = Request { headers: vec![("x-a", "1")], ..Request::default() };
    let range = |bits| CidrRange::new(IpAddr::from([127, 0, 0, 9]), bits).expect("a block");
    assert!(holds(Permission::DestinationIp(range(8)), &request));
    assert!(!holds(Permission::DestinationIp(range(32)), &request));
    assert!(holds(Permission::DestinationPort(8080), &request) && !holds(Permission::DestinationPort(80), &request));
    assert!(holds(Permission::DestinationPortRange { start: 8080, end: 8081 }, &request));
    assert!(!holds(Permission::DestinationPortRange { start: 8000, end: 8080 }, &request));
    let header = |name: &str| HeaderMatch {
        name: name.to_owned(),
        kind: HeaderMatchKind::Present(true),
        invert: false,
        treat_missing_as_empty: false,
    };
    assert!(holds(Permission::Header(header("x-a")), &request) && !holds(Permission::Header(header("x-b")), &request));
    assert!(holds(Permission::RequestedServerName(StringMatch::exact("")), &request));
    let path = Permission::UrlPath(StringMatch::prefix("/"));
    assert!(holds(path.clone(), &request));
    assert!(!holds(path, &Request { path: None, ..Request::default() }));
}

#[test]
fn names_count_only_over_tls() {
    let spiffe = StringMatch::prefix("spiffe://");
    let with = |names: Option<&[&'static str]>| Request { names: names.map(<[_]>::to_vec), ..Request::default() };
    assert!(!is_by(Principal::Authenticated(None), &with(None)));
    assert!(is_by(Principal::Authenticated(None), &with(Some(&[]))));
    assert!(is_by(Principal::Authenticated(Some(spiffe.clone())), &with(Some(&["spiffe://a/b"]))));
    assert!(!is_by(Principal::Authenticated(Some(spiffe)), &with(Some(&["a.example"]))));
    // The subject of a client without certificate is empty, not absent.
    assert!(is_by(Principal::Authenticated(Some(StringMatch::exact(""))), &with(Some(&[]))));
    assert!(!is_by(Principal::Authenticated(Some(StringMatch::exact(""))), &with(None)));
}

#[test]
fn each_kind_of_client_address_is_its_own() {
    let at = |ip: [u8; 4]| CidrRange::new(IpAddr::from(ip), 32).expect("a block");
    let request = Request::default();
    assert!(is_by(Principal::DirectRemoteIp(at([10, 0, 0, 7])), &request));
    assert!(is_by(Principal::SourceIp(at([10, 0, 0, 7])), &request));
    assert!(is_by(Principal::RemoteIp(at([192, 0, 2, 1])), &request));
    assert!(!is_by(Principal::RemoteIp(at([10, 0, 0, 7])), &request));
}

#[test]
fn metadata_is_looked_up_by_namespace_and_path() {
    let fields = MetadataValue::Struct(BTreeMap::from([("role".to_owned(), "admin".into())]));
    let request = Request { metadata: BTreeMap::from([("jwt".to_owned(), fields)]), ..Request::default() };
    let matches = |text: &str, invert| {
        let value = ValueMatch::String(StringMatch::exact(text));
        let matches = MetadataMatch { filter: "jwt".into(), path: vec!["role".into()], value, invert };
        Principal::Metadata(SourcedMetadata { source: MetadataSource::Dynamic, matches })
    };
    assert!(is_by(matches("admin", false), &request) && !is_by(matches("user", false), &request));
    assert!(is_by(matches("user", true), &request) && is_by(matches("admin", true), &Request::default()));
}

fn permission() -> impl Strategy<Value = Permission> {
    let leaf = prop_oneof![
        Just(Permission::Any),
        (8070..8090_u16).prop_map(Permission::DestinationPort),
        "/[ab]".prop_map(|path| Permission::UrlPath(StringMatch::exact(path))),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|inner| Permission::Not(Box::new(inner))),
            vec(inner.clone(), 1..3).prop_map(Permission::AllOf),
            vec(inner, 1..3).prop_map(Permission::AnyOf),
        ]
    })
}

fn policies() -> impl Strategy<Value = BTreeMap<String, RbacPolicy>> {
    let policy =
        vec(permission(), 1..3).prop_map(|permissions| RbacPolicy { permissions, principals: vec![Principal::Any] });
    btree_map("[a-d]", policy, 0..4)
}

proptest! {
    #[test]
    fn deny_beats_allow(policies in policies()) {
        let request = Request::default();
        let allow = decide(&Rbac { action: RbacAction::Allow, policies: policies.clone() }, &request).is_allowed;
        let deny = decide(&Rbac { action: RbacAction::Deny, policies }, &request).is_allowed;
        // The same policies in both kinds of rules: nobody passes both.
        prop_assert!(!(allow && deny));
    }

    #[test]
    fn one_more_policy_never_takes_an_allowance_away(policies in policies(), more in policies()) {
        let request = Request::default();
        let mut both = more;
        both.extend(policies.clone());
        let is_allowed =
            |action, policies: &BTreeMap<_, _>| decide(&Rbac { action, policies: policies.clone() }, &request).is_allowed;
        prop_assert!(!is_allowed(RbacAction::Allow, &policies) || is_allowed(RbacAction::Allow, &both));
        prop_assert!(is_allowed(RbacAction::Deny, &policies) || !is_allowed(RbacAction::Deny, &both));
    }

    #[test]
    fn not_is_the_opposite(permission in permission()) {
        let request = Request::default();
        let not = Permission::Not(Box::new(permission.clone()));
        prop_assert_ne!(holds(permission, &request), holds(not, &request));
    }
}
