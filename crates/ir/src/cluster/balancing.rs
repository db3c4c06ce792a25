use leno_names::Fraction;
use serde::Serialize;

use super::SubsetSettings;

/// What holds for every balancing policy (Envoy `CommonLbConfig` and what is beside it in a cluster).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Balancing {
    /// With a smaller share of healthy endpoints all of a priority are used. `None`: 50 %, Envoy's default; guests that
    /// run Envoy are told 0 %, as Istio tells them.
    pub panic_threshold: Option<Fraction>,
    pub localities: LocalityBalancing,
    /// Endpoints that were not checked yet do not count at all, instead of counting as unhealthy.
    pub ignore_new_until_checked: bool,
    /// An endpoint that discovery takes away goes at once, even while its health checks pass.
    pub ignore_health_on_removal: bool,
    /// `None`: endpoints are not told apart. Localities have no weights where they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subsets: Option<Box<SubsetSettings>>,
}

impl Balancing {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for Balancing {
    fn default() -> Self {
        Self {
            panic_threshold: None,
            localities: LocalityBalancing::Weighted,
            ignore_new_until_checked: false,
            ignore_health_on_removal: false,
            subsets: None,
        }
    }
}

/// What the localities of endpoints mean.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LocalityBalancing {
    /// Nothing.
    Ignored,
    /// Each gets traffic by its weight.
    #[default]
    Weighted,
}
