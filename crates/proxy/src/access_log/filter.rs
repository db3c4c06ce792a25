use leno_ir::{AccessLogFilter, metadata_value};
use leno_routing::{HeaderView, header_matches};

use crate::exchange::{Exchange, HeaderLookup};

/// Whether an exchange is logged. `random` decides about shares.
pub(super) fn holds(
    filter: &AccessLogFilter,
    exchange: &Exchange,
    request: &dyn HeaderLookup,
    random: &mut dyn FnMut() -> u64,
) -> bool {
    match filter {
        AccessLogFilter::All(filters) => filters.iter().all(|filter| holds(filter, exchange, request, random)),
        AccessLogFilter::Any(filters) => filters.iter().any(|filter| holds(filter, exchange, request, random)),
        AccessLogFilter::Duration(comparison) => {
            comparison.holds(u64::try_from(exchange.duration.as_millis()).unwrap_or(u64::MAX))
        }
        AccessLogFilter::GrpcStatus { codes, exclude } => {
            // As in Envoy: a status that was never sent follows from that of HTTP.
            let status = exchange.grpc_status.unwrap_or_else(|| crate::http::grpc_status_of(exchange.status));
            codes.contains(&status) != *exclude
        }
        AccessLogFilter::Header(matches) => header_matches(matches, &Head(request)),
        AccessLogFilter::Metadata { matcher, default } => match matcher {
            None => *default,
            Some(matcher) => match metadata_value(&exchange.metadata, &matcher.filter, &matcher.path) {
                None => *default,
                value => matcher.value.is_match(value),
            },
        },
        AccessLogFilter::NotHealthCheck => !exchange.is_health_check,
        AccessLogFilter::ResponseFlag(names) if names.is_empty() => !exchange.flags.is_empty(),
        AccessLogFilter::ResponseFlag(names) => {
            exchange.flags.short_names().any(|set| names.iter().any(|name| name == set))
        }
        AccessLogFilter::Share(share) => random() % 1_000_000 < u64::from(share.parts_per_million()),
        AccessLogFilter::StatusCode(comparison) => comparison.holds(exchange.status.into()),
    }
}

struct Head<'a>(&'a dyn HeaderLookup);

impl HeaderView for Head<'_> {
    fn header_values<'a>(&'a self, lower_case_name: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a {
        self.0.header(lower_case_name).into_iter()
    }

    fn pseudo_header(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.0.header(name)?).ok()
    }
}
