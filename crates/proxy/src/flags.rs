use std::fmt;
use std::ops::{BitOr, BitOrAssign};

/// Why an exchange did not go well; a set, as several reasons may come together.
///
/// Source: Envoy's access log command `%RESPONSE_FLAGS%`, short forms and names.
#[derive(Clone, Copy, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct ResponseFlags(u32);

macro_rules! flags {
    ($($constant:ident = $bit:literal, $short:literal, $long:literal;)*) => {
        impl ResponseFlags {
            pub(crate) const NONE: Self = Self(0);
            $(#[doc = concat!("`", $short, "`, ", $long, ".")] pub(crate) const $constant: Self = Self(1 << $bit);)*

            /// Each flag with its short form and its long name, in Envoy's order.
            const ALL: &[(Self, &'static str, &'static str)] = &[$((Self::$constant, $short, $long),)*];
        }
    };
}

flags! {
    FAILED_LOCAL_HEALTH_CHECK = 0, "LH", "FailedLocalHealthCheck";
    NO_HEALTHY_UPSTREAM = 1, "UH", "NoHealthyUpstream";
    UPSTREAM_TIMEOUT = 2, "UT", "UpstreamRequestTimeout";
    LOCAL_RESET = 3, "LR", "LocalReset";
    UPSTREAM_RESET = 4, "UR", "UpstreamRemoteReset";
    UPSTREAM_CONNECTION_FAILURE = 5, "UF", "UpstreamConnectionFailure";
    UPSTREAM_CONNECTION_TERMINATION = 6, "UC", "UpstreamConnectionTermination";
    UPSTREAM_OVERFLOW = 7, "UO", "UpstreamOverflow";
    NO_ROUTE = 8, "NR", "NoRouteFound";
    DELAY_INJECTED = 9, "DI", "DelayInjected";
    FAULT_INJECTED = 10, "FI", "FaultInjected";
    RATE_LIMITED = 11, "RL", "RateLimited";
    UNAUTHORIZED_EXTERNAL = 12, "UAEX", "UnauthorizedExternalService";
    RATE_LIMIT_SERVICE_ERROR = 13, "RLSE", "RateLimitServiceError";
    DOWNSTREAM_TERMINATION = 14, "DC", "DownstreamConnectionTermination";
    RETRY_LIMIT_EXCEEDED = 15, "URX", "UpstreamRetryLimitExceeded";
    STREAM_IDLE_TIMEOUT = 16, "SI", "StreamIdleTimeout";
    INVALID_HEADERS = 17, "IH", "InvalidEnvoyRequestHeaders";
    DOWNSTREAM_PROTOCOL_ERROR = 18, "DPE", "DownstreamProtocolError";
    UPSTREAM_MAX_DURATION = 19, "UMSDR", "UpstreamMaxStreamDurationReached";
    FROM_CACHE = 20, "RFCF", "ResponseFromCacheFilter";
    NO_FILTER_CONFIG = 21, "NFCF", "NoFilterConfigFound";
    DURATION_TIMEOUT = 22, "DT", "DurationTimeout";
    UPSTREAM_PROTOCOL_ERROR = 23, "UPE", "UpstreamProtocolError";
    NO_CLUSTER = 24, "NC", "NoClusterFound";
    OVERLOAD = 25, "OM", "OverloadManagerTerminated";
    DNS_FAILED = 26, "DF", "DnsResolutionFailed";
    DROP_OVERLOAD = 27, "DO", "DropOverload";
    DOWNSTREAM_RESET = 28, "DR", "DownstreamRemoteReset";
    UNCONDITIONAL_DROP_OVERLOAD = 29, "UDO", "UnconditionalDropOverload";
}

impl ResponseFlags {
    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether every flag of `other` is set here.
    pub(crate) const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub(crate) fn insert(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Short forms of the flags that are set.
    pub(crate) fn short_names(self) -> impl Iterator<Item = &'static str> {
        self.set().map(|(_, short, _)| *short)
    }

    /// Envoy's names of the flags that are set.
    pub(crate) fn long_names(self) -> impl Iterator<Item = &'static str> {
        self.set().map(|(_, _, long)| *long)
    }

    fn set(self) -> impl Iterator<Item = &'static (Self, &'static str, &'static str)> {
        Self::ALL.iter().filter(move |(flag, ..)| self.contains(*flag))
    }
}

impl BitOr for ResponseFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for ResponseFlags {
    fn bitor_assign(&mut self, other: Self) {
        self.insert(other);
    }
}

/// The short forms joined by ",", or "-".
impl fmt::Display for ResponseFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("-");
        }
        for (at, name) in self.short_names().enumerate() {
            if at > 0 {
                f.write_str(",")?;
            }
            f.write_str(name)?;
        }
        Ok(())
    }
}

impl fmt::Debug for ResponseFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ResponseFlags({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_reads_as_envoy_writes_it() {
        assert_eq!(ResponseFlags::NONE.to_string(), "-");
        let flags = ResponseFlags::UPSTREAM_CONNECTION_FAILURE | ResponseFlags::RETRY_LIMIT_EXCEEDED;
        assert_eq!(flags.to_string(), "UF,URX");
        assert_eq!(flags.long_names().collect::<Vec<_>>(), ["UpstreamConnectionFailure", "UpstreamRetryLimitExceeded"]);
        assert!(flags.contains(ResponseFlags::RETRY_LIMIT_EXCEEDED) && !flags.contains(ResponseFlags::NO_ROUTE));
    }

    #[test]
    fn no_two_flags_share_a_bit_or_a_name() {
        let bits: std::collections::HashSet<_> = ResponseFlags::ALL.iter().map(|(flag, ..)| flag.0).collect();
        let names: std::collections::HashSet<_> = ResponseFlags::ALL.iter().map(|(_, short, _)| short).collect();
        assert_eq!((bits.len(), names.len()), (ResponseFlags::ALL.len(), ResponseFlags::ALL.len()));
    }
}
