use std::rc::Rc;

use bytes::Bytes;
use http::Method;
use leno_ir::{Forward, HostRewrite, WeightedCluster};
use leno_routing::{Matched, RequestView as _};

use super::server_name::server_name;
use super::{Forwarder, Route};
use crate::access_log::LineValues;
use crate::exchange::HeaderLookup as _;
use crate::http::failure::Failure;
use crate::http::header_ops::Levels;
use crate::upstream::UpstreamCluster;

const FORWARDED_HOST: &str = "x-forwarded-host";

impl Forwarder<'_, '_> {
    /// In Envoy's order: the client's wishes, the headers, the rewrites, the tries.
    pub(super) async fn serve(
        &mut self,
        route: Route<'_>,
        forward: &Forward,
        chosen: &WeightedCluster,
        response_ops: &Levels<'_>,
    ) -> Result<(), Failure> {
        let cluster = match &chosen.name_header {
            None => self.context.worker.cluster(&chosen.name),
            Some(header) => {
                let name = self.request.header(header).and_then(|name| std::str::from_utf8(name).ok());
                name.and_then(|name| self.context.worker.cluster(name))
            }
        };
        let cluster = cluster.ok_or(Failure::NoCluster { status: forward.cluster_not_found_status })?;
        self.exchange.cluster = Some(cluster.config.clone());
        let result = self.send(cluster.clone(), route, (forward, chosen), response_ops).await;
        if let Err(failure) = &result {
            self.count_upstream_failure(cluster.stats(), failure);
        }
        result
    }

    async fn send(
        &mut self,
        cluster: Rc<UpstreamCluster>,
        route: Route<'_>,
        (forward, chosen): (&Forward, &WeightedCluster),
        response_ops: &Levels<'_>,
    ) -> Result<(), Failure> {
        let Route { rules, matched } = route;
        if let Some(dropped) = cluster.drops(|| self.context.worker.random()) {
            return Err(Failure::Dropped(dropped));
        }
        self.end_tunnel(forward);
        self.check_wishes()?;
        self.start_deadlines(forward);
        if self.attempt_count.in_request {
            self.request.headers.set("x-envoy-attempt-count", b"1");
        }
        self.edit_request(&rules.request_headers(matched, chosen));
        // Both look at the path as it came.
        let path = matched.rewritten_path(self.request.path()).filter(|_| self.request.method != Method::CONNECT);
        self.rewrite_host(forward, chosen, matched);
        if let Some(path) = path {
            if !self.router().suppress_envoy_headers {
                self.request.headers.set("x-envoy-original-path", &self.request.path);
            }
            self.request.path = path.into();
        }
        // As the route leaves the request.
        self.server_name = server_name(&cluster.config, self.request);
        self.forward(cluster, route, (forward, chosen), response_ops).await
    }

    /// Where the route says so, a tunnel ends here, and only its bytes go on.
    fn end_tunnel(&mut self, forward: &Forward) {
        let Some(connect) = forward.upgrades.iter().find_map(|upgrade| upgrade.connect.as_ref()) else { return };
        let is_connect = self.request.method == Method::CONNECT;
        if is_connect || (connect.allow_post && self.request.method == Method::POST) {
            self.raw = Some(connect.proxy_protocol);
            self.is_tunnel = is_connect;
        }
    }

    fn edit_request(&mut self, ops: &Levels<'_>) {
        if ops.is_empty() {
            return;
        }
        let (exchange, connection, response) = (&*self.exchange, &*self.context.connection, &*self.response);
        ops.apply(
            &mut *self.request,
            |request| &mut request.headers,
            |request, program, out| {
                program.write_value(&LineValues { exchange, connection, request, response }, out);
            },
        );
    }

    pub(super) fn edit_response(&mut self, ops: &Levels<'_>) {
        if ops.is_empty() {
            return;
        }
        let (exchange, connection, request) = (&*self.exchange, &*self.context.connection, &*self.request);
        ops.apply(
            &mut *self.response,
            |response| &mut response.headers,
            |response, program, out| {
                program.write_value(&LineValues { exchange, connection, request, response }, out);
            },
        );
    }

    fn rewrite_host(&mut self, forward: &Forward, chosen: &WeightedCluster, matched: Matched<'_>) {
        if let Some(host) = &chosen.host_rewrite {
            // As in Envoy, nobody is told of this one.
            self.request.authority = Bytes::copy_from_slice(host.as_bytes());
        }
        let host = match &forward.host_rewrite {
            // Not known before there is an endpoint.
            None | Some(HostRewrite::Auto) => return,
            Some(HostRewrite::Header(name)) => match self.request.header(name) {
                Some(value) if !value.is_empty() => Bytes::copy_from_slice(value),
                _ => return,
            },
            Some(HostRewrite::Literal(host)) => Bytes::copy_from_slice(host.as_bytes()),
            Some(HostRewrite::PathRegex { .. }) => match matched.host_from_path(self.request.path()) {
                Some(host) => host.into(),
                None => return,
            },
        };
        self.replace_host(host, forward.append_x_forwarded_host);
    }

    pub(super) fn replace_host(&mut self, host: Bytes, appends: bool) {
        let suppresses = self.router().suppress_envoy_headers;
        let old = std::mem::replace(&mut self.request.authority, host);
        let headers = &mut self.request.headers;
        if appends {
            let value = match headers.get(FORWARDED_HOST) {
                Some(before) => [before, b",", &old].concat(),
                None => old.to_vec(),
            };
            headers.set(FORWARDED_HOST, &value);
        }
        if !suppresses {
            headers.set("x-envoy-original-host", &old);
        }
    }
}
