//! The fields that mean something to Leno, so that a bootstrap which sets any other one is refused by its name.
//!
//! Invariants  a field is named here when, and only when, the codec reads it or its effect is what Leno does anyway
//! Page        `docs/envoy-fields.md`, written by `UPDATE=1 cargo test -p leno-xds`
//! Source      `codec`; Envoy v3 API 1.40

/// Whether a field may be set, and if not, why.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Support {
    /// Read, or without an effect that Leno could miss.
    Full,
    No,
    /// Not here, though Leno can do it elsewhere; the text says why.
    NotHere(&'static str),
    /// Only zero, false or empty: what Leno does without it.
    OffOnly,
}

pub(super) fn support(message: &str, field: &str) -> Support {
    if let Some((.., reason)) = NOT_HERE.iter().find(|(of, name, _)| *of == message && *name == field) {
        return Support::NotHere(reason);
    }
    let Ok(at) = FIELDS.binary_search_by(|(name, ..)| (*name).cmp(message)) else { return Support::No };
    let Some((_, full, off_only)) = FIELDS.get(at) else { return Support::No };
    if full.split(' ').any(|name| name == field) {
        Support::Full
    } else if off_only.split(' ').any(|name| name == field) {
        Support::OffOnly
    } else {
        Support::No
    }
}

const NO_CONTROL_PLANE: &str = "needs a control plane, and a static bootstrap has none";

const HTTP_MANAGER: &str = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";

/// Message, field, reason.
const NOT_HERE: &[(&str, &str, &str)] = &[
    ("envoy.config.bootstrap.v3.Bootstrap", "dynamic_resources", NO_CONTROL_PLANE),
    ("envoy.config.cluster.v3.Cluster", "eds_cluster_config", NO_CONTROL_PLANE),
    ("envoy.config.core.v3.ConfigSource", "ads", NO_CONTROL_PLANE),
    ("envoy.config.core.v3.ConfigSource", "api_config_source", NO_CONTROL_PLANE),
    ("envoy.config.core.v3.ConfigSource", "self", NO_CONTROL_PLANE),
    (HTTP_MANAGER, "rds", NO_CONTROL_PLANE),
    ("envoy.extensions.filters.network.http_connection_manager.v3.ScopedRoutes", "rds_config_source", NO_CONTROL_PLANE),
    ("envoy.extensions.filters.network.http_connection_manager.v3.ScopedRoutes", "scoped_rds", NO_CONTROL_PLANE),
    ("envoy.config.route.v3.ScopedRouteConfiguration", "route_configuration_name", NO_CONTROL_PLANE),
];

/// Message, fields that are supported, fields that are as long as they are off. Sorted by message.
const FIELDS: &[(&str, &str, &str)] = &[
    ("envoy.config.accesslog.v3.AccessLog", "filter name typed_config", ""),
    (
        "envoy.config.accesslog.v3.AccessLogFilter",
        "and_filter duration_filter grpc_status_filter header_filter metadata_filter not_health_check_filter or_filter \
         response_flag_filter runtime_filter status_code_filter",
        "",
    ),
    ("envoy.config.accesslog.v3.AndFilter", "filters", ""),
    ("envoy.config.accesslog.v3.ComparisonFilter", "op value", ""),
    ("envoy.config.accesslog.v3.DurationFilter", "comparison", ""),
    ("envoy.config.accesslog.v3.GrpcStatusFilter", "exclude statuses", ""),
    ("envoy.config.accesslog.v3.HeaderFilter", "header", ""),
    ("envoy.config.accesslog.v3.MetadataFilter", "match_if_key_not_found matcher", ""),
    ("envoy.config.accesslog.v3.NotHealthCheckFilter", "", ""),
    ("envoy.config.accesslog.v3.OrFilter", "filters", ""),
    ("envoy.config.accesslog.v3.ResponseFlagFilter", "flags", ""),
    ("envoy.config.accesslog.v3.RuntimeFilter", "percent_sampled runtime_key use_independent_randomness", ""),
    ("envoy.config.accesslog.v3.StatusCodeFilter", "comparison", ""),
    ("envoy.config.bootstrap.v3.Admin", "address", ""),
    (
        "envoy.config.bootstrap.v3.Bootstrap",
        "admin cluster_manager layered_runtime node overload_manager static_resources",
        "",
    ),
    ("envoy.config.bootstrap.v3.Bootstrap.StaticResources", "clusters listeners secrets", ""),
    ("envoy.config.bootstrap.v3.ClusterManager", "local_cluster_name", ""),
    ("envoy.config.bootstrap.v3.LayeredRuntime", "layers", ""),
    ("envoy.config.bootstrap.v3.RuntimeLayer", "admin_layer name static_layer", ""),
    ("envoy.config.bootstrap.v3.RuntimeLayer.AdminLayer", "", ""),
    ("envoy.config.cluster.v3.CircuitBreakers", "per_host_thresholds thresholds", ""),
    (
        "envoy.config.cluster.v3.CircuitBreakers.Thresholds",
        "max_connections max_pending_requests max_requests max_retries priority retry_budget track_remaining",
        "",
    ),
    ("envoy.config.cluster.v3.CircuitBreakers.Thresholds.RetryBudget", "budget_percent min_retry_concurrency", ""),
    (
        "envoy.config.cluster.v3.Cluster",
        "circuit_breakers cleanup_interval close_connections_on_host_health_failure cluster_type common_http_protocol_options common_lb_config connect_timeout dns_failure_refresh_rate dns_jitter \
         dns_lookup_family dns_refresh_rate dns_resolution_config dns_resolvers health_checks http2_protocol_options \
         ignore_health_on_host_removal lb_policy lb_subset_config least_request_lb_config load_assignment load_balancing_policy maglev_lb_config \
         max_requests_per_connection metadata name original_dst_lb_config outlier_detection per_connection_buffer_limit_bytes respect_dns_ttl ring_hash_lb_config \
         round_robin_lb_config transport_socket transport_socket_matches type typed_dns_resolver_config \
         typed_extension_protocol_options upstream_bind_config upstream_connection_options use_tcp_for_dns_lookups",
        "",
    ),
    (
        "envoy.config.cluster.v3.Cluster.CommonLbConfig",
        "consistent_hashing_lb_config healthy_panic_threshold ignore_new_hosts_until_first_hc locality_weighted_lb_config \
         override_host_status update_merge_window zone_aware_lb_config",
        "",
    ),
    (
        "envoy.config.cluster.v3.Cluster.CommonLbConfig.ConsistentHashingLbConfig",
        "hash_balance_factor use_hostname_for_hashing",
        "",
    ),
    ("envoy.config.cluster.v3.Cluster.CommonLbConfig.LocalityWeightedLbConfig", "", ""),
    (
        "envoy.config.cluster.v3.Cluster.CommonLbConfig.ZoneAwareLbConfig",
        "fail_traffic_on_panic min_cluster_size routing_enabled",
        "",
    ),
    ("envoy.config.cluster.v3.Cluster.CustomClusterType", "name typed_config", ""),
    (
        "envoy.config.cluster.v3.Cluster.LbSubsetConfig",
        "default_subset fallback_policy list_as_any locality_weight_aware panic_mode_any scale_locality_weight \
         subset_selectors",
        "",
    ),
    (
        "envoy.config.cluster.v3.Cluster.LbSubsetConfig.LbSubsetSelector",
        "fallback_keys_subset fallback_policy keys single_host_per_subset",
        "",
    ),
    ("envoy.config.cluster.v3.Cluster.LeastRequestLbConfig", "active_request_bias choice_count slow_start_config", ""),
    ("envoy.config.cluster.v3.Cluster.MaglevLbConfig", "table_size", ""),
    (
        "envoy.config.cluster.v3.Cluster.OriginalDstLbConfig",
        "http_header_name upstream_port_override use_http_header",
        "",
    ),
    ("envoy.config.cluster.v3.Cluster.RefreshRate", "base_interval max_interval", ""),
    ("envoy.config.cluster.v3.Cluster.RingHashLbConfig", "hash_function maximum_ring_size minimum_ring_size", ""),
    ("envoy.config.cluster.v3.Cluster.RoundRobinLbConfig", "slow_start_config", ""),
    ("envoy.config.cluster.v3.Cluster.SlowStartConfig", "aggression min_weight_percent slow_start_window", ""),
    ("envoy.config.cluster.v3.Cluster.TransportSocketMatch", "match name transport_socket", ""),
    ("envoy.config.cluster.v3.LoadBalancingPolicy", "policies", ""),
    ("envoy.config.cluster.v3.LoadBalancingPolicy.Policy", "typed_extension_config", ""),
    (
        "envoy.config.cluster.v3.OutlierDetection",
        "always_eject_one_host base_ejection_time consecutive_5xx consecutive_gateway_failure \
         consecutive_local_origin_failure enforcing_consecutive_5xx enforcing_consecutive_gateway_failure \
         enforcing_consecutive_local_origin_failure enforcing_failure_percentage \
         enforcing_failure_percentage_local_origin enforcing_local_origin_success_rate enforcing_success_rate \
         failure_percentage_minimum_hosts failure_percentage_request_volume failure_percentage_threshold interval \
         max_ejection_percent max_ejection_time max_ejection_time_jitter split_external_local_origin_errors \
         success_rate_minimum_hosts success_rate_request_volume success_rate_stdev_factor \
         successful_active_health_check_uneject_host",
        "detect_degraded_hosts",
    ),
    (
        "envoy.config.cluster.v3.UpstreamConnectionOptions",
        "tcp_keepalive",
        "set_local_interface_name_on_upstream_connections",
    ),
    ("envoy.config.core.v3.Address", "socket_address", ""),
    ("envoy.config.core.v3.BindConfig", "source_address", "freebind"),
    ("envoy.config.core.v3.CidrRange", "address_prefix prefix_len", ""),
    ("envoy.config.core.v3.ConfigSource", "initial_fetch_timeout path path_config_source resource_api_version", ""),
    ("envoy.config.core.v3.DataSource", "environment_variable filename inline_bytes inline_string", ""),
    ("envoy.config.core.v3.DnsResolutionConfig", "dns_resolver_options resolvers", ""),
    ("envoy.config.core.v3.DnsResolverOptions", "no_default_search_domain use_tcp_for_dns_lookups", ""),
    ("envoy.config.core.v3.GrpcService", "envoy_grpc timeout", ""),
    ("envoy.config.core.v3.GrpcService.EnvoyGrpc", "cluster_name", ""),
    ("envoy.config.core.v3.HeaderValue", "key raw_value value", ""),
    ("envoy.config.core.v3.HeaderValueOption", "append append_action header keep_empty_value", ""),
    (
        "envoy.config.core.v3.HealthCheck",
        "always_log_health_check_failures always_log_health_check_success event_log_path event_logger grpc_health_check \
         healthy_edge_interval healthy_threshold http_health_check initial_jitter interval interval_jitter \
         interval_jitter_percent no_traffic_healthy_interval no_traffic_interval reuse_connection tcp_health_check \
         timeout tls_options transport_socket_match_criteria unhealthy_edge_interval unhealthy_interval unhealthy_threshold",
        "",
    ),
    ("envoy.config.core.v3.HealthCheck.GrpcHealthCheck", "authority initial_metadata service_name", ""),
    (
        "envoy.config.core.v3.HealthCheck.HttpHealthCheck",
        "codec_client_type expected_statuses host method path receive request_headers_to_add \
         request_headers_to_remove response_buffer_size retriable_statuses send service_name_matcher",
        "",
    ),
    ("envoy.config.core.v3.HealthCheck.Payload", "binary text", ""),
    ("envoy.config.core.v3.HealthCheck.TcpHealthCheck", "receive send", ""),
    ("envoy.config.core.v3.HealthCheck.TlsOptions", "alpn_protocols", ""),
    ("envoy.config.core.v3.HealthStatusSet", "statuses", ""),
    (
        "envoy.config.core.v3.Http1ProtocolOptions",
        "accept_http_10 allow_absolute_url allow_custom_methods default_host_for_http_10 enable_trailers header_key_format \
         ignore_http_11_upgrade override_stream_error_on_invalid_http_message send_fully_qualified_url",
        "allow_chunked_length",
    ),
    ("envoy.config.core.v3.Http1ProtocolOptions.HeaderKeyFormat", "proper_case_words stateful_formatter", ""),
    ("envoy.config.core.v3.Http1ProtocolOptions.HeaderKeyFormat.ProperCaseWords", "", ""),
    (
        "envoy.config.core.v3.Http2ProtocolOptions",
        "allow_connect connection_keepalive initial_connection_window_size initial_stream_window_size max_concurrent_streams \
         override_stream_error_on_invalid_http_message stream_error_on_invalid_http_messaging",
        "allow_metadata",
    ),
    (
        "envoy.config.core.v3.HttpProtocolOptions",
        "headers_with_underscores_action idle_timeout max_connection_duration max_headers_count max_requests_per_connection \
         max_response_headers_kb max_stream_duration",
        "",
    ),
    ("envoy.config.core.v3.KeepaliveSettings", "interval timeout", ""),
    ("envoy.config.core.v3.Locality", "region sub_zone zone", ""),
    ("envoy.config.core.v3.Metadata", "filter_metadata", ""),
    ("envoy.config.core.v3.Node", "cluster id locality metadata", ""),
    ("envoy.config.core.v3.PathConfigSource", "path watched_directory", ""),
    ("envoy.config.core.v3.ProxyProtocolConfig", "version", ""),
    ("envoy.config.core.v3.RuntimeDouble", "default_value runtime_key", ""),
    ("envoy.config.core.v3.RuntimeFeatureFlag", "default_value runtime_key", ""),
    ("envoy.config.core.v3.RuntimeFractionalPercent", "default_value runtime_key", ""),
    ("envoy.config.core.v3.RuntimeUInt32", "default_value runtime_key", ""),
    ("envoy.config.core.v3.SchemeHeaderTransformation", "scheme_to_overwrite", "match_upstream"),
    ("envoy.config.core.v3.SocketAddress", "address ipv4_compat port_value protocol", ""),
    ("envoy.config.core.v3.SocketOption", "buf_value description int_value level name state", ""),
    (
        "envoy.config.core.v3.SubstitutionFormatString",
        "content_type formatters json_format omit_empty_values text_format text_format_source",
        "",
    ),
    ("envoy.config.core.v3.TcpKeepalive", "keepalive_interval keepalive_probes keepalive_time", ""),
    ("envoy.config.core.v3.TransportSocket", "name typed_config", ""),
    ("envoy.config.core.v3.TypedExtensionConfig", "name typed_config", ""),
    ("envoy.config.core.v3.UpstreamHttpProtocolOptions", "auto_san_validation auto_sni override_auto_sni_header", ""),
    ("envoy.config.core.v3.WatchedDirectory", "path", ""),
    ("envoy.config.endpoint.v3.ClusterLoadAssignment", "cluster_name endpoints policy", ""),
    (
        "envoy.config.endpoint.v3.ClusterLoadAssignment.Policy",
        "drop_overloads overprovisioning_factor weighted_priority_health",
        "",
    ),
    ("envoy.config.endpoint.v3.ClusterLoadAssignment.Policy.DropOverload", "category drop_percentage", ""),
    ("envoy.config.endpoint.v3.Endpoint", "address health_check_config hostname", ""),
    (
        "envoy.config.endpoint.v3.Endpoint.HealthCheckConfig",
        "address disable_active_health_check hostname port_value",
        "",
    ),
    ("envoy.config.endpoint.v3.LbEndpoint", "endpoint health_status load_balancing_weight metadata", ""),
    (
        "envoy.config.endpoint.v3.LocalityLbEndpoints",
        "lb_endpoints load_balancing_weight locality metadata priority",
        "",
    ),
    ("envoy.config.listener.v3.AdditionalAddress", "address", ""),
    ("envoy.config.listener.v3.Filter", "name typed_config", ""),
    ("envoy.config.listener.v3.FilterChain", "filter_chain_match filters name transport_socket", ""),
    (
        "envoy.config.listener.v3.FilterChainMatch",
        "application_protocols destination_port direct_source_prefix_ranges prefix_ranges server_names \
         source_ports source_prefix_ranges source_type transport_protocol",
        "",
    ),
    (
        "envoy.config.listener.v3.Listener",
        "access_log additional_addresses address bind_to_port connection_balance_config continue_on_listener_filters_timeout \
         default_filter_chain enable_mptcp enable_reuse_port filter_chains freebind listener_filters listener_filters_timeout \
         max_connections_to_accept_per_socket_event metadata name per_connection_buffer_limit_bytes socket_options stat_prefix \
         tcp_backlog_size tcp_fast_open_queue_length tcp_keepalive traffic_direction transparent use_original_dst",
        "",
    ),
    ("envoy.config.listener.v3.Listener.ConnectionBalanceConfig", "exact_balance", ""),
    ("envoy.config.listener.v3.Listener.ConnectionBalanceConfig.ExactBalance", "", ""),
    ("envoy.config.listener.v3.ListenerFilter", "name typed_config", ""),
    ("envoy.config.overload.v3.OverloadAction", "name triggers", ""),
    ("envoy.config.overload.v3.OverloadManager", "actions refresh_interval resource_monitors", ""),
    ("envoy.config.overload.v3.ResourceMonitor", "name typed_config", ""),
    ("envoy.config.overload.v3.ScaledTrigger", "saturation_threshold scaling_threshold", ""),
    ("envoy.config.overload.v3.ThresholdTrigger", "value", ""),
    ("envoy.config.overload.v3.Trigger", "name scaled threshold", ""),
    ("envoy.config.ratelimit.v3.RateLimitServiceConfig", "grpc_service transport_api_version", ""),
    (
        "envoy.config.rbac.v3.Permission",
        "and_rules any destination_ip destination_port destination_port_range header metadata not_rule or_rules \
         requested_server_name sourced_metadata url_path",
        "",
    ),
    ("envoy.config.rbac.v3.Permission.Set", "rules", ""),
    ("envoy.config.rbac.v3.Policy", "permissions principals", ""),
    (
        "envoy.config.rbac.v3.Principal",
        "and_ids any authenticated direct_remote_ip header metadata not_id or_ids remote_ip source_ip \
         sourced_metadata url_path",
        "",
    ),
    ("envoy.config.rbac.v3.Principal.Authenticated", "principal_name", ""),
    ("envoy.config.rbac.v3.Principal.Set", "ids", ""),
    ("envoy.config.rbac.v3.RBAC", "action policies", ""),
    ("envoy.config.rbac.v3.SourcedMetadata", "metadata_matcher metadata_source", ""),
    ("envoy.config.route.v3.CookieMatcher", "invert_match name string_match", ""),
    ("envoy.config.route.v3.Decorator", "operation propagate", ""),
    ("envoy.config.route.v3.DirectResponseAction", "body status", ""),
    ("envoy.config.route.v3.FilterConfig", "config disabled is_optional", ""),
    (
        "envoy.config.route.v3.HeaderMatcher",
        "contains_match exact_match invert_match name prefix_match present_match range_match safe_regex_match \
         string_match suffix_match treat_missing_header_as_empty",
        "",
    ),
    ("envoy.config.route.v3.HedgePolicy", "hedge_on_per_try_timeout initial_requests", "additional_request_chance"),
    (
        "envoy.config.route.v3.InternalRedirectPolicy",
        "allow_cross_scheme_redirect max_internal_redirects predicates redirect_response_codes response_headers_to_copy",
        "",
    ),
    ("envoy.config.route.v3.QueryParameterMatcher", "name present_match string_match", ""),
    ("envoy.config.route.v3.RateLimit", "actions disable_key hits_addend limit stage", ""),
    (
        "envoy.config.route.v3.RateLimit.Action",
        "destination_cluster dynamic_metadata generic_key header_value_match masked_remote_address metadata query_parameter_value_match query_parameters remote_address request_headers source_cluster",
        "",
    ),
    ("envoy.config.route.v3.RateLimit.Action.DestinationCluster", "", ""),
    ("envoy.config.route.v3.RateLimit.Action.DynamicMetaData", "default_value descriptor_key metadata_key", ""),
    ("envoy.config.route.v3.RateLimit.Action.GenericKey", "descriptor_key descriptor_value", ""),
    (
        "envoy.config.route.v3.RateLimit.Action.HeaderValueMatch",
        "descriptor_key descriptor_value expect_match headers",
        "",
    ),
    ("envoy.config.route.v3.RateLimit.Action.MaskedRemoteAddress", "v4_prefix_mask_len v6_prefix_mask_len", ""),
    (
        "envoy.config.route.v3.RateLimit.Action.MetaData",
        "default_value descriptor_key metadata_key skip_if_absent source",
        "",
    ),
    (
        "envoy.config.route.v3.RateLimit.Action.QueryParameterValueMatch",
        "descriptor_key descriptor_value expect_match query_parameters",
        "",
    ),
    (
        "envoy.config.route.v3.RateLimit.Action.QueryParameters",
        "descriptor_key query_parameter_name skip_if_absent",
        "",
    ),
    ("envoy.config.route.v3.RateLimit.Action.RemoteAddress", "", ""),
    ("envoy.config.route.v3.RateLimit.Action.RequestHeaders", "descriptor_key header_name skip_if_absent", ""),
    ("envoy.config.route.v3.RateLimit.Action.SourceCluster", "", ""),
    ("envoy.config.route.v3.RateLimit.HitsAddend", "format number", ""),
    ("envoy.config.route.v3.RateLimit.Override", "dynamic_metadata rate_limit", ""),
    ("envoy.config.route.v3.RateLimit.Override.DynamicMetadata", "metadata_key", ""),
    ("envoy.config.route.v3.RateLimit.Override.RateLimitOverride", "requests_per_unit unit", ""),
    (
        "envoy.config.route.v3.RedirectAction",
        "host_redirect https_redirect path_redirect port_redirect prefix_rewrite regex_rewrite response_code scheme_redirect \
         strip_query",
        "",
    ),
    (
        "envoy.config.route.v3.RetryPolicy",
        "host_selection_retry_max_attempts num_retries per_try_idle_timeout per_try_timeout rate_limited_retry_back_off \
         retriable_headers retriable_request_headers retriable_status_codes retry_back_off retry_host_predicate retry_on retry_priority",
        "",
    ),
    ("envoy.config.route.v3.RetryPolicy.RateLimitedRetryBackOff", "max_interval reset_headers", ""),
    ("envoy.config.route.v3.RetryPolicy.ResetHeader", "format name", ""),
    ("envoy.config.route.v3.RetryPolicy.RetryBackOff", "base_interval max_interval", ""),
    ("envoy.config.route.v3.RetryPolicy.RetryHostPredicate", "name typed_config", ""),
    ("envoy.config.route.v3.RetryPolicy.RetryPriority", "name typed_config", ""),
    (
        "envoy.config.route.v3.Route",
        "decorator direct_response match metadata name per_request_buffer_limit_bytes redirect request_body_buffer_limit \
         request_headers_to_add request_headers_to_remove response_headers_to_add response_headers_to_remove route \
         tracing typed_per_filter_config",
        "",
    ),
    (
        "envoy.config.route.v3.RouteAction",
        "append_x_forwarded_host auto_host_rewrite cluster cluster_header cluster_not_found_response_code \
         flush_timeout grpc_timeout_offset hash_policy hedge_policy host_rewrite_header host_rewrite_literal \
         host_rewrite_path_regex idle_timeout include_vh_rate_limits internal_redirect_policy max_grpc_timeout \
         max_stream_duration metadata_match path_rewrite_policy prefix_rewrite priority rate_limits regex_rewrite \
         request_mirror_policies retry_policy timeout upgrade_configs weighted_clusters",
        "",
    ),
    (
        "envoy.config.route.v3.RouteAction.HashPolicy",
        "header cookie connection_properties query_parameter terminal",
        "",
    ),
    ("envoy.config.route.v3.RouteAction.HashPolicy.ConnectionProperties", "source_ip", ""),
    ("envoy.config.route.v3.RouteAction.HashPolicy.Cookie", "name ttl path attributes", ""),
    ("envoy.config.route.v3.RouteAction.HashPolicy.CookieAttribute", "name value", ""),
    ("envoy.config.route.v3.RouteAction.HashPolicy.Header", "header_name", ""),
    ("envoy.config.route.v3.RouteAction.HashPolicy.QueryParameter", "name", ""),
    (
        "envoy.config.route.v3.RouteAction.MaxStreamDuration",
        "grpc_timeout_header_max grpc_timeout_header_offset max_stream_duration",
        "",
    ),
    (
        "envoy.config.route.v3.RouteAction.RequestMirrorPolicy",
        "cluster cluster_header disable_shadow_host_suffix_append host_rewrite_literal runtime_fraction trace_sampled",
        "",
    ),
    ("envoy.config.route.v3.RouteAction.UpgradeConfig", "connect_config enabled upgrade_type", ""),
    ("envoy.config.route.v3.RouteAction.UpgradeConfig.ConnectConfig", "allow_post proxy_protocol_config", ""),
    (
        "envoy.config.route.v3.RouteConfiguration",
        "ignore_port_in_host_matching internal_only_headers most_specific_header_mutations_wins name vhost_header \
         request_headers_to_add request_headers_to_remove request_mirror_policies response_headers_to_add \
         response_headers_to_remove typed_per_filter_config validate_clusters virtual_hosts",
        "",
    ),
    (
        "envoy.config.route.v3.RouteMatch",
        "case_sensitive connect_matcher cookies dynamic_metadata grpc headers path path_match_policy path_separated_prefix prefix query_parameters runtime_fraction safe_regex \
         tls_context",
        "",
    ),
    ("envoy.config.route.v3.RouteMatch.ConnectMatcher", "", ""),
    ("envoy.config.route.v3.RouteMatch.GrpcRouteMatchOptions", "", ""),
    ("envoy.config.route.v3.RouteMatch.TlsContextMatchOptions", "presented validated", ""),
    ("envoy.config.route.v3.ScopedRouteConfiguration", "key name route_configuration", "on_demand"),
    ("envoy.config.route.v3.ScopedRouteConfiguration.Key", "fragments", ""),
    ("envoy.config.route.v3.ScopedRouteConfiguration.Key.Fragment", "string_key", ""),
    ("envoy.config.route.v3.Tracing", "client_sampling random_sampling overall_sampling", ""),
    (
        "envoy.config.route.v3.VirtualHost",
        "domains hedge_policy include_attempt_count_in_response include_is_timeout_retry_header include_request_attempt_count name \
         per_request_buffer_limit_bytes rate_limits request_body_buffer_limit request_headers_to_add request_headers_to_remove \
         response_headers_to_add response_headers_to_remove retry_policy request_mirror_policies require_tls routes typed_per_filter_config",
        "",
    ),
    (
        "envoy.config.route.v3.WeightedCluster",
        "clusters header_name runtime_key_prefix total_weight use_hash_policy",
        "",
    ),
    (
        "envoy.config.route.v3.WeightedCluster.ClusterWeight",
        "cluster_header host_rewrite_literal metadata_match name request_headers_to_add request_headers_to_remove response_headers_to_add response_headers_to_remove \
         typed_per_filter_config weight",
        "",
    ),
    (
        "envoy.extensions.access_loggers.file.v3.FileAccessLog",
        "format json_format log_format path typed_json_format",
        "",
    ),
    (
        "envoy.extensions.access_loggers.grpc.v3.CommonGrpcAccessLogConfig",
        "buffer_flush_interval buffer_size_bytes custom_tags filter_state_objects_to_log grpc_service log_name transport_api_version",
        "",
    ),
    (
        "envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig",
        "additional_request_headers_to_log additional_response_headers_to_log additional_response_trailers_to_log common_config",
        "",
    ),
    ("envoy.extensions.access_loggers.grpc.v3.TcpGrpcAccessLogConfig", "common_config", ""),
    (
        "envoy.extensions.access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig",
        "attributes body buffer_flush_interval buffer_size_bytes common_config custom_tags disable_builtin_labels \
         filter_state_objects_to_log formatters grpc_service log_name resource_attributes",
        "",
    ),
    ("envoy.extensions.access_loggers.stream.v3.StderrAccessLog", "log_format", ""),
    ("envoy.extensions.access_loggers.stream.v3.StdoutAccessLog", "log_format", ""),
    ("envoy.extensions.clusters.aggregate.v3.ClusterConfig", "clusters", ""),
    (
        "envoy.extensions.clusters.dns.v3.DnsCluster",
        "all_addresses_in_single_endpoint dns_failure_refresh_rate dns_jitter dns_lookup_family \
         dns_refresh_rate respect_dns_ttl typed_dns_resolver_config",
        "",
    ),
    ("envoy.extensions.clusters.dns.v3.DnsCluster.RefreshRate", "base_interval max_interval", ""),
    ("envoy.extensions.common.ratelimit.v3.LocalClusterRateLimit", "", ""),
    ("envoy.extensions.common.ratelimit.v3.LocalRateLimitDescriptor", "entries shadow_mode token_bucket", ""),
    ("envoy.extensions.common.ratelimit.v3.RateLimitDescriptor.Entry", "key value", ""),
    (
        "envoy.extensions.compression.brotli.compressor.v3.Brotli",
        "chunk_size disable_literal_context_modeling encoder_mode input_block_bits quality window_bits",
        "",
    ),
    ("envoy.extensions.compression.brotli.decompressor.v3.Brotli", "chunk_size disable_ring_buffer_reallocation", ""),
    (
        "envoy.extensions.compression.gzip.compressor.v3.Gzip",
        "chunk_size compression_level compression_strategy memory_level window_bits",
        "",
    ),
    ("envoy.extensions.compression.gzip.decompressor.v3.Gzip", "chunk_size max_inflate_ratio window_bits", ""),
    (
        "envoy.extensions.compression.zstd.compressor.v3.Zstd",
        "chunk_size compression_level enable_checksum strategy",
        "",
    ),
    ("envoy.extensions.compression.zstd.decompressor.v3.Zstd", "chunk_size", ""),
    ("envoy.extensions.filters.common.fault.v3.FaultDelay", "fixed_delay header_delay percentage", ""),
    ("envoy.extensions.filters.common.fault.v3.FaultDelay.HeaderDelay", "", ""),
    ("envoy.extensions.filters.common.fault.v3.FaultRateLimit", "fixed_limit header_limit percentage", ""),
    ("envoy.extensions.filters.common.fault.v3.FaultRateLimit.FixedLimit", "limit_kbps", ""),
    ("envoy.extensions.filters.common.fault.v3.FaultRateLimit.HeaderLimit", "", ""),
    ("envoy.extensions.filters.http.buffer.v3.Buffer", "max_request_bytes", ""),
    ("envoy.extensions.filters.http.buffer.v3.BufferPerRoute", "buffer disabled", ""),
    (
        "envoy.extensions.filters.http.compressor.v3.Compressor",
        "choose_first compressor_library content_length content_type disable_on_etag_header \
         remove_accept_encoding_header request_direction_config response_direction_config runtime_enabled",
        "",
    ),
    (
        "envoy.extensions.filters.http.compressor.v3.Compressor.CommonDirectionConfig",
        "content_type content_type_matcher enabled min_content_length",
        "",
    ),
    ("envoy.extensions.filters.http.compressor.v3.Compressor.RequestDirectionConfig", "common_config", ""),
    (
        "envoy.extensions.filters.http.compressor.v3.Compressor.ResponseDirectionConfig",
        "common_config disable_on_etag_header remove_accept_encoding_header uncompressible_response_codes \
         weaken_etag_on_compress",
        "status_header_enabled",
    ),
    ("envoy.extensions.filters.http.compressor.v3.CompressorOverrides", "response_direction_config", ""),
    ("envoy.extensions.filters.http.compressor.v3.CompressorPerRoute", "disabled overrides", ""),
    ("envoy.extensions.filters.http.compressor.v3.ResponseDirectionOverrides", "remove_accept_encoding_header", ""),
    ("envoy.extensions.filters.http.cors.v3.Cors", "", ""),
    (
        "envoy.extensions.filters.http.cors.v3.CorsPolicy",
        "allow_credentials allow_headers allow_methods allow_origin_string_match allow_private_network_access \
         expose_headers filter_enabled forward_not_matching_preflights max_age shadow_enabled",
        "",
    ),
    (
        "envoy.extensions.filters.http.decompressor.v3.Decompressor",
        "decompressor_library request_direction_config response_direction_config",
        "",
    ),
    (
        "envoy.extensions.filters.http.decompressor.v3.Decompressor.CommonDirectionConfig",
        "enabled ignore_no_transform_header",
        "",
    ),
    (
        "envoy.extensions.filters.http.decompressor.v3.Decompressor.RequestDirectionConfig",
        "advertise_accept_encoding common_config",
        "",
    ),
    ("envoy.extensions.filters.http.decompressor.v3.Decompressor.ResponseDirectionConfig", "common_config", ""),
    (
        "envoy.extensions.filters.http.fault.v3.FaultAbort",
        "grpc_status header_abort http_status percentage response_body",
        "",
    ),
    ("envoy.extensions.filters.http.fault.v3.FaultAbort.HeaderAbort", "", ""),
    (
        "envoy.extensions.filters.http.fault.v3.HTTPFault",
        "abort abort_grpc_status_runtime abort_http_status_runtime abort_percent_runtime delay delay_duration_runtime \
         delay_percent_runtime disable_downstream_cluster_stats downstream_nodes headers max_active_faults \
         max_active_faults_runtime response_rate_limit response_rate_limit_percent_runtime upstream_cluster",
        "",
    ),
    ("envoy.extensions.filters.http.header_to_metadata.v3.Config", "request_rules response_rules stat_prefix", ""),
    (
        "envoy.extensions.filters.http.header_to_metadata.v3.Config.KeyValuePair",
        "encode key metadata_namespace regex_value_rewrite type value",
        "",
    ),
    (
        "envoy.extensions.filters.http.header_to_metadata.v3.Config.Rule",
        "cookie header on_header_missing on_header_present remove",
        "",
    ),
    (
        "envoy.extensions.filters.http.health_check.v3.HealthCheck",
        "cache_time cluster_min_healthy_percentages headers pass_through_mode",
        "",
    ),
    (
        "envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
        "always_consume_default_token_bucket descriptors enable_retry_after_header enable_x_ratelimit_headers \
         filter_enabled filter_enforced local_cluster_rate_limit local_rate_limit_per_downstream_connection max_dynamic_descriptors rate_limits \
         rate_limited_as_resource_exhausted request_headers_to_add_when_not_enforced response_headers_to_add stage \
         stat_prefix status token_bucket vh_rate_limits",
        "",
    ),
    (
        "envoy.extensions.filters.http.ratelimit.v3.RateLimit",
        "disable_x_envoy_ratelimited_header domain enable_x_ratelimit_headers failure_mode_deny failure_mode_deny_percent \
         filter_enabled filter_enforced rate_limit_service rate_limited_as_resource_exhausted rate_limited_status \
         rate_limits request_type response_headers_to_add stage stat_prefix status_on_error timeout",
        "",
    ),
    ("envoy.extensions.filters.http.ratelimit.v3.RateLimitPerRoute", "domain rate_limits vh_rate_limits", ""),
    (
        "envoy.extensions.filters.http.rbac.v3.RBAC",
        "rules rules_stat_prefix shadow_rules shadow_rules_stat_prefix track_per_rule_stats",
        "",
    ),
    ("envoy.extensions.filters.http.rbac.v3.RBACPerRoute", "rbac", ""),
    (
        "envoy.extensions.filters.http.router.v3.Router",
        "dynamic_stats respect_expected_rq_timeout strict_check_headers suppress_envoy_headers \
         suppress_grpc_request_failure_code_stats",
        "start_child_span",
    ),
    ("envoy.extensions.filters.http.set_metadata.v3.Config", "metadata metadata_namespace value", ""),
    ("envoy.extensions.filters.http.set_metadata.v3.Metadata", "allow_overwrite metadata_namespace value", ""),
    (
        "envoy.extensions.filters.http.stateful_session.v3.StatefulSession",
        "session_state stat_prefix status_on_strict_destination_not_found strict",
        "",
    ),
    ("envoy.extensions.filters.http.stateful_session.v3.StatefulSessionPerRoute", "disabled stateful_session", ""),
    (
        "envoy.extensions.filters.listener.local_ratelimit.v3.LocalRateLimit",
        "runtime_enabled stat_prefix token_bucket",
        "",
    ),
    (
        "envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol",
        "allow_requests_without_proxy_protocol disallowed_versions",
        "",
    ),
    (
        "envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit",
        "delay max_connections runtime_enabled stat_prefix",
        "",
    ),
    (
        HTTP_MANAGER,
        "access_log access_log_flush_interval access_log_options flush_access_log_on_new_request codec_type common_http_protocol_options forward_client_cert_details generate_request_id \
         http_filters max_request_headers_kb request_headers_timeout request_timeout route_config scoped_routes set_current_client_cert_details \
         stat_prefix stream_error_on_invalid_http_message stream_idle_timeout upgrade_configs http2_protocol_options http_protocol_options proxy_100_continue \
         add_user_agent append_x_forwarded_port local_reply_config delayed_close_timeout drain_timeout internal_address_config \
         original_ip_detection_extensions scheme_header_transformation always_set_request_id_in_response merge_slashes normalize_path \
         path_with_escaped_slashes_action preserve_external_request_id server_header_transformation server_name \
         skip_xff_append strip_any_host_port strip_matching_host_port strip_trailing_host_dot use_remote_address via \
         xff_num_trusted_hops",
        "",
    ),
    (
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.HcmAccessLogOptions",
        "access_log_flush_interval flush_access_log_on_new_request flush_log_on_tunnel_successfully_established",
        "",
    ),
    (
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.InternalAddressConfig",
        "cidr_ranges",
        "unix_sockets",
    ),
    (
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.SetCurrentClientCertDetails",
        "cert chain dns subject uri",
        "",
    ),
    (
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.UpgradeConfig",
        "enabled filters upgrade_type",
        "",
    ),
    (
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter",
        "disabled is_optional name typed_config",
        "",
    ),
    ("envoy.extensions.filters.network.http_connection_manager.v3.LocalReplyConfig", "body_format mappers", ""),
    (
        "envoy.extensions.filters.network.http_connection_manager.v3.ResponseMapper",
        "body body_format_override filter headers_to_add status_code",
        "",
    ),
    (
        "envoy.extensions.filters.network.http_connection_manager.v3.ScopedRouteConfigurationsList",
        "scoped_route_configurations",
        "",
    ),
    (
        "envoy.extensions.filters.network.http_connection_manager.v3.ScopedRoutes",
        "name scope_key_builder scoped_route_configurations_list",
        "",
    ),
    ("envoy.extensions.filters.network.http_connection_manager.v3.ScopedRoutes.ScopeKeyBuilder", "fragments", ""),
    (
        "envoy.extensions.filters.network.http_connection_manager.v3.ScopedRoutes.ScopeKeyBuilder.FragmentBuilder",
        "header_value_extractor",
        "",
    ),
    (
        "envoy.extensions.filters.network.http_connection_manager.v3.ScopedRoutes.ScopeKeyBuilder.FragmentBuilder.HeaderValueExtractor",
        "element element_separator index name",
        "",
    ),
    (
        "envoy.extensions.filters.network.http_connection_manager.v3.ScopedRoutes.ScopeKeyBuilder.FragmentBuilder.HeaderValueExtractor.KvElement",
        "key separator",
        "",
    ),
    (
        "envoy.extensions.filters.network.local_ratelimit.v3.LocalRateLimit",
        "runtime_enabled share_key stat_prefix token_bucket",
        "",
    ),
    (
        "envoy.extensions.filters.network.rbac.v3.RBAC",
        "delay_deny enforcement_type rules shadow_rules shadow_rules_stat_prefix stat_prefix",
        "",
    ),
    (
        "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        "access_log_flush_interval access_log_options flush_access_log_on_connected access_log cluster hash_policy idle_timeout max_connect_attempts max_downstream_connection_duration stat_prefix \
         tunneling_config weighted_clusters",
        "",
    ),
    (
        "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.TcpAccessLogOptions",
        "access_log_flush_interval flush_access_log_on_connected flush_access_log_on_start",
        "",
    ),
    (
        "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.TunnelingConfig",
        "headers_to_add hostname post_path propagate_response_headers propagate_response_trailers use_post",
        "",
    ),
    ("envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.WeightedCluster", "clusters", ""),
    ("envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.WeightedCluster.ClusterWeight", "name weight", ""),
    ("envoy.extensions.formatter.metadata.v3.Metadata", "", ""),
    ("envoy.extensions.formatter.req_without_query.v3.ReqWithoutQuery", "", ""),
    ("envoy.extensions.health_check.event_sinks.file.v3.HealthCheckEventFileSink", "event_log_path", ""),
    (
        "envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig",
        "",
        "forward_reason_phrase formatter_type_on_envoy_headers",
    ),
    (
        "envoy.extensions.http.original_ip_detection.xff.v3.XffConfig",
        "skip_xff_append xff_num_trusted_hops xff_trusted_cidrs",
        "",
    ),
    ("envoy.extensions.http.original_ip_detection.xff.v3.XffTrustedCidrs", "cidrs", ""),
    ("envoy.extensions.http.stateful_session.cookie.v3.CookieBasedSessionState", "cookie", ""),
    ("envoy.extensions.http.stateful_session.header.v3.HeaderBasedSessionState", "name", ""),
    ("envoy.extensions.internal_redirect.allow_listed_routes.v3.AllowListedRoutesConfig", "allowed_route_names", ""),
    ("envoy.extensions.internal_redirect.previous_routes.v3.PreviousRoutesConfig", "", ""),
    ("envoy.extensions.internal_redirect.safe_cross_scheme.v3.SafeCrossSchemeConfig", "", ""),
    ("envoy.extensions.load_balancing_policies.cluster_provided.v3.ClusterProvided", "", ""),
    (
        "envoy.extensions.load_balancing_policies.common.v3.ConsistentHashingLbConfig",
        "hash_balance_factor use_hostname_for_hashing",
        "",
    ),
    (
        "envoy.extensions.load_balancing_policies.common.v3.LocalityLbConfig",
        "locality_weighted_lb_config zone_aware_lb_config",
        "",
    ),
    ("envoy.extensions.load_balancing_policies.common.v3.LocalityLbConfig.LocalityWeightedLbConfig", "", ""),
    (
        "envoy.extensions.load_balancing_policies.common.v3.LocalityLbConfig.ZoneAwareLbConfig",
        "fail_traffic_on_panic min_cluster_size routing_enabled",
        "force_locality_direct_routing locality_basis",
    ),
    (
        "envoy.extensions.load_balancing_policies.common.v3.SlowStartConfig",
        "aggression min_weight_percent slow_start_window",
        "",
    ),
    (
        "envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest",
        "active_request_bias choice_count enable_full_scan locality_lb_config selection_method slow_start_config",
        "",
    ),
    (
        "envoy.extensions.load_balancing_policies.maglev.v3.Maglev",
        "consistent_hashing_lb_config locality_weighted_lb_config table_size",
        "",
    ),
    ("envoy.extensions.load_balancing_policies.random.v3.Random", "locality_lb_config", ""),
    (
        "envoy.extensions.load_balancing_policies.ring_hash.v3.RingHash",
        "consistent_hashing_lb_config hash_balance_factor hash_function locality_weighted_lb_config \
         maximum_ring_size minimum_ring_size use_hostname_for_hashing",
        "",
    ),
    ("envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin", "locality_lb_config slow_start_config", ""),
    (
        "envoy.extensions.load_balancing_policies.subset.v3.Subset",
        "default_subset fallback_policy list_as_any locality_weight_aware panic_mode_any scale_locality_weight \
         subset_lb_policy subset_selectors",
        "allow_redundant_keys",
    ),
    (
        "envoy.extensions.load_balancing_policies.subset.v3.Subset.LbSubsetSelector",
        "fallback_keys_subset fallback_policy keys single_host_per_subset",
        "",
    ),
    ("envoy.extensions.load_balancing_policies.wrr_locality.v3.WrrLocality", "endpoint_picking_policy", ""),
    (
        "envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig",
        "dns_resolver_options edns0_max_payload_size max_udp_channel_duration query_timeout_seconds \
         query_tries resolvers rotate_nameservers udp_max_queries",
        "",
    ),
    ("envoy.extensions.network.dns_resolver.getaddrinfo.v3.GetAddrInfoDnsResolverConfig", "", ""),
    ("envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig", "path_template", ""),
    ("envoy.extensions.path.rewrite.uri_template.v3.UriTemplateRewriteConfig", "path_template_rewrite", ""),
    (
        "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
        "max_active_downstream_connections",
        "",
    ),
    ("envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig", "max_heap_size_bytes", ""),
    ("envoy.extensions.retry.host.omit_canary_hosts.v3.OmitCanaryHostsPredicate", "", ""),
    ("envoy.extensions.retry.host.omit_host_metadata.v3.OmitHostMetadataConfig", "metadata_match", ""),
    ("envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate", "", ""),
    ("envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig", "update_frequency", ""),
    (
        "envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport",
        "config transport_socket",
        "allow_unspecified_address tlv_as_pool_key",
    ),
    (
        "envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext",
        "allow_expired_certificate match_subject_alt_names match_typed_subject_alt_names suppress_client_ca_list \
         trust_chain_verification trusted_ca verify_certificate_hash verify_certificate_spki watched_directory",
        "",
    ),
    (
        "envoy.extensions.transport_sockets.tls.v3.CommonTlsContext",
        "alpn_protocols combined_validation_context tls_certificate_sds_secret_configs tls_certificates tls_params \
         validation_context validation_context_sds_secret_config",
        "",
    ),
    (
        "envoy.extensions.transport_sockets.tls.v3.CommonTlsContext.CombinedCertificateValidationContext",
        "default_validation_context validation_context_sds_secret_config",
        "",
    ),
    (
        "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context disable_stateful_session_resumption disable_stateless_session_resumption \
         ocsp_staple_policy require_client_certificate",
        "full_scan_certs_on_sni_mismatch require_sni",
    ),
    ("envoy.extensions.transport_sockets.tls.v3.SdsSecretConfig", "name sds_config", ""),
    ("envoy.extensions.transport_sockets.tls.v3.Secret", "name tls_certificate validation_context", ""),
    ("envoy.extensions.transport_sockets.tls.v3.SubjectAltNameMatcher", "matcher san_type", ""),
    ("envoy.extensions.transport_sockets.tls.v3.TlsCertificate", "certificate_chain private_key watched_directory", ""),
    (
        "envoy.extensions.transport_sockets.tls.v3.TlsParameters",
        "cipher_suites ecdh_curves tls_maximum_protocol_version tls_minimum_protocol_version",
        "",
    ),
    (
        "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        "auto_sni_san_validation common_tls_context max_session_keys sni",
        "allow_renegotiation auto_host_sni",
    ),
    (
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "auto_config common_http_protocol_options explicit_http_config upstream_http_protocol_options \
         use_downstream_protocol_config",
        "",
    ),
    (
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions.AutoHttpConfig",
        "http2_protocol_options http_protocol_options",
        "",
    ),
    (
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions.ExplicitHttpConfig",
        "http2_protocol_options http_protocol_options",
        "",
    ),
    (
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions.UseDownstreamHttpConfig",
        "http2_protocol_options http_protocol_options",
        "",
    ),
    ("envoy.service.discovery.v3.DiscoveryResponse", "nonce resources type_url version_info", ""),
    ("envoy.type.http.v3.Cookie", "attributes name path ttl", ""),
    ("envoy.type.http.v3.CookieAttribute", "name value", ""),
    ("envoy.type.matcher.v3.DoubleMatcher", "exact range", ""),
    ("envoy.type.matcher.v3.ListMatcher", "one_of", ""),
    ("envoy.type.matcher.v3.MetadataMatcher", "filter invert path value", ""),
    ("envoy.type.matcher.v3.MetadataMatcher.PathSegment", "key", ""),
    ("envoy.type.matcher.v3.OrMatcher", "value_matchers", ""),
    ("envoy.type.matcher.v3.PathMatcher", "path", ""),
    ("envoy.type.matcher.v3.RegexMatchAndSubstitute", "pattern substitution", ""),
    ("envoy.type.matcher.v3.RegexMatcher", "google_re2 regex", ""),
    ("envoy.type.matcher.v3.StringMatcher", "contains exact ignore_case prefix safe_regex suffix", ""),
    (
        "envoy.type.matcher.v3.ValueMatcher",
        "bool_match double_match list_match null_match or_match present_match string_match",
        "",
    ),
    ("envoy.type.matcher.v3.ValueMatcher.NullMatch", "", ""),
    ("envoy.type.metadata.v3.MetadataKey", "key path", ""),
    ("envoy.type.metadata.v3.MetadataKey.PathSegment", "key", ""),
    ("envoy.type.metadata.v3.MetadataKind", "cluster host request route", ""),
    ("envoy.type.metadata.v3.MetadataKind.Cluster", "", ""),
    ("envoy.type.metadata.v3.MetadataKind.Host", "", ""),
    ("envoy.type.metadata.v3.MetadataKind.Request", "", ""),
    ("envoy.type.metadata.v3.MetadataKind.Route", "", ""),
    ("envoy.type.tracing.v3.CustomTag", "environment literal metadata request_header tag", ""),
    ("envoy.type.tracing.v3.CustomTag.Environment", "default_value name", ""),
    ("envoy.type.tracing.v3.CustomTag.Header", "default_value name", ""),
    ("envoy.type.tracing.v3.CustomTag.Literal", "value", ""),
    ("envoy.type.tracing.v3.CustomTag.Metadata", "default_value kind metadata_key", ""),
    ("envoy.type.v3.DoubleRange", "end start", ""),
    ("envoy.type.v3.FractionalPercent", "denominator numerator", ""),
    ("envoy.type.v3.HashPolicy", "source_ip", ""),
    ("envoy.type.v3.HashPolicy.SourceIp", "", ""),
    ("envoy.type.v3.HttpStatus", "code", ""),
    ("envoy.type.v3.Int32Range", "end start", ""),
    ("envoy.type.v3.Int64Range", "end start", ""),
    ("envoy.type.v3.Percent", "value", ""),
    ("envoy.type.v3.TokenBucket", "fill_interval max_tokens tokens_per_fill", ""),
    (
        "opentelemetry.proto.common.v1.AnyValue",
        "array_value bool_value double_value int_value kvlist_value string_value",
        "",
    ),
    ("opentelemetry.proto.common.v1.ArrayValue", "values", ""),
    ("opentelemetry.proto.common.v1.KeyValue", "key value", ""),
    ("opentelemetry.proto.common.v1.KeyValueList", "values", ""),
];

#[cfg(test)]
mod page;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_sorted_and_every_field_exists() {
        assert!(FIELDS.is_sorted_by_key(|(name, ..)| *name));
        let pool = crate::bootstrap::reader::pool();
        let not_here = NOT_HERE.iter().map(|(message, field, _)| (*message, *field));
        let listed = FIELDS.iter().flat_map(|(message, full, off_only)| {
            let fields = full.split(' ').chain(off_only.split(' ')).filter(|field| !field.is_empty());
            fields.map(|field| (*message, field))
        });
        for (message, field) in listed.chain(not_here) {
            let message = pool.get_message_by_name(message).unwrap_or_else(|| panic!("{message} is no message"));
            assert!(message.get_field_by_name(field).is_some(), "{} has no {field}", message.full_name());
        }
    }
}
