use std::fmt;
use std::ops::{BitOr, BitOrAssign};

/// Why an exchange did not go well; several reasons may come together, and are kept as they came.
///
/// Shape       up to 12 codes of 5 bits, the first one lowest; 0: no more
/// Source      Envoy's access log command `%RESPONSE_FLAGS%`, short forms and names; it writes them in the order they were set
#[derive(Clone, Copy, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct ResponseFlags(u64);

/// Of one code.
const BITS: u32 = 5;
const MASK: u64 = (1 << BITS) - 1;

macro_rules! flags {
    ($($constant:ident = $code:literal, $short:literal, $long:literal;)*) => {
        impl ResponseFlags {
            pub(crate) const NONE: Self = Self(0);
            $(#[doc = concat!("`", $short, "`, ", $long, ".")] pub(crate) const $constant: Self = Self($code);)*

            /// Short form and long name of each code, from 1 on.
            const NAMES: &[(&'static str, &'static str)] = &[$(($short, $long),)*];
        }
    };
}

flags! {
    FAILED_LOCAL_HEALTH_CHECK = 1, "LH", "FailedLocalHealthCheck";
    NO_HEALTHY_UPSTREAM = 2, "UH", "NoHealthyUpstream";
    UPSTREAM_TIMEOUT = 3, "UT", "UpstreamRequestTimeout";
    LOCAL_RESET = 4, "LR", "LocalReset";
    UPSTREAM_RESET = 5, "UR", "UpstreamRemoteReset";
    UPSTREAM_CONNECTION_FAILURE = 6, "UF", "UpstreamConnectionFailure";
    UPSTREAM_CONNECTION_TERMINATION = 7, "UC", "UpstreamConnectionTermination";
    UPSTREAM_OVERFLOW = 8, "UO", "UpstreamOverflow";
    NO_ROUTE = 9, "NR", "NoRouteFound";
    DELAY_INJECTED = 10, "DI", "DelayInjected";
    FAULT_INJECTED = 11, "FI", "FaultInjected";
    RATE_LIMITED = 12, "RL", "RateLimited";
    UNAUTHORIZED_EXTERNAL = 13, "UAEX", "UnauthorizedExternalService";
    RATE_LIMIT_SERVICE_ERROR = 14, "RLSE", "RateLimitServiceError";
    DOWNSTREAM_TERMINATION = 15, "DC", "DownstreamConnectionTermination";
    RETRY_LIMIT_EXCEEDED = 16, "URX", "UpstreamRetryLimitExceeded";
    STREAM_IDLE_TIMEOUT = 17, "SI", "StreamIdleTimeout";
    INVALID_HEADERS = 18, "IH", "InvalidEnvoyRequestHeaders";
    DOWNSTREAM_PROTOCOL_ERROR = 19, "DPE", "DownstreamProtocolError";
    UPSTREAM_MAX_DURATION = 20, "UMSDR", "UpstreamMaxStreamDurationReached";
    FROM_CACHE = 21, "RFCF", "ResponseFromCacheFilter";
    NO_FILTER_CONFIG = 22, "NFCF", "NoFilterConfigFound";
    DURATION_TIMEOUT = 23, "DT", "DurationTimeout";
    UPSTREAM_PROTOCOL_ERROR = 24, "UPE", "UpstreamProtocolError";
    NO_CLUSTER = 25, "NC", "NoClusterFound";
    OVERLOAD = 26, "OM", "OverloadManagerTerminated";
    DNS_FAILED = 27, "DF", "DnsResolutionFailed";
    DROP_OVERLOAD = 28, "DO", "DropOverload";
    DOWNSTREAM_RESET = 29, "DR", "DownstreamRemoteReset";
    UNCONDITIONAL_DROP_OVERLOAD = 30, "UDO", "UnconditionalDropOverload";
}

impl ResponseFlags {
    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether every flag of `other` is set here.
    pub(crate) fn contains(self, other: Self) -> bool {
        other.codes().all(|code| self.codes().any(|own| own == code))
    }

    pub(crate) fn insert(&mut self, other: Self) {
        for code in other.codes() {
            let at = self.codes().take_while(|own| *own != code).count();
            // No exchange comes near to 12; what is there already writes over itself.
            if let Ok(at) = u32::try_from(at)
                && (at + 1) * BITS <= u64::BITS
            {
                self.0 |= code << (at * BITS);
            }
        }
    }

    /// Short forms of the flags that are set.
    pub(crate) fn short_names(self) -> impl Iterator<Item = &'static str> {
        self.names().map(|(short, _)| *short)
    }

    /// Envoy's names of the flags that are set.
    pub(crate) fn long_names(self) -> impl Iterator<Item = &'static str> {
        self.names().map(|(_, long)| *long)
    }

    fn names(self) -> impl Iterator<Item = &'static (&'static str, &'static str)> {
        self.codes().filter_map(|code| Self::NAMES.get(usize::try_from(code).ok()?.checked_sub(1)?))
    }

    fn codes(self) -> impl Iterator<Item = u64> {
        std::iter::successors(Some(self.0), |rest| Some(rest >> BITS))
            .map(|rest| rest & MASK)
            .take_while(|code| *code > 0)
    }
}

impl BitOr for ResponseFlags {
    type Output = Self;

    fn bitor(mut self, other: Self) -> Self {
        self.insert(other);
        self
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
    fn flags_read_in_the_order_they_came() {
        assert_eq!(ResponseFlags::NONE.to_string(), "-");
        let mut flags = ResponseFlags::RETRY_LIMIT_EXCEEDED | ResponseFlags::UPSTREAM_CONNECTION_FAILURE;
        flags.insert(ResponseFlags::RETRY_LIMIT_EXCEEDED);
        assert_eq!(flags.to_string(), "URX,UF");
        assert_eq!(flags.long_names().collect::<Vec<_>>(), ["UpstreamRetryLimitExceeded", "UpstreamConnectionFailure"]);
        assert!(flags.contains(ResponseFlags::RETRY_LIMIT_EXCEEDED) && !flags.contains(ResponseFlags::NO_ROUTE));
        assert!(ResponseFlags::NO_ROUTE.contains(ResponseFlags::NONE));
        assert!(!flags.contains(ResponseFlags::RETRY_LIMIT_EXCEEDED | ResponseFlags::NO_ROUTE));
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        let mut flags = ResponseFlags::NONE;
        (1..=31).for_each(|code| flags.insert(ResponseFlags(code)));
        assert_eq!(flags.codes().collect::<Vec<_>>(), (1..=12).collect::<Vec<_>>());
    }

    #[test]
    fn every_code_has_its_names() {
        let names: std::collections::HashSet<_> = ResponseFlags::NAMES.iter().map(|(short, _)| short).collect();
        assert_eq!(names.len(), ResponseFlags::NAMES.len());
        assert_eq!(ResponseFlags::UNCONDITIONAL_DROP_OVERLOAD.to_string(), "UDO");
        assert_eq!(ResponseFlags::FAILED_LOCAL_HEALTH_CHECK.to_string(), "LH");
    }
}
