//! Annotations of Istio on Kubernetes' own kinds. Source: the list of annotations of Istio's API, 1.30.

use std::net::IpAddr;

use crate::Object;
use crate::codes::{IST0107, IST0108, IST0125, IST0135, IST0136};
use crate::finding::Findings;
use crate::json::{list, text};
use crate::kinds::{DEPLOYMENT, NAMESPACE, POD, SERVICE};
use crate::objects::Objects;

/// What an annotation is.
struct Known {
    name: &'static str,
    /// Kinds; `Any` for all.
    on: &'static str,
    is_deprecated: bool,
    is_alpha: bool,
}

macro_rules! known {
    ($($on:literal: $($name:literal $($mark:ident)*,)*;)*) => {
        &[$($(Known {
            name: $name,
            on: $on,
            is_deprecated: false $(|| matches!(stringify!($mark).as_bytes(), b"deprecated"))*,
            is_alpha: true $(&& !matches!(stringify!($mark).as_bytes(), b"stable"))*,
        },)*)*]
    };
}

const KNOWN: &[Known] = known! {
    "Any": "galley.istio.io/analyze-suppress", "gateway.istio.io/controller-version",;
    "AuthorizationPolicy": "istio.io/dry-run",;
    "Gateway": "gateway.istio.io/name-override", "gateway.istio.io/service-account", "networking.istio.io/service-type",;
    "GatewayClass, Gateway": "ambient.istio.io/waypoint-inbound-binding",;
    "Ingress": "kubernetes.io/ingress.class" stable,;
    "Namespace": "topology.istio.io/controlPlaneClusters",;
    "Namespace, Service, ServiceEntry": "networking.istio.io/traffic-distribution", "istio.io/use-waypoint-canary-weight",;
    "Pod": "ambient.istio.io/bypass-inbound-capture", "ambient.istio.io/dns-capture",
        "ambient.istio.io/redirection" stable, "inject.istio.io/templates", "istio.io/reroute-virtual-interfaces",
        "istio.io/rev", "prometheus.istio.io/merge-metrics", "proxy.istio.io/config" stable, "proxy.istio.io/overrides",
        "readiness.status.sidecar.istio.io/applicationPorts", "readiness.status.sidecar.istio.io/failureThreshold",
        "readiness.status.sidecar.istio.io/initialDelaySeconds", "readiness.status.sidecar.istio.io/periodSeconds",
        "sidecar.istio.io/agentLogLevel", "sidecar.istio.io/bootstrapOverride", "sidecar.istio.io/componentLogLevel",
        "sidecar.istio.io/discoveryAddress" deprecated, "sidecar.istio.io/extraStatTags" deprecated,
        "sidecar.istio.io/inject" deprecated stable, "sidecar.istio.io/interceptionMode", "sidecar.istio.io/logLevel",
        "sidecar.istio.io/nativeSidecar", "sidecar.istio.io/proxyCPU", "sidecar.istio.io/proxyCPULimit",
        "sidecar.istio.io/proxyImage", "sidecar.istio.io/proxyImageType", "sidecar.istio.io/proxyMemory",
        "sidecar.istio.io/proxyMemoryLimit", "sidecar.istio.io/rewriteAppHTTPProbers",
        "sidecar.istio.io/statsCompression" deprecated, "sidecar.istio.io/statsEvictionInterval",
        "sidecar.istio.io/statsFlushInterval", "sidecar.istio.io/statsHistogramBins",
        "sidecar.istio.io/statsHistogramBuckets", "sidecar.istio.io/statsInclusionPrefixes" deprecated,
        "sidecar.istio.io/statsInclusionRegexps" deprecated, "sidecar.istio.io/statsInclusionSuffixes" deprecated,
        "sidecar.istio.io/status", "sidecar.istio.io/userVolume", "sidecar.istio.io/userVolumeMount",
        "status.sidecar.istio.io/port", "traffic.sidecar.istio.io/excludeInboundPorts",
        "traffic.sidecar.istio.io/excludeInterfaces", "traffic.sidecar.istio.io/excludeOutboundIPRanges",
        "traffic.sidecar.istio.io/excludeOutboundPorts", "traffic.sidecar.istio.io/includeInboundPorts",
        "traffic.sidecar.istio.io/includeOutboundIPRanges", "traffic.sidecar.istio.io/includeOutboundPorts",
        "traffic.sidecar.istio.io/kubevirtInterfaces" deprecated,;
    "Service": "alpha.istio.io/canonical-serviceaccounts" deprecated,
        "alpha.istio.io/kubernetes-serviceaccounts" deprecated, "networking.istio.io/exportTo",
        "traffic.istio.io/nodeSelector" stable,;
    "WorkloadEntry": "istio.io/autoRegistrationGroup", "istio.io/connectedAt", "istio.io/disconnectedAt",
        "istio.io/workloadController",;
};

/// Written by Istio itself.
const BY_ISTIO: [&str; 3] = ["sidecar.istio.io/status", "gateway.istio.io/controller-version", "istio.io/rev"];

/// Written by Istio's CNI plugin on pods that it prepares.
const BY_CNI: [&str; 4] = [
    "sidecar.istio.io/interceptionMode",
    "traffic.sidecar.istio.io/includeInboundPorts",
    "traffic.sidecar.istio.io/excludeInboundPorts",
    "traffic.sidecar.istio.io/includeOutboundIPRanges",
];

pub(crate) fn misplaced(objects: &Objects, found: &mut Findings) {
    for (object, name, value) in annotated(objects) {
        if BY_ISTIO.contains(&name) {
            continue;
        }
        let field = format!("metadata.annotations.{name}");
        let Some(known) = KNOWN.iter().find(|known| known.name == name) else {
            found.report(object, IST0108, field, format!("Istio has no annotation `{name}`"));
            continue;
        };
        let has_label = name == "sidecar.istio.io/inject" && object.label(name).is_some();
        if known.is_deprecated && !has_label {
            let instead = if name == "sidecar.istio.io/inject" { "; use the label of the same name" } else { "" };
            found.report(object, IST0135, &*field, format!("`{name}` is deprecated{instead}"));
        }
        if known.on != "Any" && !known.on.split(", ").any(|kind| kind == object.kind) {
            let message = format!("`{name}` does nothing on a {}; it belongs on {}", object.kind, known.on);
            found.report(object, IST0107, field, message);
        } else if let Some(problem) = invalid(name, value) {
            found.report(object, IST0125, field, format!("`{name}` {problem}, not \"{value}\""));
        }
    }
}

/// Not part of a usual analysis: nearly every annotation is alpha.
pub(crate) fn alpha(objects: &Objects, found: &mut Findings) {
    for (object, name, _) in annotated(objects) {
        let prepared = object.is(POD)
            && !list(&object.json, "spec.initContainers").iter().any(|init| text(init, "name") == "istio-init");
        let is_alpha = KNOWN.iter().any(|known| known.name == name && known.is_alpha);
        if is_alpha && !BY_ISTIO.contains(&name) && !(prepared && BY_CNI.contains(&name)) {
            let message = format!("`{name}` belongs to an alpha feature and may change or go");
            found.report(object, IST0136, format!("metadata.annotations.{name}"), message);
        }
    }
}

/// Annotations of Istio's, with their values.
fn annotated(objects: &Objects) -> impl Iterator<Item = (&Object, &str, &str)> {
    let of_kinds = [NAMESPACE, SERVICE, POD, DEPLOYMENT].into_iter().flat_map(|kind| objects.of(kind));
    of_kinds.flat_map(|object| {
        let annotations = object.json.get("metadata").and_then(|metadata| metadata.get("annotations"));
        let entries = annotations.and_then(serde_json::Value::as_object).into_iter().flatten();
        let ours = entries.filter(|(name, _)| {
            *name == "kubernetes.io/ingress.class"
                || name.split('/').next().is_some_and(|domain| domain.ends_with("istio.io"))
        });
        ours.map(move |(name, value)| (object, name.as_str(), value.as_str().unwrap_or_default()))
    })
}

/// What a value must be, when it is not that.
fn invalid(name: &str, value: &str) -> Option<&'static str> {
    let short = name.rsplit('/').next().unwrap_or_default();
    let (fits, what) = match short {
        "interceptionMode" => (["REDIRECT", "TPROXY", "NONE"].contains(&value), "is REDIRECT, TPROXY or NONE"),
        "port" => (is_port(value), "is a port"),
        "initialDelaySeconds" | "periodSeconds" | "failureThreshold" => {
            (value.parse::<u32>().is_ok(), "is a whole number")
        }
        "includeOutboundIPRanges" => (value == "*" || each(value, is_range), "is a list of ranges a.b.c.d/n, or *"),
        "excludeOutboundIPRanges" => (each(value, is_range), "is a list of ranges a.b.c.d/n"),
        "includeInboundPorts" => (value == "*" || each(value, is_port), "is a list of ports, or *"),
        "excludeInboundPorts" | "excludeOutboundPorts" => (each(value, is_port), "is a list of ports"),
        "merge-metrics" => {
            (["1", "t", "true", "0", "f", "false"].contains(&&*value.to_lowercase()), "is true or false")
        }
        "proxyCPU" | "proxyCPULimit" | "proxyMemory" | "proxyMemoryLimit" => (is_quantity(value), "is a quantity"),
        _ => return None,
    };
    (!fits).then_some(what)
}

fn each(value: &str, fits: fn(&str) -> bool) -> bool {
    value.is_empty() || value.split(',').all(|part| fits(part.trim()))
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok()
}

fn is_range(text: &str) -> bool {
    text.split_once('/').is_some_and(|(address, bits)| {
        let most = match address.parse::<IpAddr>() {
            Ok(IpAddr::V4(_)) => 32,
            Ok(IpAddr::V6(_)) => 128,
            Err(_) => return false,
        };
        bits.parse::<u8>().is_ok_and(|bits| bits <= most)
    })
}

/// `100m`, `1.5Gi`, `1e3` (Kubernetes, "Quantity").
fn is_quantity(text: &str) -> bool {
    const SUFFIXES: [&str; 14] = ["", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti"];
    let number = text.trim_end_matches(|char: char| char.is_ascii_alphabetic());
    number.parse::<f64>().is_ok() && text.get(number.len()..).is_some_and(|suffix| SUFFIXES.contains(&suffix))
        || text.parse::<f64>().is_ok()
}
