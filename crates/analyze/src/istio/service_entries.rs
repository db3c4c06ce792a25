use std::collections::{BTreeMap, BTreeSet};

use super::hosts::{ALL, scopes};
use crate::Object;
use crate::codes::{IST0134, IST0177};
use crate::finding::Findings;
use crate::json::{at, list, number, text, texts};
use crate::kinds::SERVICE_ENTRY;
use crate::objects::Objects;

/// Scope, host and number.
type HostPort<'a> = (String, &'a str, i64);

/// TCP without addresses.
pub(crate) fn addresses(objects: &Objects, found: &mut Findings) {
    let metadata = |name: &str| text(at(&objects.mesh, "defaultConfig.proxyMetadata"), name) == "true";
    let are_made_up = metadata("ISTIO_META_DNS_CAPTURE")
        && (metadata("ISTIO_META_DNS_AUTO_ALLOCATE") || metadata("PILOT_ENABLE_IP_AUTOALLOCATE"));
    for entry in objects.of(SERVICE_ENTRY) {
        let has_address =
            !at(&entry.json, "spec.addresses").is_null() || !list(&entry.json, "status.addresses").is_empty();
        if has_address || are_made_up {
            continue;
        }
        for (index, port) in list(&entry.json, "spec.ports").iter().enumerate() {
            let protocol = text(port, "protocol");
            if protocol.is_empty() || protocol.eq_ignore_ascii_case("TCP") {
                let message = "a TCP port is known by its address only, and the ServiceEntry has none";
                found.report(entry, IST0134, format!("spec.ports[{index}]"), message);
            }
        }
    }
}

/// One host and port with different protocols.
pub(crate) fn protocols(objects: &Objects, found: &mut Findings) {
    let mut all: BTreeMap<HostPort<'_>, Vec<(&Object, String)>> = BTreeMap::new();
    for entry in objects.of(SERVICE_ENTRY) {
        for scope in scopes(&texts(&entry.json, "spec.exportTo"), &entry.namespace) {
            for host in texts(&entry.json, "spec.hosts") {
                for port in list(&entry.json, "spec.ports") {
                    let number = number(port, "number").unwrap_or_default();
                    let protocol = text(port, "protocol").to_uppercase();
                    all.entry((scope.clone(), host, number)).or_default().push((entry, protocol));
                }
            }
        }
    }
    let mut told = BTreeSet::new();
    for ((scope, host, port), entries) in &all {
        let of_all = (scope != ALL).then(|| all.get(&(ALL.to_owned(), host, *port))).flatten().into_iter().flatten();
        let entries: Vec<_> = entries.iter().chain(of_all).collect();
        let protocols: BTreeSet<_> = entries.iter().map(|(_, protocol)| protocol.as_str()).collect();
        if protocols.len() < 2 {
            continue;
        }
        let names: BTreeSet<_> = entries.iter().map(|(entry, _)| entry.full_name()).collect();
        let [names, protocols] =
            [names.into_iter().collect::<Vec<_>>(), protocols.into_iter().map(str::to_owned).collect()];
        for (entry, _) in entries {
            if told.insert(entry.index) {
                let message = format!(
                    "{} give {host}, port {port}, different protocols ({})",
                    names.join(", "),
                    protocols.join(", ")
                );
                found.report(entry, IST0177, "spec.ports", message);
            }
        }
    }
}
