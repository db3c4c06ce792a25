use serde::Serialize;

use crate::Rbac;

/// Who may make which requests (Envoy's HTTP filter `rbac`). A route's own one replaces it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct HttpRbac {
    /// `None`: everybody.
    pub rules: Option<Rbac>,
    pub rules_stat_prefix: String,
    /// Counted and noted in metadata, but not obeyed.
    pub shadow_rules: Option<Rbac>,
    pub shadow_rules_stat_prefix: String,
    /// Each policy has counters of its own.
    pub track_per_rule_stats: bool,
}
