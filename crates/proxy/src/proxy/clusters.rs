use std::sync::Arc;

use leno_ir::Config;

use super::{Rejection, ResourceType};
use crate::check;
use crate::tls::TlsContexts;

/// The configuration with the clusters that can be used: in the place of one that cannot its last good version, or nothing.
pub(super) fn usable(config: Arc<Config>, running: &Config, contexts: &TlsContexts) -> (Arc<Config>, Vec<Rejection>) {
    let wrong = config.clusters.iter().filter_map(|(name, cluster)| {
        let problems = check::cluster_problems(cluster, contexts);
        (!problems.is_empty()).then(|| (name.clone(), check::describe(&problems)))
    });
    let wrong: Vec<_> = wrong.collect();
    if wrong.is_empty() {
        return (config, Vec::new());
    }
    let mut usable = Config::clone(&config);
    let mut rejections = Vec::with_capacity(wrong.len());
    for (name, reason) in wrong {
        match running.clusters.get(&name) {
            Some(last_good) => usable.clusters.insert(name.clone(), last_good.clone()),
            None => usable.clusters.remove(&name),
        };
        rejections.push(Rejection { resource_type: ResourceType::Cluster, name, reason });
    }
    (Arc::new(usable), rejections)
}
