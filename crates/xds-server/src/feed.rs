use std::sync::Arc;

use leno_ir::{Config, Flavor, ResourceChange, Resources};
use leno_xds::ResourceKind::{Cluster, Endpoints, Listener, RouteTable, Secret};
use leno_xds::{Resource, ResourceKind, encode_identity_secret, encode_roots_secret};

use crate::cache::EncodingCache;
use crate::{Secrets, protocol::Protocol};

/// Turns each new configuration of a node into changes of resources.
///
/// Cost: only what changed is looked at, where a configuration was made of the last one.
#[derive(Debug)]
pub(crate) struct Feed {
    cache: Arc<EncodingCache>,
    flavor: Flavor,
    last: Arc<Config>,
}

impl Feed {
    pub(crate) fn new(cache: Arc<EncodingCache>, flavor: Flavor) -> Self {
        Self { cache, flavor, last: Arc::default() }
    }

    pub(crate) fn apply<P: Protocol>(&mut self, config: Arc<Config>, server: &mut P) {
        let old = std::mem::replace(&mut self.last, config);
        let (new, cache, flavor) = (&self.last, &self.cache, self.flavor);
        changes(Cluster, &old.clusters, &new.clusters, server, |value| cache.cluster(value, flavor));
        changes(Endpoints, &old.endpoints, &new.endpoints, server, |value| cache.endpoints(value, flavor));
        changes(Listener, &old.listeners, &new.listeners, server, |value| cache.listener(value, flavor));
        changes(RouteTable, &old.route_tables, &new.route_tables, server, |value| cache.route_table(value, flavor));
    }
}

fn changes<T, P: Protocol>(
    kind: ResourceKind,
    old: &Resources<T>,
    new: &Resources<T>,
    server: &mut P,
    encode: impl Fn(&Arc<T>) -> Arc<Resource>,
) {
    for change in new.changes_since(old) {
        match change {
            ResourceChange::Removed(name) => server.remove(kind, name),
            ResourceChange::Set(_, value) => server.set(kind, encode(value)),
        }
    }
}

/// Secrets differ per stream, so they are encoded for each.
pub(crate) fn apply_secrets<P: Protocol>(secrets: &Secrets, server: &mut P) {
    let identity = encode_identity_secret(&secrets.chain_pem, secrets.key_pem.expose());
    let roots = encode_roots_secret(&secrets.roots_pem);
    server.set(Secret, Arc::new(identity));
    server.set(Secret, Arc::new(roots));
}
