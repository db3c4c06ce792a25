//! `cargo xtask descriptors`: the part of Envoy's API that a static bootstrap may name, as a file descriptor set.
//!
//! `envoy-types` carries the descriptors of its whole API but does not export them, and reading all of them takes longer than
//! a proxy may take to start. So what can be reached from [`ROOTS`] is cut out and kept in the repository.
//!
//! Shape       envoy-types' `types.bin` -> messages reachable from [`ROOTS`], without options and comments -> [`OUTPUT`]
//!                                     -> what they say about the values of their fields -> [`RULES_OUTPUT`]

mod rules;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::Context;
use prost::Message;
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorProto, FileDescriptorSet, MessageOptions};

use crate::command::root;
use crate::packages;

const OUTPUT: &str = "crates/proto/src/descriptors.bin";
const RULES_OUTPUT: &str = "crates/proto/src/rules.txt";

/// The bootstrap, files that it names, and what Leno can read where Envoy's API has a `google.protobuf.Any`.
const ROOTS: &[&str] = &[
    "envoy.config.bootstrap.v3.Bootstrap",
    "envoy.config.route.v3.FilterConfig",
    "envoy.extensions.access_loggers.file.v3.FileAccessLog",
    "envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig",
    "envoy.extensions.access_loggers.grpc.v3.TcpGrpcAccessLogConfig",
    "envoy.extensions.access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig",
    "envoy.extensions.access_loggers.stream.v3.StderrAccessLog",
    "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
    "envoy.extensions.clusters.aggregate.v3.ClusterConfig",
    "envoy.extensions.clusters.dns.v3.DnsCluster",
    "envoy.extensions.compression.brotli.compressor.v3.Brotli",
    "envoy.extensions.compression.brotli.decompressor.v3.Brotli",
    "envoy.extensions.compression.gzip.compressor.v3.Gzip",
    "envoy.extensions.compression.gzip.decompressor.v3.Gzip",
    "envoy.extensions.compression.zstd.compressor.v3.Zstd",
    "envoy.extensions.compression.zstd.decompressor.v3.Zstd",
    "envoy.extensions.filters.http.buffer.v3.Buffer",
    "envoy.extensions.filters.http.buffer.v3.BufferPerRoute",
    "envoy.extensions.filters.http.compressor.v3.Compressor",
    "envoy.extensions.filters.http.compressor.v3.CompressorPerRoute",
    "envoy.extensions.filters.http.cors.v3.Cors",
    "envoy.extensions.filters.http.cors.v3.CorsPolicy",
    "envoy.extensions.filters.http.decompressor.v3.Decompressor",
    "envoy.extensions.filters.http.fault.v3.HTTPFault",
    "envoy.extensions.filters.http.header_to_metadata.v3.Config",
    "envoy.extensions.filters.http.health_check.v3.HealthCheck",
    "envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
    "envoy.extensions.filters.http.ratelimit.v3.RateLimit",
    "envoy.extensions.filters.http.ratelimit.v3.RateLimitPerRoute",
    "envoy.extensions.filters.http.rbac.v3.RBAC",
    "envoy.extensions.filters.http.rbac.v3.RBACPerRoute",
    "envoy.extensions.filters.http.router.v3.Router",
    "envoy.extensions.filters.http.set_metadata.v3.Config",
    "envoy.extensions.filters.http.stateful_session.v3.StatefulSession",
    "envoy.extensions.filters.http.stateful_session.v3.StatefulSessionPerRoute",
    "envoy.extensions.filters.listener.http_inspector.v3.HttpInspector",
    "envoy.extensions.filters.listener.local_ratelimit.v3.LocalRateLimit",
    "envoy.extensions.filters.listener.original_dst.v3.OriginalDst",
    "envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol",
    "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector",
    "envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit",
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
    "envoy.extensions.filters.network.local_ratelimit.v3.LocalRateLimit",
    "envoy.extensions.filters.network.rbac.v3.RBAC",
    "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
    "envoy.extensions.formatter.metadata.v3.Metadata",
    "envoy.extensions.formatter.req_without_query.v3.ReqWithoutQuery",
    "envoy.extensions.health_check.event_sinks.file.v3.HealthCheckEventFileSink",
    "envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig",
    "envoy.extensions.http.original_ip_detection.xff.v3.XffConfig",
    "envoy.extensions.http.stateful_session.cookie.v3.CookieBasedSessionState",
    "envoy.extensions.http.stateful_session.header.v3.HeaderBasedSessionState",
    "envoy.extensions.internal_redirect.allow_listed_routes.v3.AllowListedRoutesConfig",
    "envoy.extensions.internal_redirect.previous_routes.v3.PreviousRoutesConfig",
    "envoy.extensions.internal_redirect.safe_cross_scheme.v3.SafeCrossSchemeConfig",
    "envoy.extensions.load_balancing_policies.cluster_provided.v3.ClusterProvided",
    "envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest",
    "envoy.extensions.load_balancing_policies.maglev.v3.Maglev",
    "envoy.extensions.load_balancing_policies.random.v3.Random",
    "envoy.extensions.load_balancing_policies.ring_hash.v3.RingHash",
    "envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin",
    "envoy.extensions.load_balancing_policies.subset.v3.Subset",
    "envoy.extensions.load_balancing_policies.wrr_locality.v3.WrrLocality",
    "envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig",
    "envoy.extensions.network.dns_resolver.getaddrinfo.v3.GetAddrInfoDnsResolverConfig",
    "envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig",
    "envoy.extensions.path.rewrite.uri_template.v3.UriTemplateRewriteConfig",
    "envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig",
    "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
    "envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig",
    "envoy.extensions.retry.host.omit_canary_hosts.v3.OmitCanaryHostsPredicate",
    "envoy.extensions.retry.host.omit_host_metadata.v3.OmitHostMetadataConfig",
    "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
    "envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig",
    "envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport",
    "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer",
    "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
    "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
    "envoy.service.discovery.v3.DiscoveryResponse",
];

pub(crate) fn run() -> anyhow::Result<()> {
    for (output, bytes) in generate()? {
        let path = root().join(output);
        std::fs::write(&path, &bytes).with_context(|| format!("writing {}", path.display()))?;
        println!("{output}: {} bytes", bytes.len());
    }
    Ok(())
}

/// Whether the files in the repository are what this would write.
pub(crate) fn is_current() -> anyhow::Result<bool> {
    let mut is_current = true;
    for (output, bytes) in generate()? {
        let path = root().join(output);
        let kept = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        is_current &= kept == bytes;
    }
    Ok(is_current)
}

/// Files and what is in them.
fn generate() -> anyhow::Result<[(&'static str, Vec<u8>); 2]> {
    let path = whole_api()?;
    let bytes = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
    let set = FileDescriptorSet::decode(bytes.as_slice()).with_context(|| format!("decoding {}", path.display()))?;
    let index = Index::new(&set);
    let reachable = index.reachable()?;
    let rules = rules::generate(&bytes, &reachable)?;
    let file = set.file.iter().filter_map(|file| cut_file(file, &reachable, &index)).collect();
    Ok([(OUTPUT, FileDescriptorSet { file }.encode_to_vec()), (RULES_OUTPUT, rules.into_bytes())])
}

/// Where the sources of `envoy-types` are, as cargo has them.
fn whole_api() -> anyhow::Result<PathBuf> {
    let package = packages::all()?.into_iter().find(|package| package.name == "envoy-types");
    let manifest = package.context("envoy-types is no dependency")?.manifest_path;
    Ok(manifest.with_file_name("src").join("generated/types.bin"))
}

/// Every top-level message and enum by its full name.
struct Index<'a> {
    messages: BTreeMap<String, &'a DescriptorProto>,
    file_of: BTreeMap<String, &'a str>,
}

impl<'a> Index<'a> {
    fn new(set: &'a FileDescriptorSet) -> Self {
        let mut index = Self { messages: BTreeMap::new(), file_of: BTreeMap::new() };
        for file in &set.file {
            for message in &file.message_type {
                let name = format!("{}.{}", file.package(), message.name());
                index.file_of.insert(name.clone(), file.name());
                index.messages.insert(name, message);
            }
            for item in &file.enum_type {
                index.file_of.insert(format!("{}.{}", file.package(), item.name()), file.name());
            }
        }
        index
    }

    /// The top-level type that a type is, or is inside of.
    fn top_level(&self, type_name: &str) -> Option<String> {
        let mut name = type_name.trim_start_matches('.');
        loop {
            if self.file_of.contains_key(name) {
                return Some(name.to_owned());
            }
            name = name.rsplit_once('.')?.0;
        }
    }

    /// Top-level types, whole: what is inside one of them comes along.
    fn reachable(&self) -> anyhow::Result<BTreeSet<String>> {
        let mut found = BTreeSet::new();
        let mut open: Vec<String> = ROOTS.iter().map(|name| (*name).to_owned()).collect();
        while let Some(name) = open.pop() {
            anyhow::ensure!(self.file_of.contains_key(&name), "envoy-types has no {name}");
            if let Some(message) = self.messages.get(&name).filter(|_| !found.contains(&name)) {
                let mut used = Vec::new();
                types_of(message, &mut used);
                open.extend(used.into_iter().filter_map(|used| self.top_level(used)));
            }
            found.insert(name);
        }
        Ok(found)
    }
}

fn types_of<'a>(message: &'a DescriptorProto, types: &mut Vec<&'a str>) {
    types.extend(message.field.iter().filter_map(|field| field.type_name.as_deref()));
    message.nested_type.iter().for_each(|nested| types_of(nested, types));
}

/// What is left of a file; `None`: nothing.
fn cut_file(
    file: &FileDescriptorProto,
    reachable: &BTreeSet<String>,
    index: &Index<'_>,
) -> Option<FileDescriptorProto> {
    let is_kept = |name: &str| reachable.contains(&format!("{}.{name}", file.package()));
    let message_type: Vec<_> =
        file.message_type.iter().filter(|message| is_kept(message.name())).map(cut_message).collect();
    let enum_type: Vec<_> = file.enum_type.iter().filter(|item| is_kept(item.name())).map(cut_enum).collect();
    if message_type.is_empty() && enum_type.is_empty() {
        return None;
    }
    let mut used = Vec::new();
    message_type.iter().for_each(|message| types_of(message, &mut used));
    let files: BTreeSet<_> =
        used.into_iter().filter_map(|name| index.file_of.get(&index.top_level(name)?).copied()).collect();
    Some(FileDescriptorProto {
        name: file.name.clone(),
        package: file.package.clone(),
        dependency: files.into_iter().filter(|name| *name != file.name()).map(str::to_owned).collect(),
        message_type,
        enum_type,
        syntax: file.syntax.clone(),
        ..FileDescriptorProto::default()
    })
}

fn cut_message(message: &DescriptorProto) -> DescriptorProto {
    let is_map = message.options.as_ref().is_some_and(|options| options.map_entry());
    let mut cut = message.clone();
    cut.options = is_map.then(|| MessageOptions { map_entry: Some(true), ..MessageOptions::default() });
    cut.field.iter_mut().for_each(|field| field.options = None);
    cut.oneof_decl.iter_mut().for_each(|oneof| oneof.options = None);
    cut.nested_type = message.nested_type.iter().map(cut_message).collect();
    cut.enum_type = message.enum_type.iter().map(cut_enum).collect();
    (cut.extension_range, cut.extension) = (Vec::new(), Vec::new());
    (cut.reserved_range, cut.reserved_name) = (Vec::new(), Vec::new());
    cut
}

fn cut_enum(item: &EnumDescriptorProto) -> EnumDescriptorProto {
    let mut cut = item.clone();
    cut.options = item
        .options
        .as_ref()
        .filter(|options| options.allow_alias())
        .map(|_| prost_types::EnumOptions { allow_alias: Some(true), ..prost_types::EnumOptions::default() });
    cut.value.iter_mut().for_each(|value| value.options = None);
    (cut.reserved_range, cut.reserved_name) = (Vec::new(), Vec::new());
    cut
}
