//! What can be said of a listener or a cluster before it runs, beyond what its fields say: files, certificates.

use leno_ir::{Cluster, FilterChain, Listener, NetworkFilter, RouteTable, UpstreamTls};

use crate::http::{HeaderFormats, Replies};
use crate::tcp::TunnelRequest;
use crate::tls::{ReadSecret, TlsContexts};

/// A field that cannot be served as it says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FieldProblem {
    /// In the resource, as Envoy's API spells it.
    pub field: String,
    pub reason: String,
}

/// What is wrong with the certificates and the header values of a listener.
pub fn check_listener(listener: &Listener, read_secret: Option<ReadSecret>) -> Vec<FieldProblem> {
    listener_problems(listener, &TlsContexts::new(read_secret))
}

/// What is wrong with the certificates of a cluster.
pub fn check_cluster(cluster: &Cluster, read_secret: Option<ReadSecret>) -> Vec<FieldProblem> {
    cluster_problems(cluster, &TlsContexts::new(read_secret))
}

/// As [`check_listener`]; the contexts that are made stay in `contexts`.
pub(crate) fn listener_problems(listener: &Listener, contexts: &TlsContexts) -> Vec<FieldProblem> {
    let chains = listener.filter_chains.iter().enumerate();
    let chains = chains.map(|(index, chain)| (format!("filter_chains[{index}]"), chain));
    let default = listener.default_filter_chain.iter().map(|chain| ("default_filter_chain".to_owned(), chain));
    let problems = |(path, chain): (String, &FilterChain)| {
        let found = chain.tls.as_ref().and_then(|tls| contexts.server(tls).err()).unwrap_or_default();
        found.into_iter().map(move |(field, reason)| FieldProblem {
            field: format!("{path}.transport_socket.typed_config.{field}"),
            reason,
        })
    };
    let formats = chains.clone().chain(default.clone()).filter_map(|(path, chain)| {
        let http = match &chain.filter {
            NetworkFilter::Http(http) => http,
            NetworkFilter::Tcp(tcp) => {
                let reason = TunnelRequest::check(tcp.tunneling.as_deref()?).err()?.to_string();
                let field = format!("{path}.filters[{}].typed_config.tunneling_config", chain.connection_filters.len());
                return Some(FieldProblem { field, reason });
            }
        };
        let of_upgrades = http.upgrades.iter().enumerate().filter_map(|(index, upgrade)| {
            Some((format!("upgrade_configs[{index}].filters"), &upgrade.filters.as_ref()?.filters))
        });
        let of_filters =
            [("http_filters".to_owned(), &http.filters)].into_iter().chain(of_upgrades).find_map(|(field, filters)| {
                let wrong = |filter| Some(HeaderFormats::check_filter(filter).err()?.to_string());
                let (index, reason) =
                    filters.iter().enumerate().find_map(|(index, filter)| Some((index, wrong(filter)?)))?;
                Some((format!("{field}[{index}]"), reason))
            });
        let of_routes =
            || http.routes.inline().into_iter().find_map(|(field, table)| Some((field, table_problem(table)?)));
        let of_replies = || {
            let reason = Replies::check(&http.local_replies).err()?.to_string();
            Some(("local_reply_config".to_owned(), reason))
        };
        let (field, reason) = of_filters.or_else(of_routes).or_else(of_replies)?;
        Some(FieldProblem {
            field: format!("{path}.filters[{}].typed_config.{field}", chain.connection_filters.len()),
            reason,
        })
    });
    let formats: Vec<_> = formats.collect();
    chains.chain(default).flat_map(problems).chain(formats).collect()
}

/// What is wrong with the header values of a route table.
pub(crate) fn table_problem(table: &RouteTable) -> Option<String> {
    HeaderFormats::check(table).err().map(|error| error.to_string())
}

pub(crate) fn cluster_problems(cluster: &Cluster, contexts: &TlsContexts) -> Vec<FieldProblem> {
    let own = (String::new(), cluster.tls.as_ref());
    let matches = cluster.socket_matches.iter().enumerate();
    let matches = matches.map(|(index, one)| (format!("transport_socket_matches[{index}]."), one.tls.as_ref()));
    let checks_names = cluster.http.server_name.as_ref().is_some_and(|name| name.is_checked);
    let problems = |(place, tls): (String, Option<&UpstreamTls>)| {
        let found = match tls.map(|tls| contexts.client(tls)) {
            // Who a peer of the mesh must be is in its SPIFFE ID.
            Some(Ok(None)) if checks_names => {
                let reason = "has validation by the mesh's own roots, which auto_san_validation does not go with";
                vec![("common_tls_context".to_owned(), reason.to_owned())]
            }
            Some(Ok(_)) | None => Vec::new(),
            Some(Err(problems)) => problems,
        };
        let field = move |field| format!("{place}transport_socket.typed_config.{field}");
        found.into_iter().map(move |(inner, reason)| FieldProblem { field: field(inner), reason })
    };
    std::iter::once(own).chain(matches).flat_map(problems).collect()
}

/// All of them in one line.
pub(crate) fn describe(problems: &[FieldProblem]) -> String {
    let lines: Vec<_> = problems.iter().map(|problem| format!("{}: {}", problem.field, problem.reason)).collect();
    lines.join("; ")
}
