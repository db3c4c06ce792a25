use std::collections::BTreeMap;
use std::net::IpAddr;

use leno_api::{ResourceKey, WorkloadEntry, WorkloadEntrySpec, annotation};
use leno_names::{Locality, dns_name};
use serde::Serialize;

use crate::{Problem, Protocol};

/// One instance of an application, reachable at an address.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Workload {
    pub key: ResourceKey,
    pub address: Address,
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
    /// It knows nothing of the mesh: an EndpointSlice names it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_stranger: bool,
}

/// Where a workload is reached.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Address {
    Ip(IpAddr),
    /// Its addresses are to be looked up. Lower case.
    Name(String),
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
        let address = match address(entry.spec.address.as_deref().unwrap_or_default()) {
            Ok(address) => address,
            Err(message) => {
                problems.push(Problem::error(&key, "spec.address", "not_supported_yet", message));
                return None;
            }
        };
        let labels = if entry.spec.labels.is_empty() { &entry.metadata.labels } else { &entry.spec.labels };
        Some(Self {
            labels: labels.clone(),
            protocols: protocols(entry.metadata.annotation(annotation::PROTOCOLS).unwrap_or_default()),
            health: match entry.metadata.annotation(annotation::HEALTH) {
                Some("draining") => Health::Draining,
                Some("unhealthy") => Health::Unhealthy,
                _ => Health::Healthy,
            },
            registered: entry.metadata.annotation(annotation::REGISTERED) == Some("true"),
            service: entry.metadata.annotation(annotation::SERVICE).map(str::to_owned),
            ..Self::written(key, address, &entry.spec)
        })
    }

    /// One that is written as a part of `key`.
    pub(crate) fn written(key: ResourceKey, address: Address, spec: &WorkloadEntrySpec) -> Self {
        Self {
            ports: spec.ports.clone(),
            labels: spec.labels.clone(),
            service_account: spec.service_account.clone().unwrap_or_else(|| "default".to_owned()),
            locality: spec.locality.as_deref().and_then(|text| text.parse().ok()).unwrap_or_default(),
            weight: spec.weight.unwrap_or(1).max(1),
            ..Self::at(key, address)
        }
    }

    /// One of which nothing is known but where it is.
    pub(crate) fn at(key: ResourceKey, address: Address) -> Self {
        Self {
            key,
            address,
            ports: BTreeMap::new(),
            protocols: BTreeMap::new(),
            labels: BTreeMap::new(),
            service_account: "default".to_owned(),
            locality: Locality::default(),
            weight: 1,
            health: Health::Healthy,
            registered: false,
            service: None,
            is_stranger: false,
        }
    }

    pub fn matches(&self, selector: &BTreeMap<String, String>) -> bool {
        selector.iter().all(|(name, value)| self.labels.get(name) == Some(value))
    }
}

/// # Errors
/// Why it cannot be reached.
pub(crate) fn address(text: &str) -> Result<Address, String> {
    if let Ok(ip) = text.parse() {
        return Ok(Address::Ip(ip));
    }
    let name = text.to_ascii_lowercase();
    match dns_name(name.strip_suffix('.').unwrap_or(&name)) {
        Ok(()) => Ok(Address::Name(name)),
        Err(_) => Err(format!("not supported yet: only IP addresses and DNS names can be reached, not \"{text}\"")),
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
