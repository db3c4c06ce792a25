//! Webhooks that bring sidecars, and those of a control plane elsewhere.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::Value;

use crate::Object;
use crate::codes::{IST0139, IST0163, IST0164};
use crate::finding::Findings;
use crate::json::{Labels, at, list, text, texts};
use crate::kinds::{MUTATING_WEBHOOK, SERVICE, VALIDATING_WEBHOOK};
use crate::objects::Objects;
use crate::selector::label_selector;

const REVISION: &str = "istio.io/rev";

/// Injectors that would both take a pod, and those that call nobody.
pub(crate) fn injectors(objects: &Objects, found: &mut Findings) {
    let ours = |configuration: &&Object| {
        !revisions(configuration).is_empty()
            || list(&configuration.json, "webhooks").iter().any(|hook| text(hook, "name").ends_with("istio.io"))
    };
    let configurations: Vec<_> = objects.of(MUTATING_WEBHOOK).filter(ours).collect();
    let hooks: Vec<_> = configurations
        .iter()
        .flat_map(|configuration| {
            let hooks = list(&configuration.json, "webhooks").iter().enumerate();
            hooks.map(move |(index, hook)| (*configuration, index, hook))
        })
        .collect();
    let revisions: BTreeSet<_> = configurations.iter().flat_map(|configuration| revisions(configuration)).collect();
    // Who is taken together with whom, told once each.
    let mut overlaps = BTreeSet::new();
    for namespace in label_sets("istio-injection", ["enabled", "disabled"], &revisions) {
        for pod in label_sets("sidecar.istio.io/inject", ["true", "false"], &revisions) {
            let taking = |(_, _, hook): &&(&Object, usize, &Value)| {
                label_selector(at(hook, "namespaceSelector"), &namespace)
                    && label_selector(at(hook, "objectSelector"), &pod)
            };
            let taking: BTreeSet<_> =
                hooks.iter().filter(taking).map(|(of, index, hook)| (of.index, *index, text(hook, "name"))).collect();
            if taking.len() > 1 {
                overlaps.extend(taking.iter().map(|one| {
                    let others: Vec<_> = taking.iter().filter(|other| *other != one).cloned().collect();
                    (*one, others)
                }));
            }
        }
    }
    for ((object, index, _), others) in overlaps {
        let Some(configuration) = objects.object(object) else { continue };
        let names: Vec<_> =
            others.iter().filter_map(|(of, _, name)| Some(format!("{}/{name}", objects.object(*of)?.name))).collect();
        let message = format!("{} may take the same pods, which would get two sidecars", names.join(", "));
        found.report(configuration, IST0139, format!("webhooks[{index}]"), message);
    }
    for (configuration, index, hook) in hooks {
        let service = at(hook, "clientConfig.service");
        let [namespace, name] = ["namespace", "name"].map(|field| text(service, field));
        if !service.is_null() && objects.find(SERVICE, namespace, name).is_none() {
            let message = format!("it calls the service {namespace}/{name}, which does not exist");
            found.report(configuration, IST0139, format!("webhooks[{index}].clientConfig.service"), message);
        }
    }
}

/// Labels that decide about injection, in every combination.
fn label_sets(name: &str, values: [&str; 2], revisions: &BTreeSet<String>) -> Vec<Labels> {
    let plain = std::iter::once(None).chain(values.map(Some));
    let mut sets = Vec::new();
    for value in plain {
        let base: Labels = value.map(|value| (name.to_owned(), value.to_owned())).into_iter().collect();
        sets.extend(revisions.iter().map(|revision| {
            let mut with = base.clone();
            with.insert(REVISION.to_owned(), revision.clone());
            with
        }));
        sets.push(base);
    }
    sets
}

fn revisions(configuration: &Object) -> BTreeSet<String> {
    let mut all: BTreeSet<String> = configuration.label(REVISION).map(str::to_owned).into_iter().collect();
    for hook in list(&configuration.json, "webhooks") {
        for selector in ["namespaceSelector", "objectSelector"].map(|field| at(hook, field)) {
            let exact = selector.get("matchLabels").and_then(|labels| labels.get(REVISION)).and_then(Value::as_str);
            all.extend(exact.map(str::to_owned));
            let listed = list(selector, "matchExpressions").iter().filter(|one| text(one, "key") == REVISION);
            all.extend(listed.flat_map(|one| texts(one, "values")).map(str::to_owned));
        }
    }
    all
}

/// A control plane outside the cluster is called by URL.
pub(crate) fn external(objects: &Objects, found: &mut Findings) {
    let validating = objects
        .of(VALIDATING_WEBHOOK)
        .filter(|hooks| hooks.name == "istiod-default-validator" || hooks.name.starts_with("istio-validator"));
    let mutating = objects.of(MUTATING_WEBHOOK).filter(|hooks| hooks.name.starts_with("istio-sidecar-injector"));
    for configuration in validating.chain(mutating) {
        for (index, hook) in list(&configuration.json, "webhooks").iter().enumerate() {
            let field = format!("webhooks[{index}].clientConfig");
            match text(hook, "clientConfig.url") {
                "" if at(hook, "clientConfig.service").is_null() => {
                    let message = format!("{} says neither by URL nor by service whom it calls", text(hook, "name"));
                    found.report(configuration, IST0163, field, message);
                }
                "" => {}
                url => match host(url) {
                    None => {
                        let message = format!("`{url}` is no URL");
                        found.report(configuration, IST0163, format!("{field}.url"), message);
                    }
                    Some(host) if host.parse::<IpAddr>().is_ok() => {
                        let message = format!("it calls {host} by address, which cannot move; use a name");
                        found.report(configuration, IST0164, format!("{field}.url"), message);
                    }
                    Some(_) => {}
                },
            }
        }
    }
}

/// The host of a URL, without brackets.
fn host(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let authority = authority.rsplit('@').next()?;
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        None => authority.split(':').next()?,
    };
    (!host.is_empty() && !host.contains(char::is_whitespace)).then_some(host)
}
