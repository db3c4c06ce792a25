use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use bytes::Bytes;
use leno_authz::{Decision, decide};
use leno_ir::{HttpRbac, MetadataValue, RbacAction};

use super::overrides::RouteFilter;
use super::{LocalReply, Place, RequestContext, Step};
use crate::authz::{RequestView, refusal_details};
use crate::stats::{Counter, WorkerStats};

const NAMESPACE: &str = "envoy.filters.http.rbac";

/// Refuses requests that the rules do not allow (Envoy's HTTP filter `rbac`).
#[derive(Debug)]
pub(crate) struct Rbac {
    config: HttpRbac,
    /// `http.<stat_prefix>.rbac.`
    prefix: String,
    allowed: Counter,
    denied: Counter,
    shadow_allowed: Counter,
    shadow_denied: Counter,
    /// By their names, made when they are first needed; only with `track_per_rule_stats`.
    per_policy: RefCell<HashMap<String, Counter>>,
}

/// Which of the two sets of rules.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Mode {
    Enforced,
    Shadow,
}

/// As Envoy joins prefixes of statistics: by one dot.
pub(crate) fn joined(prefix: &str, name: &str) -> String {
    let dot = if prefix.is_empty() || prefix.ends_with('.') { "" } else { "." };
    format!("{prefix}{dot}{name}")
}

impl Rbac {
    pub(super) fn new(config: &HttpRbac, place: Place<'_>) -> Self {
        let counter = |rules_prefix: &str, what: &str| place.counter(&format!("rbac.{}", joined(rules_prefix, what)));
        Self {
            allowed: counter(&config.rules_stat_prefix, "allowed"),
            denied: counter(&config.rules_stat_prefix, "denied"),
            shadow_allowed: counter(&config.shadow_rules_stat_prefix, "shadow_allowed"),
            shadow_denied: counter(&config.shadow_rules_stat_prefix, "shadow_denied"),
            per_policy: RefCell::default(),
            config: config.clone(),
            prefix: format!("http.{}.rbac.", place.stat_prefix),
        }
    }

    pub(super) fn on_request(self: &Rc<Self>, cx: &mut RequestContext<'_>) -> Step {
        let of_route = cx.route.and_then(|route| {
            route.configs(cx.name).find_map(|config| match config {
                RouteFilter::Rbac(config) => Some(config),
                _ => None,
            })
        });
        let config = match of_route {
            Some(None) => return Step::Continue,
            Some(Some(config)) => config,
            None => &self.config,
        };
        let rules = [(Mode::Shadow, &config.shadow_rules), (Mode::Enforced, &config.rules)];
        for (mode, rules) in rules {
            let Some(rules) = rules else { continue };
            let view = RequestView {
                connection: cx.connection,
                request: cx.request,
                metadata: &cx.exchange.metadata,
                route_metadata: cx.route.and_then(|route| route.metadata()),
                forwarded_for: cx.exchange.remote,
            };
            let decision = decide(rules, &view);
            self.count(mode, decision, config, &cx.worker.stats);
            let said = self.said(mode, decision, config);
            cx.exchange.metadata.entry(NAMESPACE.to_owned()).or_default().extend(said);
            if mode == Mode::Enforced && rules.action == RbacAction::Log {
                let hint = ("access_log_hint".to_owned(), MetadataValue::Bool(decision.policy.is_some()));
                cx.exchange.metadata.entry("envoy.common".to_owned()).or_default().extend([hint]);
            }
            if mode == Mode::Enforced && !decision.is_allowed {
                return Step::Reply(Box::new(LocalReply {
                    body: Bytes::from_static(b"RBAC: access denied"),
                    ..LocalReply::new(403, refusal_details(decision.policy))
                }));
            }
        }
        Step::Continue
    }

    fn count(&self, mode: Mode, decision: Decision<'_>, config: &HttpRbac, stats: &WorkerStats) {
        let (counter, event) = match (mode, decision.is_allowed) {
            (Mode::Enforced, true) => (&self.allowed, "allowed"),
            (Mode::Enforced, false) => (&self.denied, "denied"),
            (Mode::Shadow, true) => (&self.shadow_allowed, "shadow_allowed"),
            (Mode::Shadow, false) => (&self.shadow_denied, "shadow_denied"),
        };
        counter.increment();
        if let Some(policy) = decision.policy.filter(|_| config.track_per_rule_stats) {
            let name = format!("{}policy.{policy}.{event}", self.prefix);
            let mut counters = self.per_policy.borrow_mut();
            counters.entry(name.clone()).or_insert_with(|| stats.filter_counter(name)).increment();
        }
    }

    /// What other filters and access logs can read of a decision.
    fn said(
        &self,
        mode: Mode,
        decision: Decision<'_>,
        config: &HttpRbac,
    ) -> impl Iterator<Item = (String, MetadataValue)> + use<> {
        let (prefix, mode) = match mode {
            Mode::Enforced => (&config.rules_stat_prefix, "enforced"),
            Mode::Shadow => (&config.shadow_rules_stat_prefix, "shadow"),
        };
        let result = if decision.is_allowed { "allowed" } else { "denied" };
        let policy = decision.policy.map(|policy| (format!("{prefix}{mode}_effective_policy_id"), policy.into()));
        policy.into_iter().chain([(format!("{prefix}{mode}_engine_result"), result.into())])
    }
}
