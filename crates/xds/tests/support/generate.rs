//! Configuration as the compiler could make it: whatever `ir` can say and Envoy accepts.
//!
//! Invariants  clusters are of [`CLUSTERS`]; the chains of a listener and the domains of a table differ; names, durations and
//!             numbers keep Envoy's bounds; `Some(ZERO)` stands only where it differs from `None`

#[path = "filter.rs"]
mod filter;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use leno_ir::*;
use leno_names::{Fraction, Locality, ServiceKey};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use self::filter::{filters, overrides};

/// The clusters that exist.
pub(crate) const CLUSTERS: [&str; 3] =
    ["inbound|9080||", "outbound|80||reviews.default", "outbound|80|v2|reviews.default"];

fn name() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9-]{0,8}[a-z0-9]"
}

fn cluster_name() -> impl Strategy<Value = String> {
    select(&CLUSTERS[..]).prop_map(str::to_owned)
}

/// Above zero.
fn span() -> impl Strategy<Value = Duration> {
    (1..10_000_000_u64).prop_map(Duration::from_millis)
}

fn fraction() -> impl Strategy<Value = Fraction> {
    (0..=1_000_000_u32).prop_map(|parts| Fraction::from_parts_per_million(parts).expect("within bounds"))
}

/// Envoy has no finer share in these places.
fn percent() -> impl Strategy<Value = Fraction> {
    (0..=100_u32).prop_map(|percent| Fraction::from_percent(percent).expect("within bounds"))
}

fn pattern() -> impl Strategy<Value = Pattern> {
    select(vec!["a|b+", "/v[0-9]+/.*", "[a-z]+\\.html"])
        .prop_map(|text| Pattern::new(text).expect("a regular expression"))
}

pub(crate) fn string_match() -> impl Strategy<Value = StringMatch> {
    prop_oneof![
        (name(), any::<bool>()).prop_map(|(text, ignore_case)| StringMatch::Contains { text, ignore_case }),
        (name(), any::<bool>()).prop_map(|(text, ignore_case)| StringMatch::Exact { text, ignore_case }),
        (name(), any::<bool>()).prop_map(|(text, ignore_case)| StringMatch::Prefix { text, ignore_case }),
        (name(), any::<bool>()).prop_map(|(text, ignore_case)| StringMatch::Suffix { text, ignore_case }),
        pattern().prop_map(StringMatch::Regex),
    ]
}

fn header_ops() -> BoxedStrategy<HeaderOps> {
    let append = select(vec![
        HeaderAppend::AddIfAbsent,
        HeaderAppend::AppendOrAdd,
        HeaderAppend::OverwriteIfExists,
        HeaderAppend::OverwriteOrAdd,
    ]);
    let header = ("x-[a-z]{1,6}", "[a-z0-9 ]{0,6}", append);
    let header = header.prop_map(|(name, value, append)| HeaderValue {
        keep_empty: value.is_empty(),
        ..HeaderValue::new(name, value, append)
    });
    (vec("x-[a-z]{1,6}", 0..2), vec(header, 0..2)).prop_map(|(remove, add)| HeaderOps { remove, add }).boxed()
}

fn path_match() -> impl Strategy<Value = PathMatch> {
    prop_oneof![
        ("/[a-z]{0,4}", any::<bool>()).prop_map(|(text, ignore_case)| PathMatch::Exact { text, ignore_case }),
        ("/[a-z]{1,4}", any::<bool>())
            .prop_map(|(text, ignore_case)| PathMatch::PathSeparatedPrefix { text, ignore_case }),
        ("/[a-z]{0,4}", any::<bool>()).prop_map(|(text, ignore_case)| PathMatch::Prefix { text, ignore_case }),
        pattern().prop_map(PathMatch::Regex),
        Just(PathMatch::Connect),
    ]
}

fn header_match() -> impl Strategy<Value = HeaderMatch> {
    let kind = prop_oneof![
        any::<bool>().prop_map(HeaderMatchKind::Present),
        (-9..9_i64, 10..99_i64).prop_map(|(start, end)| HeaderMatchKind::Range { start, end }),
        string_match().prop_map(HeaderMatchKind::Value),
    ];
    let names = select(vec![":method", ":authority", "x-user"]);
    (names, kind, any::<bool>(), any::<bool>()).prop_map(|(name, kind, invert, treat_missing_as_empty)| HeaderMatch {
        name: name.to_owned(),
        kind,
        invert,
        treat_missing_as_empty,
    })
}

fn query_match() -> impl Strategy<Value = QueryMatch> {
    let kind =
        prop_oneof![any::<bool>().prop_map(QueryMatchKind::Present), string_match().prop_map(QueryMatchKind::Value),];
    (name(), kind).prop_map(|(name, kind)| QueryMatch { name, kind })
}

fn route_match() -> impl Strategy<Value = RouteMatch> {
    let cookie =
        (name(), string_match(), any::<bool>()).prop_map(|(name, value, invert)| CookieMatch { name, value, invert });
    let tls =
        (of(any::<bool>()), of(any::<bool>())).prop_map(|(presented, validated)| TlsMatch { presented, validated });
    let parts = (vec(header_match(), 0..3), vec(query_match(), 0..2), vec(cookie, 0..2));
    let metadata = prop_oneof![3 => Just(Vec::new()), 1 => vec(metadata_match(), 1..3)];
    (path_match(), parts, tls, any::<bool>(), of(fraction()), metadata)
        .prop_map(|(path, (headers, query, cookies), tls, grpc, fraction, metadata)| RouteMatch {
            metadata,
            path,
            headers,
            query,
            cookies,
            tls,
            grpc,
            fraction,
        })
        .boxed()
}

fn redirect() -> impl Strategy<Value = Redirect> {
    let path = prop_oneof![
        "/[a-z]{1,4}".prop_map(RedirectPath::Full),
        "/[a-z]{1,4}".prop_map(RedirectPath::Prefix),
        Just(RedirectPath::Regex { pattern: "^/(.*)$".to_owned(), substitution: "/x/\\1".to_owned() }),
    ];
    let scheme = select(vec!["http", "https"]).prop_map(str::to_owned);
    let status = select(vec![301_u16, 302, 303, 307, 308]);
    (of(scheme), of(name()), of(1..u16::MAX), of(path), status, any::<bool>()).prop_map(
        |(scheme, host, port, path, status, strip_query)| Redirect { scheme, host, port, path, status, strip_query },
    )
}

fn retry() -> BoxedStrategy<RetryPolicy> {
    let on = subsequence(RetryOn::ALL.to_vec(), 1..=4);
    let back_off = (1..100_u64, 1..20_u32, of(rate_limited_back_off()));
    let timeouts = (of(span()), of(span()));
    let headers = (vec(header_match(), 0..2), vec(header_match(), 0..2));
    let labels = vec(btree_map("[a-z]{1,3}", "[a-z]{0,3}".prop_map(MetadataValue::String), 1..3), 0..2);
    let hosts = (any::<[bool; 3]>(), labels, of(1..9_u32));
    (on, vec(400..599_u16, 0..3), 1..9_u32, timeouts, headers, back_off, hosts)
        .prop_map(
            |(on, retriable_status_codes, attempts, timeouts, headers, (base, times, rate_limited_back_off), hosts)| {
                let back_off_base = Duration::from_millis(base);
                let ([avoid_previous_hosts, avoid_canaries, unsafe_too], avoid_labelled, frequency) = hosts;
                RetryPolicy {
                    on,
                    retriable_status_codes,
                    attempts,
                    per_try_timeout: timeouts.0,
                    per_try_idle_timeout: timeouts.1,
                    retriable_headers: headers.0,
                    retriable_request_headers: headers.1,
                    rate_limited_back_off,
                    back_off_base,
                    back_off_max: back_off_base * times,
                    avoid_previous_hosts,
                    avoid_canaries,
                    avoid_labelled,
                    other_priorities: frequency.and_then(std::num::NonZeroU32::new),
                    retry_non_idempotent: unsafe_too,
                }
            },
        )
        .boxed()
}

fn rate_limited_back_off() -> impl Strategy<Value = RateLimitedBackOff> {
    let format = select(vec![ResetFormat::Seconds, ResetFormat::UnixTimestamp]);
    let header = (name(), format).prop_map(|(name, format)| ResetHeader { name, format });
    (vec(header, 1..3), span()).prop_map(|(headers, max)| RateLimitedBackOff { headers, max })
}

/// Absent, zero, or more.
fn limit() -> impl Strategy<Value = Option<Duration>> {
    of(prop_oneof![Just(Duration::ZERO), span()])
}

fn stream_duration() -> impl Strategy<Value = StreamDuration> {
    (limit(), limit(), limit()).prop_map(|(max, grpc_header_max, grpc_header_offset)| StreamDuration {
        max,
        grpc_header_max,
        grpc_header_offset,
    })
}

fn timeouts() -> impl Strategy<Value = Forward> {
    let grpc = (of(span()), of(span())).prop_map(|(max, offset)| GrpcTimeout { max, offset });
    (of(span()), limit(), limit(), of(stream_duration()), of(grpc), any::<[bool; 2]>())
        .prop_map(|(timeout, idle_timeout, flush_timeout, stream_duration, grpc_timeout, flags)| Forward {
            hedge_on_per_try_timeout: flags[0],
            clusters_by_hash: flags[1],
            timeout,
            idle_timeout,
            flush_timeout,
            stream_duration,
            grpc_timeout,
            ..Forward::to("")
        })
        .boxed()
}

fn weighted_clusters() -> impl Strategy<Value = Vec<WeightedCluster>> {
    let cluster = (cluster_name(), 1..1000_u32, header_ops(), header_ops(), overrides(), subset_labels(), of(name()))
        .prop_map(|(name, weight, request_headers, response_headers, filters, metadata_match, host_rewrite)| {
            WeightedCluster {
                host_rewrite,
                name,
                name_header: None,
                weight,
                request_headers,
                response_headers,
                filters,
                metadata_match,
            }
        });
    prop_oneof![cluster_name().prop_map(|name| vec![WeightedCluster::new(name, 1)]), vec(cluster, 1..4)]
}

fn hash_policy() -> impl Strategy<Value = HashPolicy> {
    let attribute = ("[A-Z][a-z]{1,6}", "[a-z]{0,4}");
    let ttl = of(prop_oneof![Just(Duration::ZERO), span()]);
    let cookie = (name(), ttl, "(/[a-z]{0,4})?", vec(attribute, 0..2))
        .prop_map(|(name, ttl, path, attributes)| HashCookie { name, ttl, path, attributes });
    let source = prop_oneof![
        cookie.prop_map(HashSource::Cookie),
        select(vec![":path", "x-user"]).prop_map(|name| HashSource::Header(name.to_owned())),
        name().prop_map(HashSource::QueryParameter),
        Just(HashSource::SourceIp),
    ];
    (source, any::<bool>()).prop_map(|(source, terminal)| HashPolicy { source, terminal })
}

fn internal_redirects() -> impl Strategy<Value = InternalRedirects> {
    let predicate = prop_oneof![
        vec(name(), 0..3).prop_map(RedirectPredicate::AllowListedRoutes),
        Just(RedirectPredicate::PreviousRoutes),
        Just(RedirectPredicate::SafeCrossScheme),
    ];
    let statuses = vec(select(vec![301_u16, 302, 303, 307, 308]), 1..3);
    (0..5_u32, statuses, vec(predicate, 0..3), any::<bool>(), vec("x-[a-z]{1,6}", 0..2)).prop_map(
        |(max, statuses, predicates, allow_cross_scheme, response_headers_to_copy)| InternalRedirects {
            max,
            statuses,
            predicates,
            allow_cross_scheme,
            response_headers_to_copy,
        },
    )
}

fn rate_limits() -> impl Strategy<Value = Vec<RateLimitRule>> {
    let action = prop_oneof![
        Just(RateLimitAction::DestinationCluster),
        Just(RateLimitAction::RemoteAddress),
        Just(RateLimitAction::SourceCluster),
        (0..=32_u8, 0..=128_u8).prop_map(|(v4_prefix_len, v6_prefix_len)| RateLimitAction::MaskedRemoteAddress {
            v4_prefix_len,
            v6_prefix_len
        }),
        (name(), name(), any::<bool>()).prop_map(|(name, key, skip_if_absent)| RateLimitAction::QueryParameter {
            name,
            key,
            skip_if_absent
        }),
        ("[a-z]{0,3}", name(), any::<bool>(), vec(query_match(), 1..3)).prop_map(
            |(key, value, expect_match, parameters)| RateLimitAction::QueryValueMatch {
                key,
                value,
                expect_match,
                parameters
            }
        ),
        (
            name(),
            select(vec![MetadataSource::Dynamic, MetadataSource::Route]),
            name(),
            vec(name(), 1..3),
            "[a-z]{0,2}",
            any::<bool>()
        )
            .prop_map(|(key, source, namespace, path, default, skip_if_absent)| {
                RateLimitAction::Metadata { key, source, namespace, path, default, skip_if_absent }
            }),
        ("[a-z]{0,3}", name()).prop_map(|(key, value)| RateLimitAction::GenericKey { key, value }),
        ("[a-z]{0,3}", name(), any::<bool>(), vec(header_match(), 1..3)).prop_map(
            |(key, value, expect_match, headers)| RateLimitAction::HeaderValueMatch {
                key,
                value,
                expect_match,
                headers
            }
        ),
        (name(), name(), any::<bool>()).prop_map(|(header, key, skip_if_absent)| RateLimitAction::RequestHeader {
            header,
            key,
            skip_if_absent
        }),
    ];
    let limit = of(prop_oneof![
        (name(), vec(name(), 1..3)).prop_map(|(namespace, path)| LimitOverride::Metadata { namespace, path }),
        (any::<u32>(), 0..8).prop_map(|(requests_per_unit, unit)| LimitOverride::Fixed { requests_per_unit, unit }),
    ]);
    let rule = (0..=10_u32, vec(action, 1..3), limit).prop_map(|(stage, actions, limit)| RateLimitRule {
        stage,
        limit,
        ..RateLimitRule::new(actions)
    });
    prop_oneof![3 => Just(Vec::new()), 1 => vec(rule, 1..3)].boxed()
}

fn forward() -> BoxedStrategy<Forward> {
    let rewrite = prop_oneof![
        "/[a-z]{1,4}".prop_map(Rewrite::Path),
        "/[a-z]{1,4}".prop_map(Rewrite::Prefix),
        Just(Rewrite::Regex { pattern: "^/(.*)$".to_owned(), substitution: "/x/\\1".to_owned() }),
    ];
    let mirror = (cluster_name(), fraction(), any::<bool>(), of(name()), any::<bool>()).prop_map(
        |(cluster, fraction, keeps_host, host_rewrite, by_header)| {
            let (cluster, cluster_header) =
                if by_header { (String::new(), Some("x-copy".to_owned())) } else { (cluster, None) };
            Mirror { cluster, cluster_header, fraction, keeps_host, host_rewrite }
        },
    );
    let host = prop_oneof![
        Just(HostRewrite::Auto),
        name().prop_map(HostRewrite::Literal),
        Just(HostRewrite::Header("x-host".to_owned())),
        Just(HostRewrite::PathRegex { pattern: "^/(.*)$".to_owned(), substitution: "\\1.test".to_owned() }),
    ];
    let host = (of(host), any::<bool>(), select(vec![503_u16, 404, 500]));
    let hash = vec(hash_policy(), 0..3);
    let limits = (rate_limits(), any::<bool>(), route_upgrades());
    let again = (of(retry()), of(internal_redirects()), select(vec![RoutingPriority::Default, RoutingPriority::High]));
    (weighted_clusters(), timeouts(), again, of(rewrite), host, vec(mirror, 0..2), hash, limits)
        .prop_map(
            |(
                clusters,
                timeouts,
                (retry, internal_redirects, priority),
                rewrite,
                host,
                mirrors,
                hash_policies,
                limits,
            )| {
                Forward {
                    rate_limits: limits.0,
                    include_host_rate_limits: limits.1,
                    upgrades: limits.2,
                    clusters,
                    retry,
                    priority,
                    internal_redirects,
                    rewrite,
                    host_rewrite: host.0,
                    append_x_forwarded_host: host.1,
                    cluster_not_found_status: host.2,
                    mirrors,
                    hash_policies,
                    ..timeouts
                }
            },
        )
        .boxed()
}

fn route() -> BoxedStrategy<Route> {
    let action = prop_oneof![
        (200..600_u16, "[a-z]{0,8}").prop_map(|(status, body)| RouteAction::Direct(DirectResponse { status, body })),
        forward().prop_map(|forward| RouteAction::Forward(Box::new(forward))).boxed(),
        redirect().prop_map(RouteAction::Redirect),
    ];
    let headers = (header_ops(), header_ops());
    (name(), route_match(), action, of(0..u64::MAX), headers, (overrides(), metadata()))
        .prop_map(
            |(
                name,
                matches,
                action,
                request_buffer_limit_bytes,
                (request_headers, response_headers),
                (filters, metadata),
            )| Route {
                metadata: Arc::new(metadata),
                request_buffer_limit_bytes,
                request_headers,
                response_headers,
                filters,
                ..Route::new(name, matches, action)
            },
        )
        .boxed()
}

pub(crate) fn route_table() -> BoxedStrategy<RouteTable> {
    let attempt_count = [any::<bool>(), any::<bool>(), any::<bool>()]
        .prop_map(|[in_request, in_response, timeout_retry]| AttemptCount { in_request, in_response, timeout_retry });
    let require_tls = select(vec![RequireTls::All, RequireTls::ExternalOnly, RequireTls::None]);
    let host = (vec(route(), 0..4), (attempt_count, require_tls), header_ops(), header_ops(), overrides());
    let headers = (header_ops(), header_ops(), vec("x-[a-z]{1,6}", 0..2), overrides());
    let order = select(vec![HeaderOrder::TableFirst, HeaderOrder::TableLast]);
    let flags = (any::<bool>(), order, of("x-[a-z]{1,6}"));
    (name(), vec(host, 0..4), headers, flags)
        .prop_map(|(name, hosts, headers, flags)| {
            let host = |(at, (routes, (attempt_count, require_tls), request_headers, response_headers, filters))| {
                VirtualHost {
                    name: format!("host-{at}"),
                    domains: vec![
                        format!("a{at}.test"),
                        format!("a{at}.test:80"),
                        format!("*.b{at}.test"),
                        format!("c{at}.*"),
                    ],
                    routes,
                    attempt_count,
                    require_tls,
                    request_headers,
                    response_headers,
                    filters,
                    rate_limits: Vec::new(),
                }
            };
            RouteTable {
                name,
                virtual_hosts: hosts.into_iter().enumerate().map(host).collect(),
                request_headers: headers.0,
                response_headers: headers.1,
                header_order: flags.1,
                internal_only_headers: headers.2,
                filters: headers.3,
                ignore_port_in_host_matching: flags.0,
                host_header: flags.2,
            }
        })
        .boxed()
}

fn log_moments() -> impl Strategy<Value = AccessLogMoments> {
    (any::<bool>(), any::<bool>(), of((1..100_000_u64).prop_map(Duration::from_millis)))
        .prop_map(|(at_start, when_connected, interval)| AccessLogMoments { at_start, when_connected, interval })
}

pub(crate) fn access_log() -> impl Strategy<Value = AccessLog> {
    let operators = || select(vec!["%REQ(:METHOD)%", "%PROTOCOL% %DURATION%", "%ROUTE_NAME%"]).prop_map(str::to_owned);
    let format = prop_oneof![
        btree_map(name(), json_format(), 1..3).prop_map(AccessLogFormat::Json),
        Just(AccessLogFormat::Standard),
        operators().prop_map(AccessLogFormat::Text),
    ];
    let sink = prop_oneof![
        Just(AccessLogSink::File(PathBuf::from("/dev/null"))),
        Just(AccessLogSink::Stderr),
        Just(AccessLogSink::Stdout),
    ];
    let log = |(sink, format, omit_empty, filter)| AccessLog { sink, format, omit_empty, filter };
    let remote = |(sink, filter)| AccessLog { filter, ..AccessLog::new(sink, AccessLogFormat::Standard) };
    prop_oneof![
        (sink, format, any::<bool>(), of(access_log_filter())).prop_map(log),
        (remote_log(), of(access_log_filter())).prop_map(remote),
    ]
}

fn custom_tag() -> impl Strategy<Value = CustomTag> {
    let holder = select(vec![
        MetadataHolder::Cluster,
        MetadataHolder::Request,
        MetadataHolder::Route,
        MetadataHolder::UpstreamHost,
    ]);
    let default = || "[a-z]{0,3}";
    let value =
        prop_oneof![
            name().prop_map(TagValue::Literal),
            (name(), default()).prop_map(|(name, default)| TagValue::Environment { name, default }),
            ("[a-z]{1,6}", default()).prop_map(|(name, default)| TagValue::RequestHeader { name, default }),
            (holder, name(), vec(name(), 1..3), default())
                .prop_map(|(of, namespace, path, default)| TagValue::Metadata { of, namespace, path, default }),
        ];
    (name(), value).prop_map(|(tag, value)| CustomTag { tag, value })
}

fn remote_log() -> impl Strategy<Value = AccessLogSink> {
    let service = || {
        let interval = (1..100_000_u64).prop_map(Duration::from_millis);
        (name(), name(), interval, any::<u32>(), vec(custom_tag(), 0..3)).prop_map(
            |(cluster, log_name, flush_interval, buffer_bytes, custom_tags)| LogService {
                cluster,
                log_name,
                flush_interval,
                buffer_bytes,
                custom_tags,
            },
        )
    };
    let headers = || vec("[a-z]{1,6}", 0..2);
    let grpc = (service(), headers(), headers(), headers()).prop_map(
        |(service, request_headers, response_headers, response_trailers)| {
            let is_tcp = false;
            AccessLogSink::Grpc(Box::new(GrpcAccessLog {
                service,
                is_tcp,
                request_headers,
                response_headers,
                response_trailers,
            }))
        },
    );
    let tcp = service().prop_map(|service| {
        let (request_headers, response_headers, response_trailers) = Default::default();
        AccessLogSink::Grpc(Box::new(GrpcAccessLog {
            service,
            is_tcp: true,
            request_headers,
            response_headers,
            response_trailers,
        }))
    });
    let pairs = || vec((name(), text_format()), 0..3);
    let open_telemetry = (service(), of(text_format()), pairs(), pairs(), any::<bool>()).prop_map(
        |(service, body, attributes, resource_attributes, disable_builtin_labels)| {
            let log = OpenTelemetryAccessLog { service, body, attributes, resource_attributes, disable_builtin_labels };
            AccessLogSink::OpenTelemetry(Box::new(log))
        },
    );
    prop_oneof![grpc, tcp, open_telemetry]
}

fn json_format() -> impl Strategy<Value = JsonFormat> {
    let literal = select(vec!["true", "false", "null", "7", "-1.5"]);
    nested(prop_oneof![literal.prop_map(|text| JsonFormat::Literal(text.to_owned())), format_text()])
}

/// Envoy takes nothing else for OpenTelemetry.
fn text_format() -> impl Strategy<Value = JsonFormat> {
    nested(format_text())
}

fn format_text() -> impl Strategy<Value = JsonFormat> {
    select(vec!["%REQ(:METHOD)%", "%PROTOCOL% %DURATION%"]).prop_map(JsonFormat::from)
}

fn nested(leaf: impl Strategy<Value = JsonFormat> + 'static) -> impl Strategy<Value = JsonFormat> {
    leaf.prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(JsonFormat::List),
            btree_map(name(), inner, 0..3).prop_map(JsonFormat::Object),
        ]
    })
}

fn access_log_filter() -> impl Strategy<Value = AccessLogFilter> {
    let op = || select(vec![ComparisonOp::AtLeast, ComparisonOp::AtMost, ComparisonOp::Equal, ComparisonOp::NotEqual]);
    let comparison = move || (op(), any::<u32>()).prop_map(|(op, value)| Comparison { op, value });
    let grpc = (vec(0..17_u32, 0..3), any::<bool>());
    let leaf = prop_oneof![
        comparison().prop_map(AccessLogFilter::Duration),
        comparison().prop_map(AccessLogFilter::StatusCode),
        grpc.prop_map(|(codes, exclude)| AccessLogFilter::GrpcStatus { codes, exclude }),
        header_match().prop_map(AccessLogFilter::Header),
        Just(AccessLogFilter::NotHealthCheck),
        (of(metadata_match()), any::<bool>())
            .prop_map(|(matcher, default)| AccessLogFilter::Metadata { matcher, default }),
        subsequence(vec!["UH".to_owned(), "NR".to_owned()], 0..=2).prop_map(AccessLogFilter::ResponseFlag),
        fraction().prop_map(AccessLogFilter::Share),
    ];
    leaf.prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 2..4).prop_map(AccessLogFilter::All),
            vec(inner, 2..4).prop_map(AccessLogFilter::Any),
        ]
    })
}

fn alpn() -> impl Strategy<Value = Vec<String>> {
    let all = ["h2", "http/1.1", "istio"].map(str::to_owned).to_vec();
    subsequence(all, 0..=3)
}

fn data_source() -> impl Strategy<Value = DataSource> {
    prop_oneof![
        "[A-Z]{1,6}".prop_map(DataSource::Environment),
        "/[a-z]{1,6}".prop_map(|path| DataSource::File(path.into())),
        vec(any::<u8>(), 1..6).prop_map(DataSource::inline),
    ]
}

fn watched() -> impl Strategy<Value = Option<PathBuf>> {
    of("/[a-z]{1,6}".prop_map(PathBuf::from))
}

fn secret_file() -> impl Strategy<Value = SecretFile> {
    ("/[a-z]{1,6}", name(), watched()).prop_map(|(path, name, watched_directory)| SecretFile {
        path: path.into(),
        name,
        watched_directory,
    })
}

fn certificate() -> impl Strategy<Value = CertificateSource> {
    let pem = (data_source(), data_source(), watched())
        .prop_map(|(chain, private_key, watched_directory)| PemCertificate { chain, private_key, watched_directory });
    prop_oneof![
        Just(CertificateSource::Secret(IDENTITY_SECRET.to_owned())),
        secret_file().prop_map(CertificateSource::File),
        vec(pem, 1..2).prop_map(CertificateSource::Pem),
    ]
}

fn validation() -> impl Strategy<Value = PeerValidation> {
    let roots = prop_oneof![
        Just(RootsSource::None),
        Just(RootsSource::Secret(ROOTS_SECRET.to_owned())),
        secret_file().prop_map(RootsSource::File),
        (data_source(), watched()).prop_map(|(certificates, watched_directory)| {
            RootsSource::Pem(PemRoots { certificates, watched_directory })
        }),
    ];
    let kind = select(vec![
        SubjectAltNameKind::Dns,
        SubjectAltNameKind::Email,
        SubjectAltNameKind::IpAddress,
        SubjectAltNameKind::Uri,
    ]);
    let name = (kind, string_match()).prop_map(|(kind, name)| SubjectAltName { kind, name });
    let hashes = || vec(any::<[u8; 32]>(), 0..2);
    let checks = (hashes(), hashes(), any::<bool>(), any::<bool>()).prop_map(
        |(certificate_hashes, key_hashes, allow_expired, accept_untrusted)| PeerChecks {
            certificate_hashes,
            key_hashes,
            allow_expired,
            accept_untrusted,
        },
    );
    (roots, vec(name, 0..3), checks).prop_map(|(roots, subject_alt_names, checks)| PeerValidation {
        roots,
        subject_alt_names,
        checks,
    })
}

fn tls_parameters() -> impl Strategy<Value = TlsParameters> {
    let versions = select(vec![
        (TlsVersion::Tls12, TlsVersion::Tls12),
        (TlsVersion::Tls12, TlsVersion::Tls13),
        (TlsVersion::Tls13, TlsVersion::Tls13),
    ]);
    let suites = subsequence(CipherSuite::ALL.to_vec(), 0..=2);
    let curves = subsequence(Curve::ALL.to_vec(), 0..=2);
    (versions, suites, curves).prop_map(|((minimum, maximum), cipher_suites, curves)| TlsParameters {
        minimum,
        maximum,
        cipher_suites,
        curves,
    })
}

fn downstream_tls() -> BoxedStrategy<DownstreamTls> {
    let sessions =
        (any::<bool>(), any::<bool>()).prop_map(|(stateless, stateful)| DownstreamSessions { stateless, stateful });
    (certificate(), of(validation()), alpn(), tls_parameters(), sessions)
        .prop_map(|(certificate, validation, alpn, parameters, sessions)| DownstreamTls {
            certificate,
            require_client_certificate: validation.is_some(),
            validation,
            alpn,
            parameters,
            sessions,
        })
        .boxed()
}

fn upstream_tls() -> BoxedStrategy<UpstreamTls> {
    let sessions = (0..9_u32, any::<bool>());
    (of(certificate()), of(validation()), of(name()), alpn(), tls_parameters(), sessions)
        .prop_map(|(certificate, validation, sni, alpn, parameters, (max_session_keys, auto_sni_san_validation))| {
            UpstreamTls { certificate, validation, sni, alpn, parameters, max_session_keys, auto_sni_san_validation }
        })
        .boxed()
}

fn router() -> impl Strategy<Value = RouterOptions> {
    let strict = subsequence(StrictHeader::ALL.to_vec(), 0..=2);
    (any::<bool>(), any::<bool>(), strict).prop_map(
        |(suppress_envoy_headers, respect_expected_timeout, strict_check_headers)| RouterOptions {
            suppress_envoy_headers,
            respect_expected_timeout,
            strict_check_headers,
        },
    )
}

fn http() -> BoxedStrategy<HttpConnectionManager> {
    let routes = prop_oneof![
        3 => route_table().prop_map(|table| RouteSource::Inline(Arc::new(table))),
        3 => name().prop_map(RouteSource::Rds),
        1 => scoped_routes().prop_map(|scoped| RouteSource::Scoped(Box::new(scoped))),
    ];
    let codec = select(vec![HttpCodec::Auto, HttpCodec::Http1, HttpCodec::Http2]);
    let forward = select(vec![
        ForwardClientCert::AlwaysForwardOnly,
        ForwardClientCert::AppendForward,
        ForwardClientCert::ForwardOnly,
        ForwardClientCert::Sanitize,
        ForwardClientCert::SanitizeSet,
    ]);
    let details = any::<[bool; 5]>().prop_map(|[cert, chain, subject, uri, dns]| ClientCertDetails {
        cert,
        chain,
        subject,
        uri,
        dns,
    });
    let forward = (forward, details);
    let upgrades = subsequence(vec!["websocket", "other", "connect"], 0..=2);
    let own = (filter::filters(), router()).prop_map(|(filters, router)| UpgradeFilters { filters, router });
    let upgrades = (upgrades, any::<bool>(), of(own)).prop_map(|(names, is_enabled, filters)| {
        let one = |name| Upgrade { is_enabled, filters: filters.clone(), ..Upgrade::new(name) };
        names.into_iter().map(one).collect::<Vec<_>>()
    });
    let limits = (1..96_u32, 1..1000_u32);
    let timeouts = (of(span()), of(span()), of(span()));
    let bounds = (of(span()), of(1..9_u32), of(span()), of(span()), of(1..9_u32)).prop_map(
        |(connection, most, stream, request, streams)| HttpLimits {
            max_concurrent_streams: streams.and_then(std::num::NonZeroU32::new),
            drain_timeout: Duration::from_secs(7),
            delayed_close_timeout: Duration::from_millis(8),
            max_connection_duration: connection,
            max_requests_per_connection: most.and_then(std::num::NonZeroU32::new),
            max_stream_duration: stream,
            request_timeout: request,
        },
    );
    let upgrades = (
        upgrades,
        (router(), local_replies()),
        edge().boxed(),
        bounds,
        any::<bool>(),
        http1_options(),
        http2_options(),
    );
    let routes = (routes, filters());
    (
        name(),
        codec,
        routes,
        (vec(access_log(), 0..2), log_moments()),
        forward,
        any::<bool>(),
        upgrades,
        limits,
        timeouts,
    )
        .prop_map(
            |(
                stat_prefix,
                codec,
                (routes, filters),
                (access_log, access_log_moments),
                (forward_client_cert, client_cert_details),
                generate_request_id,
                (upgrades, (router, local_replies), edge, bounds, forwards_informational, http1, http2),
                limits,
                timeouts,
            )| {
                HttpConnectionManager {
                    stat_prefix,
                    codec,
                    routes,
                    filters,
                    access_log,
                    access_log_moments,
                    forward_client_cert,
                    client_cert_details,
                    generate_request_id,
                    upgrades,
                    max_request_headers_bytes: limits.0 * 1024,
                    max_request_headers_count: limits.1,
                    request_headers_timeout: timeouts.0,
                    stream_idle_timeout: timeouts.1,
                    idle_timeout: timeouts.2,
                    router,
                    edge,
                    limits: bounds,
                    local_replies,
                    forwards_informational,
                    http1,
                    http2,
                }
            },
        )
        .boxed()
}

fn local_replies() -> impl Strategy<Value = LocalReplies> {
    let json = btree_map("[a-z]{1,4}", Just(JsonFormat::from("%RESPONSE_CODE%")), 1..3);
    let kind = prop_oneof![
        json.prop_map(BodyFormatKind::Json),
        Just(BodyFormatKind::Text("%LOCAL_REPLY_BODY%: %RESPONSE_CODE%\n".to_owned())),
    ];
    let format = (kind, any::<bool>(), of(Just("text/html".to_owned())))
        .prop_map(|(kind, omit_empty, content_type)| BodyFormat { kind, omit_empty, content_type })
        .boxed();
    let filter = Just(AccessLogFilter::StatusCode(Comparison { op: ComparisonOp::Equal, value: 404 }));
    let headers = header_ops().prop_map(|ops| HeaderOps { remove: Vec::new(), ..ops });
    let mapper = (filter, of(200..599_u16), of("[a-z]{1,5}"), of(format.clone()), headers);
    let mapper = mapper.prop_map(|(filter, status, body, body_format, headers)| LocalReplyMapper {
        filter,
        status,
        body,
        body_format,
        headers,
    });
    (vec(mapper, 0..2), of(format)).prop_map(|(mappers, body_format)| LocalReplies { mappers, body_format })
}

fn http1_options() -> impl Strategy<Value = Http1Options> {
    let names = select(vec![HeaderNames::AsReceived, HeaderNames::Lower, HeaderNames::ProperCase]);
    (any::<[bool; 5]>(), names, "[a-z]{0,4}", vec(string_match(), 0..2)).prop_map(|(flags, names, host, ignored)| {
        Http1Options {
            trailers: flags[0],
            names,
            accept_http_10: flags[1],
            default_host_for_http_10: host,
            custom_methods: flags[2],
            ignored_upgrades: ignored,
            absolute_target: flags[3],
            stream_errors: flags[4],
        }
    })
}

fn http2_options() -> impl Strategy<Value = Http2Options> {
    let keepalive = (span(), span()).prop_map(|(interval, timeout)| Http2Keepalive { interval, timeout });
    let window = || of(65_535..10_000_000_u32);
    (any::<bool>(), window(), window(), of(keepalive)).prop_map(
        |(allow_connect, stream_window_bytes, connection_window_bytes, keepalive)| Http2Options {
            allow_connect,
            stream_window_bytes,
            connection_window_bytes,
            keepalive,
        },
    )
}

fn route_upgrades() -> impl Strategy<Value = Vec<RouteUpgrade>> {
    let version = of(select(vec![ProxyProtocolVersion::V1, ProxyProtocolVersion::V2]));
    let connect = (version, any::<bool>())
        .prop_map(|(proxy_protocol, allow_post)| ConnectUpstream { proxy_protocol, allow_post });
    let connect = (of(connect), any::<bool>()).prop_map(|(connect, is_enabled)| RouteUpgrade {
        connect,
        is_enabled,
        ..RouteUpgrade::connect()
    });
    let plain = any::<bool>().prop_map(|is_enabled| RouteUpgrade {
        protocol: "websocket".to_owned(),
        is_enabled,
        connect: None,
    });
    (of(connect), of(plain)).prop_map(|(connect, plain)| connect.into_iter().chain(plain).collect())
}

fn edge() -> impl Strategy<Value = HttpEdge> {
    let slashes = select(vec![
        EscapedSlashes::KeepUnchanged,
        EscapedSlashes::Reject,
        EscapedSlashes::UnescapeAndForward,
        EscapedSlashes::UnescapeAndRedirect,
    ]);
    let server = select(vec![ServerHeader::AppendIfAbsent, ServerHeader::Overwrite, ServerHeader::PassThrough]);
    let port = select(vec![StripPort::Any, StripPort::Keep, StripPort::Matching]);
    let underscores = select(vec![UnderscoreHeaders::Allow, UnderscoreHeaders::Drop, UnderscoreHeaders::Reject]);
    let flags = proptest::array::uniform9(any::<bool>());
    let forwarded = (0..3_u32, vec(cidr_range(), 0..3), any::<bool>()).prop_map(|(hops, trusted_ranges, appends)| {
        ForwardedFor { trusted_hops: if trusted_ranges.is_empty() { hops } else { 0 }, trusted_ranges, appends }
    });
    let scheme = of(select(vec![Scheme::Http, Scheme::Https]));
    let names = ("[a-z]{0,3}", "[a-z]{0,3}");
    let client = (0..3_u32, of(forwarded), vec(cidr_range(), 0..3), scheme);
    (flags, client, names, slashes, server, port, underscores).prop_map(
        |(flags, client, (via, server_name), escaped_slashes, server_header, strip_port, headers_with_underscores)| {
            let (hops, original_ip, internal_addresses, scheme) = client;
            // One way to find the client excludes the others.
            let original_ip = original_ip.filter(|_| !flags[0] && hops == 0);
            HttpEdge {
                original_ip,
                internal_addresses,
                scheme,
                append_x_forwarded_port: flags[7],
                add_user_agent: flags[8],
                use_remote_address: flags[0],
                xff_num_trusted_hops: hops,
                skip_xff_append: flags[1],
                via,
                server_header,
                server_name,
                preserve_external_request_id: flags[2],
                always_set_request_id_in_response: flags[3],
                normalize_path: flags[4],
                merge_slashes: flags[5],
                escaped_slashes,
                strip_port,
                strip_trailing_host_dot: flags[6],
                headers_with_underscores,
            }
        },
    )
}

fn tcp() -> BoxedStrategy<TcpProxy> {
    let clusters = vec((cluster_name(), 1..1000_u32), 1..3).prop_map(|clusters| match clusters.as_slice() {
        [(name, _)] => vec![WeightedCluster::new(name, 1)],
        many => many.iter().map(|(name, weight)| WeightedCluster::new(name, *weight)).collect(),
    });
    let limits = (of(span()), 0..5_u32, of(span()));
    let added = header_ops().prop_map(|ops| HeaderOps { remove: Vec::new(), ..ops });
    let tunneling = (name(), of(name()), added).prop_map(|(hostname, path, headers)| {
        Box::new(Tunneling { hostname, post_path: path.map(|path| format!("/{path}")), headers })
    });
    (name(), clusters, any::<bool>(), limits, (vec(access_log(), 0..2), log_moments(), of(tunneling)))
        .prop_map(|(stat_prefix, clusters, hash_source_ip, limits, (access_log, access_log_moments, tunneling))| {
            TcpProxy {
                access_log_moments,
                tunneling,
                stat_prefix,
                clusters,
                hash_source_ip,
                idle_timeout: limits.0,
                max_connect_attempts: std::num::NonZeroU32::MIN.saturating_add(limits.1),
                max_connection_duration: limits.2,
                access_log,
            }
        })
        .boxed()
}

fn cidr_range() -> impl Strategy<Value = CidrRange> {
    (address(), 0..=32_u8).prop_map(|(address, bits)| CidrRange::new(address.ip(), bits).expect("short enough"))
}

fn value_match() -> impl Strategy<Value = ValueMatch> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(ValueMatch::Bool),
        any::<bool>().prop_map(ValueMatch::Present),
        Just(ValueMatch::Null),
        (-9..9_i32).prop_map(|number| ValueMatch::Number(number.into())),
        (-9..9_i32, 10..99_i32)
            .prop_map(|(start, end)| ValueMatch::NumberRange { start: start.into(), end: end.into() }),
        string_match().prop_map(ValueMatch::String),
    ];
    leaf.prop_recursive(2, 4, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 2..4).prop_map(ValueMatch::AnyOf),
            inner.prop_map(|inner| ValueMatch::OneOf(Box::new(inner))),
        ]
    })
}

fn sourced_metadata() -> impl Strategy<Value = SourcedMetadata> {
    let source = select(vec![MetadataSource::Dynamic, MetadataSource::Route]);
    (source, metadata_match()).prop_map(|(source, matches)| SourcedMetadata { source, matches })
}

/// In no namespace that means something by itself.
fn metadata() -> impl Strategy<Value = Metadata> {
    prop_oneof![3 => Just(Metadata::new()), 1 => btree_map("x[a-z]{1,3}", subset_labels(), 0..2)]
}

fn metadata_match() -> impl Strategy<Value = MetadataMatch> {
    (name(), vec(name(), 1..3), value_match(), any::<bool>()).prop_map(|(filter, path, value, invert)| MetadataMatch {
        filter,
        path,
        value,
        invert,
    })
}

fn permission(has_request: bool) -> impl Strategy<Value = Permission> {
    let leaf = prop_oneof![
        Just(Permission::Any),
        cidr_range().prop_map(Permission::DestinationIp),
        any::<u16>().prop_map(Permission::DestinationPort),
        (0..9_u32, 9..=65_536_u32).prop_map(|(start, end)| Permission::DestinationPortRange { start, end }),
        header_match().prop_map(move |header| match has_request {
            true => Permission::Header(header),
            false => Permission::Any,
        }),
        sourced_metadata().prop_map(Permission::Metadata),
        string_match().prop_map(Permission::RequestedServerName),
        string_match().prop_map(Permission::UrlPath),
    ];
    leaf.prop_recursive(2, 4, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 1..3).prop_map(Permission::AllOf),
            vec(inner.clone(), 1..3).prop_map(Permission::AnyOf),
            inner.prop_map(|inner| Permission::Not(Box::new(inner))),
        ]
    })
}

fn principal(has_request: bool) -> impl Strategy<Value = Principal> {
    let leaf = prop_oneof![
        Just(Principal::Any),
        of(string_match()).prop_map(Principal::Authenticated),
        cidr_range().prop_map(Principal::DirectRemoteIp),
        cidr_range().prop_map(Principal::RemoteIp),
        cidr_range().prop_map(Principal::SourceIp),
        header_match().prop_map(move |header| match has_request {
            true => Principal::Header(header),
            false => Principal::Any,
        }),
        sourced_metadata().prop_map(Principal::Metadata),
        string_match().prop_map(Principal::UrlPath),
    ];
    leaf.prop_recursive(2, 4, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 1..3).prop_map(Principal::AllOf),
            vec(inner.clone(), 1..3).prop_map(Principal::AnyOf),
            inner.prop_map(|inner| Principal::Not(Box::new(inner))),
        ]
    })
}

pub(crate) fn rbac(has_request: bool) -> BoxedStrategy<Rbac> {
    let action = select(vec![RbacAction::Allow, RbacAction::Deny, RbacAction::Log]);
    let policy = (vec(permission(has_request), 1..3), vec(principal(has_request), 1..3))
        .prop_map(|(permissions, principals)| RbacPolicy { permissions, principals });
    (action, btree_map(name(), policy, 0..3)).prop_map(|(action, policies)| Rbac { action, policies }).boxed()
}

fn token_bucket() -> impl Strategy<Value = TokenBucket> {
    (1..99_u32, 1..99_u32, 50..9999_u64).prop_map(|(max_tokens, tokens_per_fill, interval)| TokenBucket {
        max_tokens,
        tokens_per_fill,
        fill_interval: Duration::from_millis(interval),
    })
}

fn connection_filter() -> BoxedStrategy<ConnectionFilter> {
    let limit = (name(), 1..99_u64, of(span())).prop_map(|(stat_prefix, max_connections, delay)| {
        ConnectionFilter::Limit(ConnectionLimit { stat_prefix, max_connections, delay })
    });
    let rate_limit = (name(), token_bucket(), "[a-z]{0,3}").prop_map(|(stat_prefix, token_bucket, share_key)| {
        ConnectionFilter::RateLimit(ConnectionRateLimit { stat_prefix, token_bucket, share_key })
    });
    let enforcement = select(vec![RbacEnforcement::Continuous, RbacEnforcement::OneTime]);
    let rbac = (name(), of(rbac(false)), of(rbac(false)), "[a-z]{0,3}", enforcement, of(span())).prop_map(
        |(stat_prefix, rules, shadow_rules, shadow_rules_stat_prefix, enforcement, delay_deny)| {
            ConnectionFilter::Rbac(Box::new(ConnectionRbac {
                stat_prefix,
                rules,
                shadow_rules,
                shadow_rules_stat_prefix,
                enforcement,
                delay_deny,
            }))
        },
    );
    prop_oneof![limit, rate_limit, rbac].boxed()
}

fn filter_chain() -> BoxedStrategy<FilterChain> {
    let filter =
        prop_oneof![http().prop_map(|http| NetworkFilter::Http(Box::new(http))), tcp().prop_map(NetworkFilter::Tcp)];
    let transport = select(vec![TransportProtocol::RawBuffer, TransportProtocol::Tls]);
    let names = subsequence(vec!["a.test".to_owned(), "*.b.test".to_owned()], 0..=2);
    let matches = (names, of(transport), alpn(), ends().boxed()).prop_map(
        |(server_names, transport_protocol, application_protocols, ends)| FilterChainMatch {
            server_names,
            transport_protocol,
            application_protocols,
            ..ends
        },
    );
    let parts = (name(), matches, of(downstream_tls()), vec(connection_filter(), 0..3), filter);
    parts
        .prop_map(|(name, matches, tls, connection_filters, filter)| FilterChain {
            name,
            matches,
            tls,
            connection_filters,
            filter,
        })
        .boxed()
}

/// Where connections come from and go to.
fn ends() -> impl Strategy<Value = FilterChainMatch> {
    let ranges = || vec(cidr_range(), 0..2);
    let kind = of(select(vec![SourceType::External, SourceType::SameIpOrLoopback]));
    (ranges(), ranges(), ranges(), kind, vec(1..u16::MAX, 0..2)).prop_map(
        |(prefix_ranges, direct_source_prefix_ranges, source_prefix_ranges, source_type, source_ports)| {
            FilterChainMatch {
                prefix_ranges,
                direct_source_prefix_ranges,
                source_prefix_ranges,
                source_type,
                source_ports,
                ..FilterChainMatch::default()
            }
        },
    )
}

fn listener_options() -> impl Strategy<Value = ListenerOptions> {
    let version = select(vec![ProxyProtocolVersion::V1, ProxyProtocolVersion::V2]);
    let proxy = (any::<bool>(), vec(version, 0..2)).prop_map(|(allow, disallowed_versions)| ProxyProtocol {
        allow_requests_without_proxy_protocol: allow,
        disallowed_versions,
    });
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    let rate_limit = (name(), token_bucket())
        .prop_map(|(stat_prefix, token_bucket)| ListenerRateLimit { stat_prefix, token_bucket });
    let more = (vec(access_log(), 0..2), of(any::<u32>()), listener_socket(), metadata());
    (vec(address(), 0..2), flags, of(1..9_u32), of(proxy), vec(rate_limit, 0..2), more).prop_map(
        |(
            additional_addresses,
            flags,
            backlog,
            proxy_protocol,
            rate_limits,
            (access_log, buffer_limit_bytes, socket, metadata),
        )| {
            let (is_unbound, use_original_dst, original_dst) = flags;
            ListenerOptions {
                metadata,
                additional_addresses,
                ipv4_compat: false,
                backlog,
                is_unbound,
                use_original_dst,
                original_dst: original_dst || use_original_dst,
                proxy_protocol,
                rate_limits,
                access_log,
                buffer_limit_bytes,
                socket,
            }
        },
    )
}

fn listener_socket() -> BoxedStrategy<ListenerSocket> {
    let moment = select(vec![SocketMoment::BeforeBind, SocketMoment::Bound, SocketMoment::Listening]);
    let value = prop_oneof![
        vec(any::<u8>(), 0..4).prop_map(SocketOptionValue::Bytes),
        any::<i32>().prop_map(SocketOptionValue::Int)
    ];
    let option = (any::<i32>(), any::<i32>(), value, moment).prop_map(|(level, name, value, moment)| SocketOption {
        level,
        name,
        value,
        moment,
    });
    let keepalive = (of(1..9_u32), of(1..9_u64)).prop_map(|(probes, seconds)| TcpKeepalive {
        probes,
        time: seconds.map(Duration::from_secs),
        interval: None,
    });
    (any::<[bool; 3]>(), of(any::<u32>()), of(keepalive), vec(option, 0..2))
        .prop_map(|([freebind, transparent, mptcp], fast_open_queue, keepalive, options)| ListenerSocket {
            freebind,
            transparent,
            mptcp,
            fast_open_queue,
            keepalive,
            options,
        })
        .boxed()
}

pub(crate) fn listener() -> BoxedStrategy<Listener> {
    let direction = select(vec![Direction::Inbound, Direction::Outbound, Direction::Unspecified]);
    let inspect = (any::<bool>(), any::<bool>(), listener_options().boxed());
    (name(), address(), direction, inspect, vec(filter_chain(), 1..4), of(filter_chain()))
        .prop_map(|(name, address, direction, inspect, mut filter_chains, mut default_filter_chain)| {
            for (chain, port) in filter_chains.iter_mut().zip(1000..) {
                chain.matches.destination_port = Some(port);
            }
            if let Some(chain) = &mut default_filter_chain {
                chain.matches = FilterChainMatch::default();
            }
            let (inspect_tls, inspect_http, options) = inspect;
            Listener {
                name,
                address,
                direction,
                inspect_tls,
                inspect_http,
                filter_chains,
                default_filter_chain,
                options,
                api: false,
            }
        })
        .boxed()
}

/// What is read by proxyless gRPC.
pub(crate) fn api_listener() -> BoxedStrategy<Listener> {
    (name(), name())
        .prop_map(|(name, table)| Listener {
            filter_chains: vec![FilterChain {
                name: String::new(),
                matches: FilterChainMatch::default(),
                tls: None,
                connection_filters: Vec::new(),
                filter: NetworkFilter::Http(Box::new(HttpConnectionManager::new(
                    name.clone(),
                    RouteSource::Rds(table),
                ))),
            }],
            name,
            address: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
            direction: Direction::Outbound,
            inspect_tls: false,
            inspect_http: false,
            default_filter_chain: None,
            options: ListenerOptions::default(),
            api: true,
        })
        .boxed()
}

fn address() -> impl Strategy<Value = SocketAddr> {
    let ip = select(vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)]);
    (ip, 1..u16::MAX).prop_map(|(ip, port)| SocketAddr::new(ip, port))
}

fn localities() -> impl Strategy<Value = Vec<LocalityEndpoints>> {
    let health = select(vec![
        EndpointHealth::Degraded,
        EndpointHealth::Draining,
        EndpointHealth::Healthy,
        EndpointHealth::Unhealthy,
        EndpointHealth::Unknown,
    ]);
    let labels =
        [name(), name(), name(), name(), name()].prop_map(|[workload, namespace, service, version, cluster]| {
            WorkloadLabels { workload, namespace, service, version, cluster }
        });
    let labels = prop_oneof![Just(WorkloadLabels::default()), labels];
    let hostname = || prop_oneof![Just(String::new()), name()];
    let ip = || of(address().prop_map(|address| address.ip()));
    let check = (ip(), of(1..u16::MAX), hostname(), any::<bool>())
        .prop_map(|(address, port, hostname, disabled)| EndpointCheck { address, port, hostname, disabled });
    let endpoint =
        (address(), hostname(), 1..1000_u32, health, check, (labels, subset_labels(), subset_labels(), metadata()))
            .prop_map(|(address, hostname, weight, health, check, (workload, labels, socket_labels, metadata))| {
                Endpoint {
                    metadata,
                    address,
                    hostname,
                    weight,
                    health,
                    check,
                    workload,
                    labels,
                    socket_labels,
                    ..Endpoint::new(address)
                }
            });
    let locality = ("[a-z]{0,3}", "[a-z]{0,3}", "[a-z]{0,3}");
    let locality = locality.prop_map(|(region, zone, sub_zone)| Locality { region, zone, sub_zone });
    let part = (locality, 1..1000_u32, subset_labels(), vec(endpoint, 0..4));
    vec(part, 0..3).prop_map(|parts| {
        let part = |(priority, (locality, weight, socket_labels, endpoints))| LocalityEndpoints {
            locality,
            priority,
            weight,
            socket_labels,
            endpoints,
        };
        (0..).zip(parts).map(part).collect()
    })
}

fn endpoint_policy() -> impl Strategy<Value = EndpointPolicy> {
    (vec(fraction(), 0..3), 100..300_u32, any::<bool>()).prop_map(
        |(drop_overloads, overprovisioning_percent, weighted_priority_health)| EndpointPolicy {
            drop_overloads,
            overprovisioning_percent,
            weighted_priority_health,
        },
    )
}

pub(crate) fn endpoint_set() -> BoxedStrategy<EndpointSet> {
    (cluster_name(), localities(), endpoint_policy())
        .prop_map(|(name, localities, policy)| EndpointSet { name, localities, policy })
        .boxed()
}

fn status_ranges() -> impl Strategy<Value = Vec<StatusRange>> {
    let range = (100..500_u16, 1..100_u16).prop_map(|(start, length)| StatusRange { start, end: start + length });
    vec(range, 0..3)
}

fn payloads() -> impl Strategy<Value = Vec<Vec<u8>>> {
    vec(vec(any::<u8>(), 1..4), 0..3)
}

fn health_probe() -> BoxedStrategy<HealthProbe> {
    let http = (
        ("[a-z]{0,4}", "/[a-z]{0,4}", header_ops(), of(string_match())),
        (vec(any::<u8>(), 0..4), payloads(), 0..5000_u64),
        (status_ranges(), status_ranges(), any::<bool>()),
    );
    let http = http.prop_map(|(request, bodies, (expected_statuses, retriable_statuses, is_http2))| {
        let (host, path, request_headers, service_name) = request;
        let (send, receive, response_buffer_bytes) = bodies;
        HealthProbe::Http(Box::new(HttpProbe {
            host,
            method: if send.is_empty() { "GET" } else { "POST" }.to_owned(),
            codec: if is_http2 { HttpProbeCodec::Http2 } else { HttpProbeCodec::Http1 },
            request_headers,
            send,
            receive,
            response_buffer_bytes,
            expected_statuses,
            retriable_statuses,
            service_name,
            ..HttpProbe::new(path)
        }))
    });
    let only_added = header_ops().prop_map(|ops| HeaderOps { remove: Vec::new(), ..ops });
    prop_oneof![
        ("[a-z]{0,4}", "[a-z]{0,4}", only_added).prop_map(|(service_name, authority, metadata)| {
            HealthProbe::Grpc(GrpcProbe { service_name, authority, metadata })
        }),
        http,
        (vec(any::<u8>(), 0..4), payloads()).prop_map(|(send, receive)| HealthProbe::Tcp(TcpProbe { send, receive })),
    ]
    .boxed()
}

fn health_check() -> impl Strategy<Value = HealthCheck> {
    let spans = (of(span()), of(span()), of(span()), of(span()), of(span()), of(span()));
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    // Envoy opens the file even when it only validates.
    let numbers = (0..50_u32, 1..9_u32, 1..9_u32, "(/dev/null)?");
    let socket = (alpn(), of(subset_labels()));
    (health_probe(), (span(), span(), span()), spans, flags, numbers, socket).prop_map(
        |(probe, (timeout, interval, no_traffic_interval), spans, flags, numbers, (alpn, socket_labels))| HealthCheck {
            initial_jitter: spans.0,
            interval_jitter: spans.1,
            no_traffic_interval,
            no_traffic_healthy_interval: spans.2,
            unhealthy_interval: spans.3,
            unhealthy_edge_interval: spans.4,
            healthy_edge_interval: spans.5,
            reuse_connection: flags.0,
            always_log_failures: flags.1,
            always_log_successes: flags.2,
            interval_jitter_percent: numbers.0,
            unhealthy_threshold: numbers.1,
            healthy_threshold: numbers.2,
            event_log_path: numbers.3,
            alpn,
            socket_labels,
            ..HealthCheck::new(probe, timeout, interval)
        },
    )
}

fn subset_labels() -> impl Strategy<Value = Labels> {
    let text = || "[a-z]{0,3}".prop_map(MetadataValue::String);
    let value = prop_oneof![
        Just(MetadataValue::Null),
        any::<bool>().prop_map(MetadataValue::Bool),
        (-9..9_i32).prop_map(|number| MetadataValue::Number(number.into())),
        text(),
        vec(text(), 0..3).prop_map(MetadataValue::List),
        btree_map("[a-z]{1,2}", text(), 0..2).prop_map(MetadataValue::Struct),
    ];
    btree_map("[a-z]{1,3}", value, 0..3)
}

fn subsets() -> impl Strategy<Value = SubsetSettings> {
    let fallback =
        || select(vec![SubsetFallback::AnyEndpoint, SubsetFallback::DefaultSubset, SubsetFallback::NoFallback]);
    let selector = (of(fallback()), any::<[bool; 2]>());
    let selectors = btree_map(btree_set("[a-z]{1,3}", 0..3), selector, 1..3);
    (fallback(), subset_labels(), selectors, any::<[bool; 4]>()).prop_map(
        |(fallback, default_subset, selectors, flags)| SubsetSettings {
            fallback,
            default_subset,
            selectors: selectors
                .into_iter()
                .map(|(keys, (fallback, flags))| selector_of(keys, fallback, flags))
                .collect(),
            list_as_any: flags[0],
            weighs_localities: flags[1],
            scales_localities: flags[2],
            panics_to_any: flags[3],
        },
    )
}

fn selector_of(keys: BTreeSet<String>, fallback: Option<SubsetFallback>, flags: [bool; 2]) -> SubsetSelector {
    let fewer = keys.iter().take(1).cloned().collect::<BTreeSet<_>>();
    let fewer_keys = if flags[0] && keys.len() > 1 { fewer } else { BTreeSet::new() };
    SubsetSelector {
        is_single: flags[1] && keys.len() == 1,
        fallback: fallback.filter(|_| fewer_keys.is_empty()),
        fewer_keys,
        keys,
    }
}

fn balancing() -> impl Strategy<Value = Balancing> {
    let zones =
        (percent(), 0..99_u64, any::<bool>()).prop_map(|(routing_enabled, min_cluster_size, fails_in_panic)| {
            LocalityBalancing::ZoneAware(ZoneAware { routing_enabled, min_cluster_size, fails_in_panic })
        });
    let localities = prop_oneof![Just(LocalityBalancing::Ignored), Just(LocalityBalancing::Weighted), zones];
    let hashing = (any::<bool>(), of(100..300_u32));
    let hashing = hashing.prop_map(|(by_hostname, balance_percent)| Hashing { by_hostname, balance_percent });
    let slow_start = of((span(), 1..9_u8, percent()).prop_map(|(window, aggression, min_weight)| SlowStart {
        window,
        aggression: f64::from(aggression) / 2.0,
        min_weight,
    }));
    let health = [
        EndpointHealth::Degraded,
        EndpointHealth::Draining,
        EndpointHealth::Healthy,
        EndpointHealth::Unhealthy,
        EndpointHealth::Unknown,
    ];
    let override_health = of(proptest::sample::subsequence(health.to_vec(), 0..health.len()));
    (of(percent()), localities, any::<[bool; 3]>(), (hashing, slow_start, override_health), of(subsets())).prop_map(
        |(panic_threshold, localities, flags, (hashing, slow_start, override_health), subsets)| {
            // Only weights that there are can be kept.
            let has_weights = localities == LocalityBalancing::Weighted;
            let weighed = |subsets: SubsetSettings| {
                Box::new(SubsetSettings { weighs_localities: subsets.weighs_localities && has_weights, ..subsets })
            };
            Balancing {
                hashing,
                slow_start,
                panic_threshold,
                localities,
                ignore_new_until_checked: flags[0],
                ignore_health_on_removal: flags[1],
                closes_connections_of_failed: flags[2],
                subsets: subsets.map(weighed),
                override_health,
            }
        },
    )
}

fn balancer() -> impl Strategy<Value = BalancerPolicy> {
    prop_oneof![
        (2..9_u32, 0..8_u8, any::<bool>()).prop_map(|(choices, bias, is_full_scan)| {
            let active_request_bias = f64::from(bias) / 4.0;
            BalancerPolicy::LeastRequest(LeastRequest { choices, active_request_bias, is_full_scan })
        }),
        (span(), span()).prop_map(|(default_rtt, decay)| BalancerPolicy::PeakEwma { default_rtt, decay }),
        select(vec![7_u32, 65_537, BalancerPolicy::MAX_MAGLEV_TABLE_SIZE])
            .prop_map(|table_size| BalancerPolicy::Maglev { table_size }),
        Just(BalancerPolicy::ClusterProvided),
        Just(BalancerPolicy::Random),
        (1..5000_u32, 5000..=BalancerPolicy::MAXIMUM_RING_SIZE, any::<bool>()).prop_map(
            |(minimum_ring_size, maximum_ring_size, is_murmur)| {
                let function = if is_murmur { RingFunction::MurmurHash2 } else { RingFunction::XxHash };
                BalancerPolicy::RingHash { minimum_ring_size, maximum_ring_size, function }
            }
        ),
        Just(BalancerPolicy::RoundRobin),
    ]
}

fn thresholds() -> impl Strategy<Value = Thresholds> {
    let limit = || prop_oneof![Just(u32::MAX), 1..10_000_u32];
    let budget = (fraction(), 0..100_u32)
        .prop_map(|(budget, min_retry_concurrency)| RetryBudget { budget, min_retry_concurrency });
    (limit(), limit(), limit(), limit(), of(budget), of(limit())).prop_map(
        |(max_connections, max_pending_requests, max_requests, max_retries, retry_budget, of_endpoint)| Thresholds {
            max_connections,
            max_pending_requests,
            max_requests,
            max_retries,
            retry_budget,
            max_connections_per_endpoint: of_endpoint,
        },
    )
}

fn circuit_breakers() -> impl Strategy<Value = CircuitBreakers> {
    (thresholds(), of(thresholds())).prop_map(|(default, high)| CircuitBreakers { default, high: high.map(Box::new) })
}

fn outlier_detection() -> impl Strategy<Value = OutlierDetection> {
    let some = || (1..=100_u32).prop_map(|percent| Fraction::from_percent(percent).expect("within bounds"));
    let detector = || of((1..100_u32, some()).prop_map(|(threshold, enforced)| Consecutive { threshold, enforced }));
    let detectors = (detector(), detector(), detector(), any::<[bool; 3]>());
    let rates = ((1..9_u32, 1..999_u32, 1..3000_u32), some(), percent());
    let rate = of(rates.prop_map(|(numbers, enforced, local_origin_enforced)| SuccessRate {
        minimum_hosts: numbers.0,
        request_volume: numbers.1,
        stdev_factor_thousandths: numbers.2,
        enforced,
        local_origin_enforced,
    }));
    let failures = ((1..9_u32, 1..999_u32, 1..100_u32), some(), percent());
    let failures = of(failures.prop_map(|(numbers, enforced, local_origin_enforced)| FailurePercentage {
        minimum_hosts: numbers.0,
        request_volume: numbers.1,
        threshold_percent: numbers.2,
        enforced,
        local_origin_enforced,
    }));
    let times = (span(), span(), 1..20_u32, span());
    (detectors, rate, failures, times, percent()).prop_map(
        |((of_5xx, of_gateway, of_local, flags), success_rate, failure_percentage, times, max_ejection)| {
            OutlierDetection {
                consecutive_5xx: of_5xx,
                consecutive_gateway_errors: of_gateway,
                consecutive_local_origin_failures: of_local.filter(|_| flags[0]),
                split_local_origin: flags[0],
                success_rate,
                failure_percentage,
                interval: times.0,
                base_ejection_time: times.1,
                max_ejection_time: times.1 * times.2,
                max_ejection_time_jitter: times.3,
                max_ejection,
                always_eject_one: flags[1],
                health_check_readmits: flags[2],
            }
        },
    )
}

fn upstream_http() -> impl Strategy<Value = UpstreamHttp> {
    let protocol = select(vec![
        UpstreamProtocol::Http1,
        UpstreamProtocol::Http2,
        UpstreamProtocol::Negotiated,
        UpstreamProtocol::SameAsDownstream,
    ]);
    let server_name = (any::<[bool; 2]>(), of("x-[a-z]{1,5}")).prop_map(|([is_sent, is_checked], header)| {
        (is_sent || is_checked).then_some(ServerNameOfRequest { is_sent, is_checked, header })
    });
    let head = (1..8192_u32, 1..1000_u32)
        .prop_map(|(kilobytes, most_count)| ResponseHeaders { most_bytes: kilobytes * 1024, most_count });
    let options = (http1_options(), http2_options(), server_name, head);
    (protocol, of(1..1000_u32), (span(), of(span())), 1..2000_u32, options).prop_map(
        |(
            protocol,
            max_requests_per_connection,
            (idle_timeout, duration),
            max_concurrent_streams,
            (http1, http2, server_name, response_headers),
        )| {
            UpstreamHttp {
                // What is not spoken is not told.
                http1: if protocol == UpstreamProtocol::Http2 { Http1Options::default() } else { http1 },
                http2: if protocol == UpstreamProtocol::Http1 { Http2Options::default() } else { http2 },
                protocol,
                max_requests_per_connection,
                idle_timeout,
                max_connection_duration: duration.filter(|duration| !duration.is_zero()),
                response_headers,
                // HTTP/1.1 has no streams to count, so nothing says how many.
                max_concurrent_streams: match protocol {
                    UpstreamProtocol::Http1 => UpstreamHttp::default().max_concurrent_streams,
                    _ => max_concurrent_streams,
                },
                server_name,
            }
        },
    )
}

fn lookup_family() -> impl Strategy<Value = DnsLookupFamily> {
    select(vec![
        DnsLookupFamily::All,
        DnsLookupFamily::Auto,
        DnsLookupFamily::V4Only,
        DnsLookupFamily::V4Preferred,
        DnsLookupFamily::V6Only,
    ])
}

fn dns() -> BoxedStrategy<Dns> {
    let families = lookup_family();
    let resolver = (vec(address(), 0..3), any::<[bool; 2]>(), of(1..60_u64), of(1..9_u32));
    let resolver = resolver.prop_map(|(servers, flags, timeout, query_tries)| DnsResolver {
        servers,
        use_tcp: flags[0],
        no_search_domain: flags[1],
        query_timeout: timeout.map(Duration::from_secs),
        query_tries,
    });
    let failure = of((span(), span()));
    let endpoint = (name(), address()).prop_map(|(name, address)| Endpoint {
        resolve: Some(name),
        ..Endpoint::new(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), address.port()))
    });
    (cluster_name(), endpoint, span(), failure, span(), any::<[bool; 2]>(), families, resolver)
        .prop_map(|(name, endpoint, refresh_rate, failure_refresh_rate, jitter, flags, lookup_family, resolver)| {
            let locality = LocalityEndpoints { weight: 1, endpoints: vec![endpoint], ..Default::default() };
            let set = EndpointSet { name, localities: vec![locality], ..EndpointSet::default() };
            Dns {
                is_logical: flags[0],
                refresh_rate,
                failure_refresh_rate,
                jitter,
                respect_ttl: flags[1],
                lookup_family,
                resolver,
                ..Dns::new(Arc::new(set))
            }
        })
        .boxed()
}

fn upstream_socket() -> impl Strategy<Value = UpstreamSocket> {
    let seconds = || of((1..9_999_u64).prop_map(Duration::from_secs));
    let keepalive = (of(1..99_u32), seconds(), seconds());
    let keepalive = keepalive.prop_map(|(probes, time, interval)| TcpKeepalive { probes, time, interval });
    let parts = (of(address()), of(keepalive));
    parts.prop_map(|(source_address, keepalive)| UpstreamSocket { source_address, keepalive })
}

/// Of clusters that choose endpoints themselves.
fn provided_discovery() -> impl Strategy<Value = Discovery> {
    let original = (of("x-[a-z]{1,5}"), of(1..9999_u16), span());
    prop_oneof![
        vec(cluster_name(), 1..3).prop_map(Discovery::Aggregate),
        (lookup_family(), span(), span()).prop_map(|(lookup_family, refresh_rate, host_ttl)| {
            Discovery::DynamicHosts(DynamicHosts { lookup_family, refresh_rate, host_ttl })
        }),
        original.prop_map(|(header, port, cleanup_interval)| {
            Discovery::OriginalDestination(OriginalDestination { header, port, cleanup_interval })
        }),
    ]
}

fn scoped_routes() -> BoxedStrategy<ScopedRoutes> {
    let element = prop_oneof![
        Just((String::new(), ScopeElement::At(0))),
        (0..9_u32).prop_map(|at| (";".to_owned(), ScopeElement::At(at))),
        (select(vec!["", ","]), name(), select(vec!["=", ":"])).prop_map(|(between, key, separator)| {
            (between.to_owned(), ScopeElement::Of { key, separator: separator.to_owned() })
        }),
    ];
    let part = ("x-[a-z]{1,5}", element).prop_map(|(header, (separator, element))| ScopeKeyPart {
        header,
        separator,
        element,
    });
    let scopes = prop_oneof![
        Just(ScopeSource::Srds),
        vec(inline_scope(), 1..2).prop_map(|scopes| {
            let numbered = (0_u32..).zip(scopes).map(|(number, scope)| Scope {
                name: format!("{}-{number}", scope.name),
                key: vec![number.to_string()],
                ..scope
            });
            ScopeSource::Inline(numbered.collect())
        }),
    ];
    (name(), vec(part, 1..3), scopes).prop_map(|(name, key, scopes)| ScopedRoutes { name, key, scopes }).boxed()
}

pub(crate) fn scope() -> BoxedStrategy<Scope> {
    let named = (inline_scope(), name()).prop_map(|(scope, table)| Scope { routes: ScopeRoutes::Rds(table), ..scope });
    prop_oneof![named, inline_scope()].boxed()
}

fn inline_scope() -> impl Strategy<Value = Scope> {
    let routes = route_table().prop_map(|table| ScopeRoutes::Inline(Arc::new(table)));
    (name(), vec("[a-z]{0,4}", 1..3), routes).prop_map(|(name, key, routes)| Scope { name, key, routes })
}

pub(crate) fn cluster() -> BoxedStrategy<Cluster> {
    let parts = (span(), balancer(), circuit_breakers(), of(outlier_detection()), of(upstream_tls()), upstream_http());
    let service = of((name(), name()).prop_map(|(namespace, name)| ServiceKey::new(namespace, name)));
    let health = (balancing(), of(health_check()), of(dns()));
    let proxy_protocol = of(select(vec![ProxyProtocolVersion::V1, ProxyProtocolVersion::V2]));
    let matches = vec((subset_labels(), of(upstream_tls()), proxy_protocol.clone()), 0..3);
    let proxy_protocol = (proxy_protocol, upstream_socket(), matches, metadata());
    (cluster_name(), of(localities()), parts, service, health, proxy_protocol, provided_discovery())
        .prop_map(|(name, inline, parts, service, health, (proxy_protocol, socket, matches, metadata), provided)| {
            let (balancing, health_check, dns) = health;
            let discovery = match inline {
                _ if dns.is_some() => Discovery::Dns(Box::new(dns.expect("it was asked"))),
                None => Discovery::Eds { service_name: name.clone() },
                Some(localities) => Discovery::Static(Arc::new(EndpointSet {
                    name: name.clone(),
                    localities,
                    ..EndpointSet::default()
                })),
            };
            let (connect_timeout, balancer, circuit_breakers, outlier_detection, tls, http) = parts;
            let discovery = if balancer == BalancerPolicy::ClusterProvided { provided } else { discovery };
            // What a policy has no use for it cannot say.
            let starts_slowly = matches!(
                balancer,
                BalancerPolicy::LeastRequest(_) | BalancerPolicy::PeakEwma { .. } | BalancerPolicy::RoundRobin
            );
            let balancing = Balancing {
                hashing: Hashing {
                    by_hostname: balancing.hashing.by_hostname
                        && balancer.uses_hash()
                        && matches!(&discovery, Discovery::Dns(dns) if !dns.is_logical),
                    balance_percent: balancing.hashing.balance_percent.filter(|_| balancer.uses_hash()),
                },
                slow_start: balancing.slow_start.clone().filter(|_| starts_slowly),
                subsets: balancing.subsets.clone().filter(|_| balancer != BalancerPolicy::ClusterProvided),
                ..balancing
            };
            // Refused where there is TLS.
            let without_alpn = |check: HealthCheck| HealthCheck { alpn: Vec::new(), ..check };
            let health_check = if tls.is_some() { health_check.map(without_alpn) } else { health_check };
            let numbered = (0_u32..).zip(matches).map(|(number, (labels, tls, proxy_protocol))| SocketMatch {
                name: format!("match-{number}"),
                labels,
                tls,
                proxy_protocol,
            });
            let socket_matches: Vec<_> = numbered.collect();
            let has_tls = tls.is_some() && socket_matches.iter().all(|one| one.tls.is_some());
            let http = match http.protocol {
                UpstreamProtocol::Negotiated if !has_tls => {
                    UpstreamHttp { protocol: UpstreamProtocol::SameAsDownstream, ..http }
                }
                _ => http,
            };
            Cluster {
                name,
                discovery,
                connect_timeout,
                balancer,
                balancing,
                health_check: health_check.map(Box::new),
                circuit_breakers,
                outlier_detection,
                tls,
                proxy_protocol,
                socket,
                metadata,
                socket_matches,
                http,
                service,
            }
        })
        .boxed()
}
