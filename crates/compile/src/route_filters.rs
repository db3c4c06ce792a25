//! What routes ask of filters: faults and CORS, and the filters that listeners need for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use leno_ir::{
    CorsPolicy, Fault, FaultAbort, FaultAbortKind, FaultDelay, FaultDelayKind, FilterOverride, FilterOverrides,
    HttpFilter, HttpFilterConfig, Listener, NetworkFilter, RouteFilterConfig, RouteSource, RouteTable, StatefulSession,
    StringMatch,
};
use leno_model::api::{self, HttpFault, HttpRoute, Percent, grpc_status};
use leno_names::Fraction;

use crate::virtual_service::string_match;

/// Envoy's names, in the order of the chain.
pub(crate) const FAULT: &str = "envoy.filters.http.fault";
pub(crate) const STATEFUL_SESSION: &str = "envoy.filters.http.stateful_session";
pub(crate) const CORS: &str = "envoy.filters.http.cors";

/// What a route of a VirtualService says about filters.
pub(crate) fn compile(route: &HttpRoute) -> FilterOverrides {
    let fault = route.fault.as_ref().map(fault).map(|fault| (FAULT, RouteFilterConfig::Fault(Box::new(fault))));
    let cors = route.cors_policy.as_ref().map(|policy| (CORS, RouteFilterConfig::Cors(cors(policy))));
    fault.into_iter().chain(cors).map(|(name, config)| (name.to_owned(), FilterOverride::Config(config))).collect()
}

fn fault(written: &HttpFault) -> Fault {
    let delay = written.delay.as_ref().and_then(|delay| {
        let old = delay.percent.map(|percent| Percent { value: f64::from(percent) });
        let share = share(delay.percentage.as_ref().or(old.as_ref()));
        Some(FaultDelay { kind: FaultDelayKind::Fixed(delay.fixed_delay?.0), share })
    });
    let abort = written.abort.as_ref().and_then(|abort| {
        let kind = match (abort.http_status, &abort.grpc_status) {
            (Some(status), _) => FaultAbortKind::Http(status),
            (None, Some(name)) => FaultAbortKind::Grpc(grpc_status(name)?),
            (None, None) => return None,
        };
        Some(FaultAbort { kind, share: share(abort.percentage.as_ref()), body: String::new() })
    });
    Fault { delay, abort, ..Fault::default() }
}

/// Istio: who says no percentage means nobody.
fn share(percent: Option<&Percent>) -> Fraction {
    percent.and_then(|percent| Fraction::from_percent_f64(percent.value).ok()).unwrap_or(Fraction::ZERO)
}

fn cors(written: &api::CorsPolicy) -> CorsPolicy {
    // One without a condition allows any origin.
    let any = || StringMatch::prefix("");
    let origins = written.allow_origins.iter().filter_map(|text| Some(string_match(text)?.unwrap_or_else(any)));
    let older =
        written.allow_origin.iter().map(|origin| if origin == "*" { any() } else { StringMatch::exact(origin) });
    CorsPolicy {
        allow_origins: if written.allow_origins.is_empty() { older.collect() } else { origins.collect() },
        allow_methods: written.allow_methods.join(","),
        allow_headers: written.allow_headers.join(","),
        expose_headers: written.expose_headers.join(","),
        max_age: written.max_age.map(|age| age.0.as_secs().to_string()).unwrap_or_default(),
        allow_credentials: written.allow_credentials,
        forward_not_matching_preflights: Some(written.unmatched_preflights.as_deref() != Some("IGNORE")),
        ..CorsPolicy::default()
    }
}

/// Gives a listener the filters that its routes speak of, and only those: a filter costs every request something.
pub(crate) fn add(listener: &mut Listener, tables: &BTreeMap<String, Arc<RouteTable>>) {
    let chains = listener.filter_chains.iter_mut().chain(&mut listener.default_filter_chain);
    for chain in chains {
        let NetworkFilter::Http(manager) = &mut chain.filter else { continue };
        let RouteSource::Rds(name) = &manager.routes else { continue };
        let Some(table) = tables.get(name) else { continue };
        let routes = || table.virtual_hosts.iter().flat_map(|host| &host.routes);
        let no_session =
            StatefulSession { state: None, strict: false, missing_status: None, stat_prefix: String::new() };
        let known = [
            (FAULT, HttpFilterConfig::Fault(Box::default())),
            (CORS, HttpFilterConfig::Cors),
            (STATEFUL_SESSION, HttpFilterConfig::StatefulSession(Box::new(no_session))),
        ];
        for (name, config) in known {
            if routes().any(|route| route.filters.contains_key(name)) {
                manager.filters.push(HttpFilter { name: name.to_owned(), disabled: false, config });
            }
        }
    }
}
