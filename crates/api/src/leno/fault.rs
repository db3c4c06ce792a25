use std::sync::Arc;
use std::time::SystemTime;

use super::TargetRef;
use crate::described::described;
use crate::{GatewayDuration, Resource, annotation};

described! {
    /// Delays and errors on purpose, until a moment that is known beforehand.
    pub struct FaultPolicySpec where {
        "has(self.delay) || has(self.abort)": "one of delay and abort is required",
        "!has(self.headers) || self.headers.all(name, name != '')": "names of headers are not empty",
    } {
        /// Default: all of the namespace, or of the mesh in the root namespace.
        pub target_refs: Vec<TargetRef> = { "maxItems": 16, "x-kubernetes-list-type": "atomic" },
        /// When it is over without anybody's doing: RFC 3339, in UTC.
        pub until: String = {
            "required": true, "format": "date-time",
            "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,9})?Z$",
        },
        /// Only requests that have all of these, with just these values.
        pub headers: std::collections::BTreeMap<String, String> = { "maxProperties": 16 },
        pub delay: Option<DelayFault>,
        pub abort: Option<AbortFault>,
    }
    pub struct DelayFault where {
        "duration(self.duration) > duration('0s')": "duration is more than 0s",
    } {
        pub duration: GatewayDuration = { "required": true },
        /// Of the requests. Default 100.
        pub percent: Option<f64> = { "minimum": 0, "maximum": 100 },
    }
    pub struct AbortFault where {
        "has(self.status) != has(self.grpcStatus)": "exactly one of status and grpcStatus is required",
    } {
        /// Of HTTP.
        pub status: Option<u16> = { "minimum": 200, "maximum": 599 },
        /// Such as `UNAVAILABLE`.
        pub grpc_status: Option<String> = { "pattern": "^[A-Z_]+$" },
        /// Of the requests. Default 100.
        pub percent: Option<f64> = { "minimum": 0, "maximum": 100 },
    }
}

impl FaultPolicySpec {
    /// `None` for what is no moment; such objects are refused.
    pub fn end(&self) -> Option<SystemTime> {
        humantime::parse_rfc3339(&self.until).ok()
    }
}

impl Resource {
    /// The next moment after `now` at which the object changes by itself.
    pub fn changes_at(&self, now: SystemTime) -> Option<SystemTime> {
        match self {
            Self::FaultPolicy(policy) => policy.spec.end().filter(|end| *end > now),
            _ => None,
        }
    }

    /// The object as it is at `now`: whoever has a clock says so to those who have none.
    pub fn at(self: &Arc<Self>, now: SystemTime) -> Arc<Self> {
        let is_over = matches!(&**self, Self::FaultPolicy(policy) if policy.spec.end().is_some_and(|end| end <= now));
        if !is_over {
            return self.clone();
        }
        let mut over = Self::clone(self);
        over.metadata_mut().annotations.insert(annotation::OVER.to_owned(), "true".to_owned());
        Arc::new(over)
    }
}
