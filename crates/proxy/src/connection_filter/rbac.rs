use std::time::Duration;

use leno_authz::decide;
use leno_ir::{ConnectionRbac, Rbac};

use crate::authz::{ConnectionView, refusal_details};
use crate::connection::Connection;
use crate::filter::joined;
use crate::stats::{Counter, WorkerStats};

/// Refuses a connection that the rules do not allow.
#[derive(Debug)]
pub(super) struct RbacFilter {
    rules: Option<Rules>,
    shadow: Option<Rules>,
    delay: Option<Duration>,
}

#[derive(Debug)]
struct Rules {
    rules: Rbac,
    allowed: Counter,
    denied: Counter,
}

impl RbacFilter {
    pub(super) fn new(config: &ConnectionRbac, stats: &WorkerStats) -> Self {
        let rules = |rules: &Option<Rbac>, prefix: &str| {
            let counter = |what: &str| stats.filter_counter(format!("{}.rbac.{prefix}{what}", config.stat_prefix));
            rules.clone().map(|rules| Rules { rules, allowed: counter("allowed"), denied: counter("denied") })
        };
        Self {
            rules: rules(&config.rules, ""),
            shadow: rules(&config.shadow_rules, &joined(&config.shadow_rules_stat_prefix, "shadow_")),
            delay: config.delay_deny,
        }
    }

    pub(super) fn allows(&self, connection: &Connection) -> bool {
        self.rules.as_ref().is_none_or(|rules| decide(&rules.rules, &ConnectionView(connection)).is_allowed)
    }

    /// # Errors
    /// Which policy refuses, in Envoy's words.
    pub(super) fn enforce(&self, connection: &Connection) -> Result<(), String> {
        if let Some(shadow) = &self.shadow {
            shadow.ask(connection).ok();
        }
        self.rules.as_ref().map_or(Ok(()), |rules| rules.ask(connection))
    }

    pub(super) fn delay(&self) -> Option<Duration> {
        self.delay
    }
}

impl Rules {
    fn ask(&self, connection: &Connection) -> Result<(), String> {
        let decision = decide(&self.rules, &ConnectionView(connection));
        if decision.is_allowed {
            self.allowed.increment();
            Ok(())
        } else {
            self.denied.increment();
            Err(refusal_details(decision.policy))
        }
    }
}
