use std::collections::BTreeSet;

use leno_ir::{Listener, NetworkFilter, RouteAction, RouteTable};

use crate::codec::DecodeError;

/// What Envoy asks of a route table beyond its fields.
pub(crate) fn table_problems(table: &RouteTable) -> Vec<DecodeError> {
    let mut problems = Vec::new();
    let mut domains = BTreeSet::new();
    for (host_index, host) in table.virtual_hosts.iter().enumerate() {
        for domain in host.domains.iter().map(|domain| domain.to_ascii_lowercase()) {
            let reason = format!("{domain} is twice in this table");
            if !domains.insert(domain) {
                problems.push(DecodeError { field: format!("virtual_hosts[{host_index}].domains"), reason });
            }
        }
        for (index, route) in host.routes.iter().enumerate() {
            let RouteAction::Forward(forward) = &route.action else { continue };
            let weight: u64 = forward.clusters.iter().map(|cluster| u64::from(cluster.weight)).sum();
            if weight == 0 || weight > u64::from(u32::MAX) {
                let field = format!("virtual_hosts[{host_index}].routes[{index}].route.weighted_clusters");
                let reason = format!("the weights add up to {weight}, which is not from 1 to {}", u32::MAX);
                problems.push(DecodeError { field, reason });
            }
        }
    }
    problems
}

/// The same of the tables that a listener brings.
pub(crate) fn listener_problems(listener: &Listener) -> Vec<DecodeError> {
    let chains = listener.filter_chains.iter().enumerate();
    let chains = chains.map(|(index, chain)| (format!("filter_chains[{index}]"), chain));
    let default = listener.default_filter_chain.iter().map(|chain| ("default_filter_chain".to_owned(), chain));
    let of_chain = |(path, chain): (String, &leno_ir::FilterChain)| {
        let NetworkFilter::Http(manager) = &chain.filter else { return Vec::new() };
        let path = format!("{path}.filters[{}].typed_config", chain.connection_filters.len());
        let of_table = |(field, table): (String, &RouteTable)| {
            table_problems(table).into_iter().map(move |problem| (field.clone(), problem)).collect::<Vec<_>>()
        };
        let problems = manager.routes.inline().into_iter().map(|(field, table)| (field, &**table)).flat_map(of_table);
        let placed = |(field, DecodeError { field: inner, reason }): (String, DecodeError)| DecodeError {
            field: format!("{path}.{field}.{inner}"),
            reason,
        };
        problems.map(placed).collect()
    };
    chains.chain(default).flat_map(of_chain).collect()
}
