//! What tables, hosts, routes and clusters do to headers: in which order, and with which values.
//!
//! Cost        literal values: none beyond the edit; values with operators: one look-up by their text, and a reused buffer
//! Source      Envoy `request_headers_to_add` and its like, command operators

use std::collections::HashMap;

use leno_ir::{
    FilterOverride, HeaderAppend, HeaderOps, HeaderOrder, HeaderValue, HttpFilter, Route, RouteAction,
    RouteFilterConfig, RouteTable, WeightedCluster,
};
use leno_telemetry::access_log::{FormatError, Program};

use super::head::{RequestHead, ResponseHead};
use super::headers::Headers;
use crate::access_log::LineValues;
use crate::connection::Connection;
use crate::exchange::{Exchange, NoHeaders};
use crate::tls::noted;

/// The values of a table that have operators, by their text.
#[derive(Debug, Default)]
pub(crate) struct HeaderFormats(HashMap<Box<str>, Program>);

/// The operations of all levels that concern one message, in the order in which they happen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Levels<'t> {
    levels: [Option<&'t HeaderOps>; 4],
    formats: Option<&'t HeaderFormats>,
}

/// The operations of one filter.
#[derive(Debug)]
pub(crate) struct HeaderEdits {
    ops: HeaderOps,
    formats: HeaderFormats,
}

impl HeaderEdits {
    pub(crate) fn new(ops: &HeaderOps) -> Self {
        Self { formats: HeaderFormats::of(ops.add.iter()), ops: ops.clone() }
    }

    /// # Errors
    /// Names the operator that is not understood.
    pub(crate) fn check(ops: &HeaderOps) -> Result<(), FormatError> {
        check(ops.add.iter())
    }

    pub(crate) fn apply_to_request(&self, request: &mut RequestHead, exchange: &Exchange, connection: &Connection) {
        let response = &NoHeaders;
        self.levels().apply(
            request,
            |request| &mut request.headers,
            |request, program, out| {
                program.write_value(&LineValues { exchange, connection, request, response }, out);
            },
        );
    }

    pub(crate) fn apply_to_response(
        &self,
        response: &mut ResponseHead,
        request: &RequestHead,
        exchange: &Exchange,
        connection: &Connection,
    ) {
        self.levels().apply(
            response,
            |response| &mut response.headers,
            |response, program, out| {
                program.write_value(&LineValues { exchange, connection, request, response }, out);
            },
        );
    }

    fn levels(&self) -> Levels<'_> {
        Levels::new([&self.ops], HeaderOrder::default(), &self.formats)
    }
}

impl HeaderFormats {
    /// Values that are not understood are left out; [`HeaderFormats::check`] tells beforehand.
    pub(crate) fn new(table: &RouteTable) -> Self {
        Self::of(values(table))
    }

    fn of<'v>(values: impl Iterator<Item = &'v HeaderValue>) -> Self {
        let formats = values.filter(|value| value.is_format());
        let formats = formats
            .filter_map(|value| Some((value.value.as_str().into(), Program::value(&value.value).map(noted).ok()?)));
        Self(formats.collect())
    }

    /// # Errors
    /// Names the operator that is not understood.
    pub(crate) fn check(table: &RouteTable) -> Result<(), FormatError> {
        overrides(table)
            .flat_map(RouteFilterConfig::hits_formats)
            .try_for_each(|format| Program::text(format).map(drop))?;
        check(values(table).chain(overrides(table).flat_map(RouteFilterConfig::header_ops).flat_map(|ops| &ops.add)))
    }

    /// # Errors
    /// As [`HeaderFormats::check`].
    pub(crate) fn check_filter(filter: &HttpFilter) -> Result<(), FormatError> {
        filter.config.hits_formats().try_for_each(|format| Program::text(format).map(drop))?;
        check(filter.config.header_ops().flat_map(|ops| &ops.add))
    }
}

fn check<'v>(mut values: impl Iterator<Item = &'v HeaderValue>) -> Result<(), FormatError> {
    values.try_for_each(|value| if value.is_format() { Program::value(&value.value).map(|_| ()) } else { Ok(()) })
}

/// What all levels configure of filters.
fn overrides(table: &RouteTable) -> impl Iterator<Item = &RouteFilterConfig> {
    let routes = table.virtual_hosts.iter().flat_map(|host| &host.routes);
    let of_clusters = routes.clone().flat_map(clusters).map(|cluster| &cluster.filters);
    let of_hosts = table.virtual_hosts.iter().map(|host| &host.filters);
    let all = of_hosts.chain(routes.map(|route| &route.filters)).chain(of_clusters).chain([&table.filters]);
    all.flat_map(|overrides| overrides.values()).filter_map(|said| match said {
        FilterOverride::Config(config) => Some(config),
        FilterOverride::Disabled | FilterOverride::Enabled => None,
    })
}

fn clusters(route: &Route) -> &[WeightedCluster] {
    match &route.action {
        RouteAction::Forward(forward) => &forward.clusters,
        RouteAction::Direct(_) | RouteAction::Redirect(_) => &[],
    }
}

fn values(table: &RouteTable) -> impl Iterator<Item = &HeaderValue> {
    let hosts = table.virtual_hosts.iter();
    let of_hosts = hosts.clone().flat_map(|host| [&host.request_headers, &host.response_headers]);
    let routes = hosts.flat_map(|host| &host.routes);
    let of_routes = routes.clone().flat_map(|route| [&route.request_headers, &route.response_headers]);
    let of_clusters =
        routes.flat_map(clusters).flat_map(|cluster| [&cluster.request_headers, &cluster.response_headers]);
    let of_table = [&table.request_headers, &table.response_headers];
    of_table.into_iter().chain(of_hosts).chain(of_routes).chain(of_clusters).flat_map(|ops| &ops.add)
}

impl<'t> Levels<'t> {
    pub(crate) const NONE: Self = Self { levels: [None; 4], formats: None };

    /// `levels` begins with the innermost, which is the first to happen unless the table says otherwise.
    pub(crate) fn new(
        levels: impl IntoIterator<Item = &'t HeaderOps>,
        order: HeaderOrder,
        formats: &'t HeaderFormats,
    ) -> Self {
        let mut places = [None; 4];
        for (place, ops) in places.iter_mut().zip(levels.into_iter().filter(|ops| !ops.is_empty())) {
            *place = Some(ops);
        }
        if order == HeaderOrder::TableFirst {
            places.reverse();
        }
        Self { levels: places, formats: Some(formats) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.levels.iter().all(Option::is_none)
    }

    /// `values` works a format out into a buffer; it sees the message as it is by then.
    pub(crate) fn apply<M>(
        &self,
        message: &mut M,
        headers: impl Fn(&mut M) -> &mut Headers,
        mut values: impl FnMut(&M, &Program, &mut Vec<u8>),
    ) {
        let mut buffer = Vec::new();
        for ops in self.levels.iter().flatten() {
            for name in &ops.remove {
                headers(message).remove(name);
            }
            for header in &ops.add {
                if !header.is_format() {
                    edit(header, header.value.as_bytes(), headers(message));
                } else if let Some(program) = self.formats.and_then(|formats| formats.0.get(header.value.as_str())) {
                    buffer.clear();
                    values(message, program, &mut buffer);
                    edit(header, &buffer, headers(message));
                }
            }
        }
    }
}

fn edit(header: &HeaderValue, value: &[u8], headers: &mut Headers) {
    let name = header.name.as_str();
    if value.is_empty() && !header.keep_empty {
        return;
    }
    match header.append {
        HeaderAppend::AppendOrAdd => headers.append(name.as_bytes(), value),
        HeaderAppend::AddIfAbsent if headers.contains(name) => {}
        HeaderAppend::OverwriteIfExists if !headers.contains(name) => {}
        HeaderAppend::AddIfAbsent | HeaderAppend::OverwriteIfExists | HeaderAppend::OverwriteOrAdd => {
            headers.set(name, value);
        }
    }
}
