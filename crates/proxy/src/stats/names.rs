//! The names that Envoy gives to what a place of the configuration counts. Only names of what is counted here are listed: one
//! that were always 0 would say more than is known.
//!
//! Source      Envoy configuration/upstream/cluster_manager/cluster_stats, http/http_conn_man/stats, http/http_filters/router_filter,
//!             listeners/stats, listeners/network_filters/tcp_proxy_filter

/// One kind of place: a cluster, a connection manager …
pub(crate) trait Kind: Copy + std::fmt::Debug + 'static {
    type Counter: Slot;
    type Gauge: Slot;
    type Histogram: Slot;
    /// What the names of its scopes begin with.
    const ROOT: Root;
}

/// One of a list of names.
pub(crate) trait Slot: Copy + 'static {
    const NAMES: &'static [&'static str];

    fn at(self) -> usize;
}

/// The first part of a name.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) enum Root {
    Cluster,
    Http,
    Listener,
    Tcp,
}

impl Root {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Http => "http",
            Self::Listener => "listener",
            Self::Tcp => "tcp",
        }
    }

    /// The label of Prometheus that has the rest of the scope's name, as Envoy extracts it.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Cluster => "envoy_cluster_name",
            Self::Http => "envoy_http_conn_manager_prefix",
            Self::Listener => "envoy_listener_address",
            Self::Tcp => "envoy_tcp_prefix",
        }
    }
}

macro_rules! slots {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        #[allow(clippy::enum_variant_names, reason = "they are Envoy's")]
        pub(crate) enum $name {
            $($variant,)*
        }

        impl Slot for $name {
            const NAMES: &'static [&'static str] = &[$($text,)*];

            fn at(self) -> usize {
                self as usize
            }
        }
    };
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct OfCluster;

impl Kind for OfCluster {
    type Counter = ClusterCounter;
    type Gauge = ClusterGauge;
    type Histogram = ClusterHistogram;
    const ROOT: Root = Root::Cluster;
}

slots! {
    /// What grows in a cluster.
    ClusterCounter {
        Ejections = "outlier_detection.ejections_enforced_total",
        InternalRedirectSucceeded = "upstream_internal_redirect_succeeded_total",
        CxConnectAttemptsExceeded = "upstream_cx_connect_attempts_exceeded",
        CxConnectFail = "upstream_cx_connect_fail",
        CxConnectTimeout = "upstream_cx_connect_timeout",
        CxDestroy = "upstream_cx_destroy",
        CxDestroyLocal = "upstream_cx_destroy_local",
        CxDestroyLocalWithActiveRq = "upstream_cx_destroy_local_with_active_rq",
        CxDestroyRemote = "upstream_cx_destroy_remote",
        CxDestroyRemoteWithActiveRq = "upstream_cx_destroy_remote_with_active_rq",
        CxDestroyWithActiveRq = "upstream_cx_destroy_with_active_rq",
        CxHttp1Total = "upstream_cx_http1_total",
        CxHttp2Total = "upstream_cx_http2_total",
        CxIdleTimeout = "upstream_cx_idle_timeout",
        CxMaxRequests = "upstream_cx_max_requests",
        CxNoneHealthy = "upstream_cx_none_healthy",
        CxOverflow = "upstream_cx_overflow",
        CxProtocolError = "upstream_cx_protocol_error",
        CxTotal = "upstream_cx_total",
        MembershipChange = "membership_change",
        RqActiveOverflow = "upstream_rq_active_overflow",
        RqCancelled = "upstream_rq_cancelled",
        RqPendingFailureEject = "upstream_rq_pending_failure_eject",
        RqPendingOverflow = "upstream_rq_pending_overflow",
        RqPendingTotal = "upstream_rq_pending_total",
        RqPerTryIdleTimeout = "upstream_rq_per_try_idle_timeout",
        RqPerTryTimeout = "upstream_rq_per_try_timeout",
        RqRetry = "upstream_rq_retry",
        RqRetryBackoffExponential = "upstream_rq_retry_backoff_exponential",
        RqRetryBackoffRatelimited = "upstream_rq_retry_backoff_ratelimited",
        RqRetryLimitExceeded = "upstream_rq_retry_limit_exceeded",
        RqRetryOverflow = "upstream_rq_retry_overflow",
        RqRetrySuccess = "upstream_rq_retry_success",
        RqRxReset = "upstream_rq_rx_reset",
        RqTimeout = "upstream_rq_timeout",
        RqTotal = "upstream_rq_total",
        RqTxReset = "upstream_rq_tx_reset",
    }
}

slots! {
    /// What goes up and down in a cluster.
    ClusterGauge {
        EjectionsActive = "outlier_detection.ejections_active",
        CxActive = "upstream_cx_active",
        RqActive = "upstream_rq_active",
        RqPendingActive = "upstream_rq_pending_active",
    }
}

slots! {
    /// What has a distribution in a cluster. Milliseconds.
    ClusterHistogram {
        CxConnect = "upstream_cx_connect_ms",
        CxLength = "upstream_cx_length_ms",
        RqTime = "upstream_rq_time",
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct OfHttp;

impl Kind for OfHttp {
    type Counter = HttpCounter;
    type Gauge = HttpGauge;
    type Histogram = HttpHistogram;
    const ROOT: Root = Root::Http;
}

slots! {
    /// What grows in a connection manager, the router's part included.
    HttpCounter {
        CxDestroy = "downstream_cx_destroy",
        CxDestroyActiveRq = "downstream_cx_destroy_active_rq",
        CxDestroyLocal = "downstream_cx_destroy_local",
        CxDestroyRemote = "downstream_cx_destroy_remote",
        CxDestroyRemoteActiveRq = "downstream_cx_destroy_remote_active_rq",
        CxHttp1Total = "downstream_cx_http1_total",
        CxHttp2Total = "downstream_cx_http2_total",
        CxIdleTimeout = "downstream_cx_idle_timeout",
        CxOverloadDisableKeepalive = "downstream_cx_overload_disable_keepalive",
        CxProtocolError = "downstream_cx_protocol_error",
        CxSslTotal = "downstream_cx_ssl_total",
        CxTotal = "downstream_cx_total",
        CxUpgradesTotal = "downstream_cx_upgrades_total",
        NoCluster = "no_cluster",
        NoRoute = "no_route",
        Rq1xx = "downstream_rq_1xx",
        Rq2xx = "downstream_rq_2xx",
        Rq3xx = "downstream_rq_3xx",
        Rq4xx = "downstream_rq_4xx",
        Rq5xx = "downstream_rq_5xx",
        RqCompleted = "downstream_rq_completed",
        RqDirectResponse = "rq_direct_response",
        RqFailedPathNormalization = "downstream_rq_failed_path_normalization",
        RqHeaderTimeout = "downstream_rq_header_timeout",
        RqHttp1Total = "downstream_rq_http1_total",
        RqHttp2Total = "downstream_rq_http2_total",
        RqIdleTimeout = "downstream_rq_idle_timeout",
        RqMaxDurationReached = "downstream_rq_max_duration_reached",
        RqOverloadClose = "downstream_rq_overload_close",
        RqRedirectedWithNormalizedPath = "downstream_rq_redirected_with_normalized_path",
        RqResetAfterResponseStarted = "rq_reset_after_downstream_response_started",
        RqResponseBeforeRqComplete = "downstream_rq_response_before_rq_complete",
        RqRxReset = "downstream_rq_rx_reset",
        RqTooLarge = "downstream_rq_too_large",
        RqTotal = "downstream_rq_total",
        RqTxReset = "downstream_rq_tx_reset",
        RqWsOnNonWsRoute = "downstream_rq_ws_on_non_ws_route",
        RouterRqTotal = "rq_total",
    }
}

slots! {
    /// What goes up and down in a connection manager.
    HttpGauge {
        CxActive = "downstream_cx_active",
        CxHttp1Active = "downstream_cx_http1_active",
        CxHttp2Active = "downstream_cx_http2_active",
        CxSslActive = "downstream_cx_ssl_active",
        CxUpgradesActive = "downstream_cx_upgrades_active",
        RqActive = "downstream_rq_active",
    }
}

slots! {
    /// What has a distribution in a connection manager. Milliseconds.
    HttpHistogram {
        CxLength = "downstream_cx_length_ms",
        RqTime = "downstream_rq_time",
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct OfListener;

impl Kind for OfListener {
    type Counter = ListenerCounter;
    type Gauge = ListenerGauge;
    type Histogram = ListenerHistogram;
    const ROOT: Root = Root::Listener;
}

slots! {
    /// What grows at a listener.
    ListenerCounter {
        CxDestroy = "downstream_cx_destroy",
        CxOverflow = "downstream_cx_overflow",
        CxOverloadReject = "downstream_cx_overload_reject",
        CxTotal = "downstream_cx_total",
        CxTransportSocketConnectTimeout = "downstream_cx_transport_socket_connect_timeout",
        NoFilterChainMatch = "no_filter_chain_match",
        PreCxTimeout = "downstream_pre_cx_timeout",
        SslConnectionError = "ssl.connection_error",
        SslHandshake = "ssl.handshake",
    }
}

slots! {
    /// What goes up and down at a listener.
    ListenerGauge {
        CxActive = "downstream_cx_active",
    }
}

slots! {
    /// What has a distribution at a listener. Milliseconds.
    ListenerHistogram {
        CxLength = "downstream_cx_length_ms",
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct OfTcp;

impl Kind for OfTcp {
    type Counter = TcpCounter;
    type Gauge = Nothing;
    type Histogram = Nothing;
    const ROOT: Root = Root::Tcp;
}

slots! {
    /// What grows in a TCP proxy.
    TcpCounter {
        CxNoRoute = "downstream_cx_no_route",
        CxRxBytes = "downstream_cx_rx_bytes_total",
        CxTotal = "downstream_cx_total",
        CxTxBytes = "downstream_cx_tx_bytes_total",
        IdleTimeout = "idle_timeout",
    }
}

/// There are none.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Nothing {}

impl Slot for Nothing {
    const NAMES: &'static [&'static str] = &[];

    fn at(self) -> usize {
        match self {}
    }
}
