use std::collections::BTreeMap;
use std::net::IpAddr;

use leno_api::{ResourceKey, WorkloadEntry, annotation};
use leno_names::Locality;
use serde::Serialize;

use crate::{Problem, Protocol};

/// One instance of an application, reachable at an address.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Workload {
    pub key: ResourceKey,
    pub address: IpAddr,
    /// From a service port's name or a target port's number to where the workload takes it.
    pub ports: BTreeMap<String, u16>,
    /// By application port, where the workload told.
    pub protocols: BTreeMap<u16, Protocol>,
    pub labels: BTreeMap<String, String>,
    /// Default `default`.
    pub service_account: String,
    pub locality: Locality,
    /// At least 1.
    pub weight: u32,
    pub health: Health,
    /// Written for an open stream: it listens on the ports it told and on no other.
    pub registered: bool,
    /// The service it says it belongs to.
    pub service: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    Draining,
    #[default]
    Healthy,
    Unhealthy,
}

impl Workload {
    /// `None` with a problem when there is no usable address.
    pub(crate) fn read(key: ResourceKey, entry: &WorkloadEntry, problems: &mut Vec<Problem>) -> Option<Self> {
        let spec = &entry.spec;
        let text = spec.address.as_deref().unwrap_or_default();
        let Ok(address) = text.parse() else {
            let message = format!("not supported yet: only IP addresses can be reached, not \"{text}\"");
            problems.push(Problem::error(&key, "spec.address", "not_supported_yet", message));
            return None;
        };
        let labels = if spec.labels.is_empty() { &entry.metadata.labels } else { &spec.labels };
        Some(Self {
            address,
            ports: spec.ports.clone(),
            protocols: protocols(entry.metadata.annotation(annotation::PROTOCOLS).unwrap_or_default()),
            labels: labels.clone(),
            service_account: spec.service_account.clone().unwrap_or_else(|| "default".to_owned()),
            locality: spec.locality.as_deref().and_then(|text| text.parse().ok()).unwrap_or_default(),
            weight: spec.weight.unwrap_or(1).max(1),
            health: match entry.metadata.annotation(annotation::HEALTH) {
                Some("draining") => Health::Draining,
                Some("unhealthy") => Health::Unhealthy,
                _ => Health::Healthy,
            },
            registered: entry.metadata.annotation(annotation::REGISTERED) == Some("true"),
            service: entry.metadata.annotation(annotation::SERVICE).map(str::to_owned),
            key,
        })
    }

    pub fn matches(&self, selector: &BTreeMap<String, String>) -> bool {
        selector.iter().all(|(name, value)| self.labels.get(name) == Some(value))
    }
}

/// `9080=http,9090=tcp`.
fn protocols(text: &str) -> BTreeMap<u16, Protocol> {
    let pair = |part: &str| {
        let (port, word) = part.split_once('=')?;
        Some((port.trim().parse().ok()?, Protocol::from_word(word.trim())))
    };
    text.split(',').filter_map(pair).collect()
}
