//! Leno's own policies, and what each of them holds for.
//!
//! Shape       1 policy -> n targets; 1 target -> at most 1 policy of a kind
//! Invariants  of several policies of one kind the nearest to the request holds as a whole: rule, route, port, service,
//!             listener, gateway, namespace, mesh; of equally near ones the oldest
//! Source      Gateway API GEP-713

use std::collections::BTreeMap;
use std::sync::Arc;

use leno_api::leno::{
    DeadlinePolicySpec, FaultPolicySpec, HedgePolicySpec, RateLimitPolicySpec, RetryPolicySpec, TargetRef,
    TrafficPolicySpec,
};
use leno_api::{Resource, ResourceKey};

/// A policy, and whose it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Held<P> {
    pub object: ResourceKey,
    pub spec: Arc<P>,
}

macro_rules! by_kind {
    ($($field:ident $kind:ident $spec:ident,)*) => {
        /// At most one policy of each kind.
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct HeldPolicies {
            $(pub $field: Option<Held<$spec>>,)*
        }

        impl HeldPolicies {
            /// The one policy that an object is, and its targets; `None` for objects that are none of ours.
            pub(crate) fn of(resource: &Resource) -> Option<(Self, &[TargetRef])> {
                match resource {
                    $(Resource::$kind(policy) => {
                        let held = Held { object: resource.key(), spec: Arc::new(policy.spec.clone()) };
                        Some((Self { $field: Some(held), ..Self::default() }, &policy.spec.target_refs))
                    })*
                    _ => None,
                }
            }

            /// These, and where they say nothing, those that are farther away.
            pub fn or(&self, farther: &Self) -> Self {
                Self { $($field: self.$field.clone().or_else(|| farther.$field.clone()),)* }
            }

            /// Takes over what is not there yet.
            ///
            /// # Errors
            /// Of the kind there is one; it stays.
            pub(crate) fn add(&mut self, more: &Self) -> Result<(), ResourceKey> {
                $(match (&self.$field, &more.$field) {
                    (Some(first), Some(_)) => return Err(first.object.clone()),
                    (None, Some(new)) => self.$field = Some(new.clone()),
                    (_, None) => {}
                })*
                Ok(())
            }

            pub fn is_empty(&self) -> bool {
                true $(&& self.$field.is_none())*
            }

            pub fn objects(&self) -> Vec<&ResourceKey> {
                let mut objects = Vec::new();
                $(objects.extend(self.$field.iter().map(|held| &held.object));)*
                objects
            }
        }
    };
}
by_kind! {
    deadline DeadlinePolicy DeadlinePolicySpec,
    fault FaultPolicy FaultPolicySpec,
    hedge HedgePolicy HedgePolicySpec,
    rate_limit RateLimitPolicy RateLimitPolicySpec,
    retry RetryPolicy RetryPolicySpec,
    traffic TrafficPolicy TrafficPolicySpec,
}

impl HeldPolicies {
    /// Of a service's policies those that its callers follow. The proxies of its instances see to the others.
    #[must_use]
    pub fn by_callers(self) -> Self {
        Self { rate_limit: None, ..self }
    }
}

/// What holds for a target and its named parts: ports of a service, rules of a route.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attached {
    pub whole: HeldPolicies,
    pub sections: BTreeMap<String, HeldPolicies>,
}

impl Attached {
    /// For one part, or for those without a name.
    pub fn section(&self, name: Option<&str>) -> HeldPolicies {
        match name.and_then(|name| self.sections.get(name)) {
            Some(section) => section.or(&self.whole),
            None => self.whole.clone(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.whole.is_empty() && self.sections.is_empty()
    }
}

/// What holds for routes, and for requests that enter at gateways.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RoutePolicies {
    pub routes: BTreeMap<ResourceKey, Attached>,
    /// By gateway; those for its namespace and the mesh included.
    pub gateways: BTreeMap<ResourceKey, Attached>,
}

impl RoutePolicies {
    /// For a rule of a route, by its name.
    pub fn of_rule(&self, route: &ResourceKey, rule: Option<&str>) -> HeldPolicies {
        self.routes.get(route).map(|attached| attached.section(rule)).unwrap_or_default()
    }

    pub fn of_listener(&self, gateway: &ResourceKey, name: &str) -> HeldPolicies {
        self.gateways.get(gateway).map(|attached| attached.section(Some(name))).unwrap_or_default()
    }
}

/// What holds for a service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServicePolicies {
    pub mesh: HeldPolicies,
    pub namespace: HeldPolicies,
    pub own: Attached,
}

impl ServicePolicies {
    /// For a port, by its name.
    pub fn of_port(&self, port: Option<&str>) -> HeldPolicies {
        self.own.section(port).or(&self.namespace).or(&self.mesh)
    }

    /// The farthest first, for kinds of which several hold together.
    pub fn layers(&self, port: Option<&str>) -> Vec<&HeldPolicies> {
        let section = port.and_then(|name| self.own.sections.get(name));
        [&self.mesh, &self.namespace, &self.own.whole].into_iter().chain(section).collect()
    }

    pub fn objects(&self) -> Vec<&ResourceKey> {
        let own = std::iter::once(&self.own.whole).chain(self.own.sections.values());
        [&self.mesh, &self.namespace].into_iter().chain(own).flat_map(HeldPolicies::objects).collect()
    }
}
