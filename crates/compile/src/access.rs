//! Who may call a workload: rules of access as Envoy's RBAC on its inbound listeners. What no rule allows is refused.

use leno_ir::{
    ConnectionFilter, ConnectionRbac, HttpFilter, HttpFilterConfig, HttpRbac, Node, Pattern, Permission, Principal,
    Rbac, RbacAction, RbacEnforcement, RbacPolicy, StringMatch,
};
use leno_model::api::SmiMatch;
use leno_model::{AccessRule, Allowed, Snapshot};
use leno_names::SpiffeId;

use crate::headers::header;

const HTTP_RBAC: &str = "envoy.filters.http.rbac";

/// What holds on one port of a workload.
pub(crate) struct Guard<'a> {
    snapshot: &'a Snapshot,
    rules: Vec<&'a AccessRule>,
}

impl<'a> Guard<'a> {
    /// `None`: everybody of the mesh may call.
    pub(crate) fn of(snapshot: &'a Snapshot, node: &Node, port: u16) -> Option<Self> {
        let rules = snapshot.access.get(&(node.namespace.clone(), node.service_account.clone()))?;
        let rules = rules.iter().filter(|rule| rule.port.is_none_or(|number| number == port)).collect();
        Some(Self { snapshot, rules })
    }

    pub(crate) fn of_requests(&self, port: u16) -> HttpFilter {
        let permission = |allowed: &Allowed| match allowed {
            Allowed::Requests(matches) => {
                let all: Vec<_> = matches.iter().filter_map(request).collect();
                (!all.is_empty()).then_some(Permission::AnyOf(all))
            }
            Allowed::Ports(ports) => connection(ports, port),
        };
        let rules = Some(self.rbac(permission));
        let config = HttpFilterConfig::Rbac(Box::new(HttpRbac { rules, ..HttpRbac::default() }));
        HttpFilter { name: HTTP_RBAC.to_owned(), disabled: false, config }
    }

    /// Where nothing is known of requests, rules about them allow nothing.
    pub(crate) fn of_connections(&self, port: u16) -> ConnectionFilter {
        let permission = |allowed: &Allowed| match allowed {
            Allowed::Requests(_) => None,
            Allowed::Ports(ports) => connection(ports, port),
        };
        ConnectionFilter::Rbac(Box::new(ConnectionRbac {
            stat_prefix: "tcp.".to_owned(),
            rules: Some(self.rbac(permission)),
            shadow_rules: None,
            shadow_rules_stat_prefix: String::new(),
            enforcement: RbacEnforcement::default(),
            delay_deny: None,
        }))
    }

    fn rbac(&self, permission: impl Fn(&Allowed) -> Option<Permission>) -> Rbac {
        let policy = |rule: &&AccessRule| {
            let permissions: Vec<_> = rule.allows.iter().filter_map(&permission).collect();
            let principals: Vec<_> = rule.sources.iter().map(|source| self.principal(source)).collect();
            let is_empty = permissions.is_empty() || principals.is_empty();
            (!is_empty).then(|| (rule.object.to_string(), RbacPolicy { permissions, principals }))
        };
        Rbac { action: RbacAction::Allow, policies: self.rules.iter().filter_map(policy).collect() }
    }

    fn principal(&self, (namespace, account): &(String, String)) -> Principal {
        let id = SpiffeId::new(self.snapshot.settings.trust_domain.clone(), namespace, account);
        Principal::Authenticated(Some(StringMatch::exact(id.to_string())))
    }
}

fn connection(ports: &[u16], port: u16) -> Option<Permission> {
    (ports.is_empty() || ports.contains(&port)).then_some(Permission::Any)
}

/// `None` for a pattern that is not usable.
fn request(written: &SmiMatch) -> Option<Permission> {
    let mut all = Vec::new();
    if let Some(path) = &written.path_regex {
        all.push(Permission::UrlPath(StringMatch::Regex(Pattern::new(path).ok()?)));
    }
    if !written.methods.is_empty() && !written.methods.iter().any(|method| method == "*") {
        let method = |method: &String| Permission::Header(header(":method".to_owned(), StringMatch::exact(method)));
        all.push(Permission::AnyOf(written.methods.iter().map(method).collect()));
    }
    for (name, pattern) in written.headers.iter().flatten() {
        let value = StringMatch::Regex(Pattern::new(pattern).ok()?);
        all.push(Permission::Header(header(name.to_ascii_lowercase(), value)));
    }
    Some(if all.is_empty() { Permission::Any } else { Permission::AllOf(all) })
}
