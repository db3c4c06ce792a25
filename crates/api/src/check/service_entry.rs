//! As Istio's validation: what endpoints each resolution wants.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{Checked, host, report, workload};
use crate::{EntryResolution, ServiceEntrySpec};

pub(super) fn check(spec: &ServiceEntrySpec, found: &mut Checked) {
    if spec.hosts.is_empty() {
        report(found, "spec.hosts", "at least one host is required");
    }
    for (index, name) in spec.hosts.iter().enumerate() {
        if name == "*" {
            report(found, format!("spec.hosts[{index}]"), "\"*\" would be every host there is; name a domain");
        } else {
            host(found, format!("spec.hosts[{index}]"), name);
        }
    }
    addresses(spec, found);
    ports(spec, found);
    for (index, endpoint) in spec.endpoints.iter().enumerate() {
        workload(endpoint, &format!("spec.endpoints[{index}]"), found);
    }
    if !spec.endpoints.is_empty() && spec.workload_selector.is_some() {
        report(found, "spec.workloadSelector", "only one of endpoints and workloadSelector may be set");
    }
    resolution(spec, found);
}

fn addresses(spec: &ServiceEntrySpec, found: &mut Checked) {
    for (index, text) in spec.addresses.iter().enumerate() {
        let (address, length) = text.split_once('/').map_or((text.as_str(), None), |(a, length)| (a, Some(length)));
        let fits = address.parse::<IpAddr>().is_ok_and(|address| {
            let most = if address.is_ipv4() { 32 } else { 128 };
            length.is_none_or(|length| length.parse::<u8>().is_ok_and(|length| length <= most))
        });
        if !fits {
            report(found, format!("spec.addresses[{index}]"), format!("\"{text}\" is no IP address and no CIDR range"));
        }
    }
}

fn ports(spec: &ServiceEntrySpec, found: &mut Checked) {
    let mut seen = BTreeSet::new();
    for (index, port) in spec.ports.iter().enumerate() {
        if !seen.insert(port.number) {
            report(found, format!("spec.ports[{index}].number"), format!("port {} is there twice", port.number));
        }
    }
}

fn resolution(spec: &ServiceEntrySpec, found: &mut Checked) {
    let has_wildcard = spec.hosts.iter().any(|host| host.starts_with('*'));
    match spec.resolution.unwrap_or(EntryResolution::None) {
        EntryResolution::None | EntryResolution::DynamicDns if !spec.endpoints.is_empty() => {
            report(found, "spec.endpoints", "endpoints have no place where requests go where they were going");
        }
        EntryResolution::None | EntryResolution::DynamicDns => {}
        EntryResolution::Static => {
            for (index, endpoint) in spec.endpoints.iter().enumerate() {
                let address = endpoint.address.as_deref().unwrap_or_default();
                if !address.starts_with("unix://") && address.parse::<IpAddr>().is_err() {
                    let message = format!("\"{address}\" is no IP address; names need resolution DNS");
                    report(found, format!("spec.endpoints[{index}].address"), message);
                }
            }
        }
        kind @ (EntryResolution::Dns | EntryResolution::DnsRoundRobin) => {
            if spec.endpoints.is_empty() && spec.workload_selector.is_none() && has_wildcard {
                report(found, "spec.hosts", "a wildcard cannot be looked up: endpoints are required");
            }
            if kind == EntryResolution::DnsRoundRobin && spec.endpoints.len() > 1 {
                report(found, "spec.endpoints", "DNS_ROUND_ROBIN takes one endpoint");
            }
        }
    }
}
