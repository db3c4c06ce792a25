//! EnvoyFilters on what a node runs.
//!
//! Shape       n EnvoyFilters of a node -> n patches -> the resources that each means
//! Invariants  a patch that cannot be made leaves the resource as it is; the others are made
//! Errors      problems name the patch and the field of its value
//! Cost        nothing for nodes that no EnvoyFilter means; else the descriptors of Envoy's API and each resource that is meant
//! Source      Istio EnvoyFilter. Ours: listeners of ours have names of their own; `virtualInbound` and `virtualOutbound` mean
//!             all of a direction

mod matching;

use std::sync::Arc;

use leno_api::{EnvoyPart, EnvoyPatch, Kind, PatchOperation as Written, ResourceKey};
use leno_ir::{Config, Direction, Node};
use leno_model::{Client, Problem, Snapshot};
use leno_xds::{Patch, PatchOperation, PatchPart, PatchProblem, Patcher};

use self::matching::{Meant, means_cluster, means_listener, means_table};

/// As [`leno_compile::Finisher`].
pub(crate) fn apply(snapshot: &Snapshot, node: &Node, config: &mut Config) -> Vec<Problem> {
    let filters = snapshot.envoy_filters_of(Client { namespace: &node.namespace, labels: &node.labels });
    if filters.is_empty() {
        return Vec::new();
    }
    let mut applying = Applying { node, config, patcher: Patcher::new(), problems: Vec::new() };
    for filter in filters {
        let key = ResourceKey::new(Kind::EnvoyFilter, filter.metadata.namespace(), &filter.metadata.name);
        for (index, patch) in filter.spec.config_patches.iter().enumerate() {
            applying.patch(&key, index, patch);
        }
    }
    applying.problems
}

struct Applying<'a> {
    node: &'a Node,
    config: &'a mut Config,
    patcher: Patcher,
    problems: Vec<Problem>,
}

impl Applying<'_> {
    fn patch(&mut self, key: &ResourceKey, index: usize, written: &EnvoyPatch) {
        let at = format!("spec.configPatches[{index}]");
        let (Some(part), Some(operation)) = (part(written), operation(written)) else {
            let message = "not supported yet: this part, or this operation; the patch has no effect";
            return self.problems.push(Problem::warning(key, at, "not_supported_yet", message));
        };
        if written.r#match.proxy.is_some() || written.r#match.waypoint.is_some() {
            return;
        }
        let value = written.patch.value.clone().unwrap_or_default();
        let patch = Patch { part, operation, value: &value };
        let found = match written.apply_to {
            Some(EnvoyPart::Cluster) => self.clusters(written, patch),
            Some(EnvoyPart::HttpRoute | EnvoyPart::RouteConfiguration | EnvoyPart::VirtualHost) => {
                self.tables(written, patch)
            }
            _ => self.listeners(written, patch),
        };
        for PatchProblem { field, reason } in found {
            let field = if field.is_empty() { String::new() } else { format!(".{field}") };
            let message = format!("{reason}; the patch is not made");
            self.problems.push(Problem::error(key, format!("{at}.patch.value{field}"), "patch_refused", message));
        }
    }

    /// Whether the patch is for any side of the node.
    fn is_meant(&self, written: &EnvoyPatch) -> bool {
        [Direction::Inbound, Direction::Outbound].into_iter().any(|side| Meant::of(written).is_met_by(self.node, side))
    }

    fn listeners(&mut self, written: &EnvoyPatch, patch: Patch<'_>) -> Vec<PatchProblem> {
        let (is_whole, mut found) = (patch.part == PatchPart::Whole, Vec::new());
        if is_whole && patch.operation == PatchOperation::Add {
            if self.is_meant(written) {
                match self.patcher.new_listener(patch.value) {
                    Ok(listener) => drop(self.config.listeners.insert(listener.name.clone(), Arc::new(listener))),
                    Err(problems) => found.extend(problems),
                }
            }
            return found;
        }
        let is_meant = |listener: &leno_ir::Listener| means_listener(written, self.node, listener);
        if is_whole && patch.operation == PatchOperation::Remove {
            self.config.listeners.retain(|_, listener| !is_meant(listener));
            return found;
        }
        let patcher = &mut self.patcher;
        self.config.listeners.edit(|listener| {
            if !is_meant(listener) {
                return;
            }
            match patcher.listener(listener, patch) {
                Ok(Some(changed)) if changed.name != listener.name => found.push(renamed()),
                Ok(Some(changed)) => *listener = Arc::new(changed),
                Ok(None) => {}
                Err(problems) => found.extend(problems),
            }
        });
        distinct(found)
    }

    /// Also those that are a part of inbound listeners.
    fn tables(&mut self, written: &EnvoyPatch, patch: Patch<'_>) -> Vec<PatchProblem> {
        let mut found = Vec::new();
        let (node, patcher) = (self.node, &mut self.patcher);
        self.config.route_tables.edit(|table| {
            if !means_table(written, node, &table.name, Direction::Outbound) {
                return;
            }
            match patcher.route_table(table, patch) {
                Ok(Some(changed)) if changed.name != table.name => found.push(renamed()),
                Ok(Some(changed)) => *table = Arc::new(changed),
                Ok(None) => {}
                Err(problems) => found.extend(problems),
            }
        });
        self.config.listeners.edit(|listener| {
            let is_inbound = listener.direction == Direction::Inbound;
            // Whole tables there are no resources of their own.
            let is_meant = is_inbound && means_table(written, node, &listener.name, Direction::Inbound);
            if !is_meant || patch.part == PatchPart::Whole {
                return;
            }
            match patcher.listener(listener, patch) {
                Ok(Some(changed)) if changed.name != listener.name => found.push(renamed()),
                Ok(Some(changed)) => *listener = Arc::new(changed),
                Ok(None) => {}
                Err(problems) => found.extend(problems),
            }
        });
        distinct(found)
    }

    fn clusters(&mut self, written: &EnvoyPatch, patch: Patch<'_>) -> Vec<PatchProblem> {
        let mut found = Vec::new();
        match patch.operation {
            PatchOperation::Add if !self.is_meant(written) => {}
            PatchOperation::Add => match self.patcher.new_cluster(patch.value) {
                Ok(cluster) => drop(self.config.clusters.insert(cluster.name.clone(), Arc::new(cluster))),
                Err(problems) => found.extend(problems),
            },
            PatchOperation::Remove => {
                let node = self.node;
                self.config.clusters.retain(|name, _| !means_cluster(written, node, name));
            }
            _ => {
                let (node, patcher) = (self.node, &mut self.patcher);
                self.config.clusters.edit(|cluster| {
                    if !means_cluster(written, node, &cluster.name) {
                        return;
                    }
                    match patcher.cluster(cluster, patch) {
                        Ok(Some(changed)) if changed.name != cluster.name => found.push(renamed()),
                        Ok(Some(changed)) => *cluster = Arc::new(changed),
                        Ok(None) => {}
                        Err(problems) => found.extend(problems),
                    }
                });
            }
        }
        distinct(found)
    }
}

/// Others refer to a resource by its name.
fn renamed() -> PatchProblem {
    PatchProblem { field: "name".to_owned(), reason: "a resource keeps its name".to_owned() }
}

/// What is wrong with a value is wrong with it everywhere.
fn distinct(mut found: Vec<PatchProblem>) -> Vec<PatchProblem> {
    found.dedup();
    found
}

fn part(written: &EnvoyPatch) -> Option<PatchPart<'_>> {
    let chain = written.r#match.listener.as_ref().and_then(|listener| listener.filter_chain.as_ref());
    let filter = chain.and_then(|chain| chain.filter.as_ref());
    let host = written.r#match.route_configuration.as_ref().and_then(|table| table.vhost.as_ref());
    let host_name = host.and_then(|host| host.name.as_deref());
    Some(match written.apply_to? {
        EnvoyPart::Cluster | EnvoyPart::Listener | EnvoyPart::RouteConfiguration => PatchPart::Whole,
        EnvoyPart::FilterChain => PatchPart::FilterChain {
            name: chain.and_then(|chain| chain.name.as_deref()),
            server_name: chain.and_then(|chain| chain.sni.as_deref()),
        },
        EnvoyPart::HttpFilter => PatchPart::HttpFilter {
            name: filter.and_then(|filter| filter.sub_filter.as_ref()).and_then(|sub| sub.name.as_deref()),
        },
        EnvoyPart::HttpRoute => PatchPart::Route {
            host: host_name,
            name: host.and_then(|host| host.route.as_ref()).and_then(|route| route.name.as_deref()),
        },
        EnvoyPart::NetworkFilter => PatchPart::NetworkFilter { name: filter.and_then(|filter| filter.name.as_deref()) },
        EnvoyPart::VirtualHost => {
            PatchPart::VirtualHost { name: host_name, domain: host.and_then(|host| host.domain_name.as_deref()) }
        }
        EnvoyPart::Bootstrap | EnvoyPart::ExtensionConfig | EnvoyPart::Invalid | EnvoyPart::ListenerFilter => {
            return None;
        }
    })
}

fn operation(written: &EnvoyPatch) -> Option<PatchOperation> {
    Some(match written.patch.operation? {
        Written::Add => PatchOperation::Add,
        Written::InsertAfter => PatchOperation::InsertAfter,
        Written::InsertBefore => PatchOperation::InsertBefore,
        Written::InsertFirst => PatchOperation::InsertFirst,
        Written::Merge => PatchOperation::Merge,
        Written::Remove => PatchOperation::Remove,
        Written::Replace => PatchOperation::Replace,
        Written::Invalid | Written::MergeAndReplaceList => return None,
    })
}
