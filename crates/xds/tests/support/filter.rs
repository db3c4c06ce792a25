//! HTTP filters and what routes say about them.
use leno_ir::*;
use leno_names::Fraction;
use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

use super::{
    cluster_name, fraction, header_match, header_ops, name, percent, rate_limits, rbac, span, string_match,
    subset_labels, token_bucket,
};

pub(super) fn filters() -> impl Strategy<Value = Vec<HttpFilter>> {
    let config = prop_oneof![
        buffer().prop_map(HttpFilterConfig::Buffer),
        Just(HttpFilterConfig::Cors),
        fault().prop_map(|fault| HttpFilterConfig::Fault(Box::new(fault))).boxed(),
        health_check().prop_map(HttpFilterConfig::HealthCheck),
        decompressor().prop_map(|filter| HttpFilterConfig::Decompressor(Box::new(filter))).boxed(),
        compressor().prop_map(|filter| HttpFilterConfig::Compressor(Box::new(filter))).boxed(),
        http_rbac().prop_map(|filter| HttpFilterConfig::Rbac(Box::new(filter))).boxed(),
        local_rate_limit().prop_map(|filter| HttpFilterConfig::LocalRateLimit(Box::new(filter))).boxed(),
        header_to_metadata().prop_map(HttpFilterConfig::HeaderToMetadata).boxed(),
        set_metadata().prop_map(HttpFilterConfig::SetMetadata).boxed(),
        rate_limit().prop_map(|filter| HttpFilterConfig::RateLimit(Box::new(filter))).boxed(),
        stateful_session().prop_map(|filter| HttpFilterConfig::StatefulSession(Box::new(filter))).boxed(),
    ];
    let filter = (name(), any::<bool>(), config);
    vec(filter.prop_map(|(name, disabled, config)| HttpFilter { name, disabled, config }), 0..3)
}

pub(super) fn overrides() -> impl Strategy<Value = FilterOverrides> {
    let buffer = prop_oneof![buffer().prop_map(BufferOverride::Buffer), Just(BufferOverride::Disabled)];
    let config = prop_oneof![
        buffer.prop_map(RouteFilterConfig::Buffer),
        cors_policy().prop_map(RouteFilterConfig::Cors),
        fault().prop_map(|fault| RouteFilterConfig::Fault(Box::new(fault))).boxed(),
        route_compressor().prop_map(RouteFilterConfig::Compressor),
        of(http_rbac()).prop_map(|filter| RouteFilterConfig::Rbac(filter.map(Box::new))).boxed(),
        local_rate_limit()
            .prop_map(|filter| LocalRateLimit {
                token_bucket: Some(filter.token_bucket.unwrap_or(TokenBucket {
                    max_tokens: 1,
                    tokens_per_fill: 1,
                    fill_interval: TokenBucket::MIN_FILL_INTERVAL
                })),
                ..filter
            })
            .prop_map(|filter| RouteFilterConfig::LocalRateLimit(Box::new(filter)))
            .boxed(),
        header_to_metadata()
            .prop_filter("routes have rules", |filter| !filter.request_rules.is_empty()
                || !filter.response_rules.is_empty())
            .prop_map(RouteFilterConfig::HeaderToMetadata)
            .boxed(),
        route_rate_limit().prop_map(RouteFilterConfig::RateLimit).boxed(),
        prop_oneof![
            Just(RouteSession::Disabled),
            stateful_session().prop_map(|session| RouteSession::Session(Box::new(session))),
        ]
        .prop_map(RouteFilterConfig::StatefulSession)
        .boxed(),
    ];
    let one = prop_oneof![
        Just(FilterOverride::Disabled),
        Just(FilterOverride::Enabled),
        config.prop_map(FilterOverride::Config).boxed(),
    ];
    prop_oneof![3 => Just(FilterOverrides::new()), 1 => btree_map(name(), one, 0..3)]
}

fn cors_policy() -> impl Strategy<Value = CorsPolicy> {
    let texts = ("[A-Z,]{0,6}", "[a-z,]{0,6}", "[a-z,]{0,6}", "[0-9]{0,3}");
    let flags = (of(any::<bool>()), of(any::<bool>()), of(any::<bool>()));
    (vec(string_match(), 0..3), texts, flags, fraction(), fraction()).prop_map(
        |(allow_origins, texts, flags, enabled, shadow_enabled)| CorsPolicy {
            allow_origins,
            allow_methods: texts.0,
            allow_headers: texts.1,
            expose_headers: texts.2,
            max_age: texts.3,
            allow_credentials: flags.0,
            allow_private_network_access: flags.1,
            forward_not_matching_preflights: flags.2,
            enabled,
            shadow_enabled,
        },
    )
}

fn buffer() -> impl Strategy<Value = Buffer> {
    (1..u32::MAX).prop_map(|max_request_bytes| Buffer { max_request_bytes })
}

/// A share in units that a request may name, or in any.
fn share() -> impl Strategy<Value = (ShareUnit, Fraction)> {
    let unit = select(vec![ShareUnit::Percent, ShareUnit::TenThousandth, ShareUnit::Millionth]);
    (unit, 0..=100_u32).prop_map(|(unit, count)| {
        let parts = Fraction::from_parts_per_million(count * unit.parts_per_million());
        (unit, parts.expect("within bounds"))
    })
}

fn fault() -> impl Strategy<Value = Fault> {
    let delay = prop_oneof![
        (span(), fraction()).prop_map(|(span, share)| FaultDelay { kind: FaultDelayKind::Fixed(span), share }),
        share().prop_map(|(unit, share)| FaultDelay { kind: FaultDelayKind::Header(unit), share }),
    ];
    let abort = prop_oneof![
        (0..20_u32, fraction()).prop_map(|(status, share)| (FaultAbortKind::Grpc(status), share)),
        (200..600_u16, fraction()).prop_map(|(status, share)| (FaultAbortKind::Http(status), share)),
        share().prop_map(|(unit, share)| (FaultAbortKind::Header(unit), share)),
    ];
    let abort = (abort, "[a-z]{0,4}").prop_map(|((kind, share), body)| FaultAbort { kind, share, body });
    let limit = prop_oneof![
        (1..9_u64, fraction())
            .prop_map(|(rate, share)| FaultRateLimit { kind: FaultRateLimitKind::Fixed(rate), share }),
        share().prop_map(|(unit, share)| FaultRateLimit { kind: FaultRateLimitKind::Header(unit), share }),
    ];
    let whom = ("[a-z]{0,4}", vec(header_match(), 0..2), vec(name(), 0..2), of(0..9_u32));
    (of(delay), of(abort), of(limit), whom).prop_map(|(delay, abort, response_rate_limit, whom)| Fault {
        delay,
        abort,
        response_rate_limit,
        upstream_cluster: whom.0,
        headers: whom.1,
        downstream_nodes: whom.2,
        max_active: whom.3,
    })
}

fn health_check() -> impl Strategy<Value = HttpHealthCheck> {
    let least = btree_map(cluster_name(), percent(), 0..3);
    (any::<bool>(), of(span()), least, vec(header_match(), 0..2)).prop_map(
        |(pass_through, cache_time, least, headers)| HttpHealthCheck {
            pass_through,
            cache_time: cache_time.filter(|_| pass_through),
            min_healthy: if pass_through { Default::default() } else { least },
            headers,
        },
    )
}
fn http_rbac() -> impl Strategy<Value = HttpRbac> {
    (of(rbac(true)), "[a-z]{0,3}", of(rbac(true)), "[a-z]{0,3}", any::<bool>()).prop_map(
        |(rules, rules_stat_prefix, shadow_rules, shadow_rules_stat_prefix, track_per_rule_stats)| HttpRbac {
            rules,
            rules_stat_prefix,
            shadow_rules,
            shadow_rules_stat_prefix,
            track_per_rule_stats,
        },
    )
}

fn decompressor() -> impl Strategy<Value = Decompressor> {
    let encoding = prop_oneof![
        Just(DecompressorEncoding::Brotli),
        (1..=1032_u32).prop_map(|max_inflate_ratio| DecompressorEncoding::Gzip { max_inflate_ratio }),
        Just(DecompressorEncoding::Zstd),
    ];
    let direction = || {
        (any::<bool>(), any::<bool>())
            .prop_map(|(enabled, ignores_no_transform)| DecompressedDirection { enabled, ignores_no_transform })
    };
    (name(), encoding, direction(), direction(), any::<bool>()).prop_map(
        |(library_name, encoding, requests, responses, advertises)| Decompressor {
            library_name,
            encoding,
            requests,
            responses,
            advertises,
        },
    )
}

fn compressor() -> impl Strategy<Value = Compressor> {
    let encoding = prop_oneof![
        (0..=11_u8, 10..=24_u8).prop_map(|(quality, window_bits)| CompressorEncoding::Brotli { quality, window_bits }),
        (1..=9_u8, 9..=15_u8).prop_map(|(level, window_bits)| CompressorEncoding::Gzip { level, window_bits }),
        (1..=22_u8, any::<bool>()).prop_map(|(level, checksum)| CompressorEncoding::Zstd { level, checksum }),
    ];
    let library = (name(), encoding).prop_map(|(name, encoding)| CompressorLibrary { name, encoding });
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let older = (compressed_direction(), flags).prop_map(|(responses, flags)| {
        let options = ResponseCompression {
            disable_on_etag: flags.0,
            weaken_etag: flags.3 && flags.1,
            remove_accept_encoding: flags.2,
            uncompressible_statuses: if flags.3 { vec![206] } else { Vec::new() },
        };
        let needs_newer = flags.3 || matches!(responses.content_types, ContentTypes::Match(_));
        (responses, options, needs_newer)
    });
    (library, of(compressed_direction()), older, any::<bool>(), any::<bool>()).prop_map(
        |(library, requests, (responses, response_options, needs_newer), prefix, choose_first)| Compressor {
            library,
            requests,
            responses,
            response_options,
            has_response_stat_prefix: prefix || needs_newer,
            choose_first,
        },
    )
}

fn compressed_direction() -> impl Strategy<Value = CompressedDirection> {
    let content_types = prop_oneof![
        vec("[a-z]{1,4}/[a-z]{1,4}", 0..3).prop_map(ContentTypes::List),
        vec(string_match(), 1..3).prop_map(ContentTypes::Match),
    ];
    (any::<bool>(), 1..999_u32, content_types).prop_map(|(enabled, min_content_length, content_types)| {
        CompressedDirection { enabled, min_content_length, content_types }
    })
}

fn route_compressor() -> impl Strategy<Value = RouteCompressor> {
    prop_oneof![
        Just(RouteCompressor::Disabled),
        Just(RouteCompressor::Inherited),
        of(any::<bool>()).prop_map(|remove_accept_encoding| RouteCompressor::Enabled { remove_accept_encoding }),
    ]
}

fn rate_limit() -> impl Strategy<Value = RateLimit> {
    let requests = prop::sample::select(vec![
        RateLimitedRequests::Both,
        RateLimitedRequests::External,
        RateLimitedRequests::Internal,
    ]);
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let names = (name(), name(), "[a-z]{0,3}", (of(fraction()), fraction(), fraction(), filter_rules()));
    (
        names,
        0..=10_u32,
        requests,
        of(span()),
        flags,
        select(vec![400_u16, 429, 503]),
        select(vec![200_u16, 403, 500]),
        added_headers(),
    )
        .prop_map(
            |(names, stage, requests, timeout, flags, rate_limited_status, status_on_error, response_headers)| {
                RateLimit {
                    domain: names.0,
                    stage,
                    requests,
                    timeout,
                    failure_mode_deny: flags.0,
                    failure_mode_deny_share: names.3.0,
                    enabled: names.3.1,
                    enforced: names.3.2,
                    rules: names.3.3,
                    resource_exhausted: flags.1,
                    cluster: names.1,
                    limit_headers: flags.2,
                    ratelimited_header: flags.3,
                    rate_limited_status,
                    status_on_error,
                    response_headers,
                    stat_prefix: names.2,
                }
            },
        )
}

fn added_headers() -> impl Strategy<Value = HeaderOps> {
    header_ops().prop_map(|ops| HeaderOps { remove: Vec::new(), ..ops })
}

fn local_rate_limit() -> impl Strategy<Value = LocalRateLimit> {
    let entries = vec(("[a-z]{1,3}", "[a-z]{0,2}"), 1..3);
    let descriptor = (entries, token_bucket(), any::<bool>())
        .prop_map(|(entries, token_bucket, is_shadow)| LimitedDescriptor { entries, token_bucket, is_shadow });
    let descriptors = vec(descriptor, 0..3).prop_map(|mut all| {
        all.dedup_by(|a, b| a.entries == b.entries);
        all
    });
    let rules = rate_limits().prop_map(|mut rules| {
        rules.iter_mut().for_each(|rule| (rule.stage, rule.limit) = (0, None));
        rules
    });
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let whom = (descriptors, 0..=10_u32, rules, virtual_host_rules(), 1..99_u32);
    let shares = (fraction(), fraction());
    let headers = (added_headers(), added_headers());
    let status = select(vec![400_u16, 429, 503]);
    (name(), status, of(token_bucket()), shares, headers, whom, flags).prop_map(
        |(stat_prefix, status, token_bucket, shares, headers, whom, flags)| LocalRateLimit {
            stat_prefix,
            status,
            token_bucket,
            enabled: shares.0,
            enforced: shares.1,
            unenforced_request_headers: headers.0,
            response_headers: headers.1,
            descriptors: whom.0,
            stage: whom.1,
            rules: whom.2,
            virtual_host_rules: whom.3,
            shared_by_cluster: false,
            per_connection: flags.0,
            always_consumes_default: flags.1,
            max_dynamic_descriptors: whom.4,
            limit_headers: flags.2,
            retry_after_header: flags.3,
            resource_exhausted: flags.4,
        },
    )
}

fn header_to_metadata() -> impl Strategy<Value = HeaderToMetadata> {
    let kind = select(vec![HeaderMetadataKind::Number, HeaderMetadataKind::Protobuf, HeaderMetadataKind::String]);
    let literal = || "[a-z]{1,3}".prop_map(HeaderMetadataValue::Literal);
    let value = prop_oneof![
        Just(HeaderMetadataValue::Field),
        literal(),
        ("[a-z]{1,3}", "[a-z]{0,3}")
            .prop_map(|(pattern, substitution)| HeaderMetadataValue::Rewritten { pattern, substitution }),
    ];
    let metadata = move |value: BoxedStrategy<HeaderMetadataValue>| {
        (name(), name(), value, kind.clone(), any::<bool>()).prop_map(|(namespace, key, value, kind, is_base64)| {
            HeaderMetadata { namespace, key, value, kind, is_base64 }
        })
    };
    let source = prop_oneof![
        name().prop_map(MetadataSourceField::Cookie),
        ("[a-z]{1,3}", any::<bool>()).prop_map(|(name, remove)| MetadataSourceField::Header { name, remove }),
    ];
    let rule = (source, of(metadata(value.boxed())), of(metadata(literal().boxed())))
        .prop_filter("a rule says something", |(_, present, missing)| present.is_some() || missing.is_some())
        .prop_map(|(source, present, missing)| HeaderToMetadataRule { source, present, missing })
        .boxed();
    (vec(rule.clone(), 0..2), vec(rule, 0..2), "[a-z]{0,2}").prop_map(|(request_rules, response_rules, stat_prefix)| {
        HeaderToMetadata { request_rules, response_rules, stat_prefix }
    })
}

fn set_metadata() -> impl Strategy<Value = SetMetadata> {
    let entry = (name(), any::<bool>(), subset_labels())
        .prop_map(|(namespace, allow_overwrite, fields)| FixedMetadata { namespace, allow_overwrite, fields });
    vec(entry, 0..3).prop_map(|entries| SetMetadata { entries })
}

fn stateful_session() -> impl Strategy<Value = StatefulSession> {
    let cookie = (name(), 0..9_u64, "(/[a-z]{0,2})?", vec((name(), "[a-z]{0,2}"), 0..2));
    let cookie = cookie.prop_map(|(name, ttl, path, attributes)| {
        SessionState::Cookie(SessionCookie { name, ttl: std::time::Duration::from_secs(ttl), path, attributes })
    });
    let state = prop_oneof![cookie, "[a-z]{1,3}".prop_map(SessionState::Header)];
    (of(state), any::<bool>(), of(200..600_u16), "[a-z]{0,2}").prop_map(
        |(state, strict, missing_status, stat_prefix)| StatefulSession { state, strict, missing_status, stat_prefix },
    )
}

fn virtual_host_rules() -> impl Strategy<Value = VirtualHostRules> {
    select(vec![VirtualHostRules::Ignore, VirtualHostRules::Include, VirtualHostRules::Override])
}

/// Rules of the filter itself.
fn filter_rules() -> impl Strategy<Value = Vec<RateLimitRule>> {
    let addend =
        prop_oneof![(0..1000_u64).prop_map(HitsAddend::Number), Just(HitsAddend::Format("%REQ(x-hits)%".to_owned())),];
    (rate_limits(), of(addend)).prop_map(|(mut rules, addend)| {
        rules.iter_mut().for_each(|rule| (rule.stage, rule.hits_addend) = (0, addend.clone()));
        rules
    })
}

fn route_rate_limit() -> impl Strategy<Value = RouteRateLimit> {
    (virtual_host_rules(), "[a-z]{0,3}", filter_rules())
        .prop_map(|(virtual_host_rules, domain, rules)| RouteRateLimit { virtual_host_rules, domain, rules })
}
