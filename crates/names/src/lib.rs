//! Value types that every part of Leno shares: what a thing is called, parsed once at the border.
//!
//! Nothing here does I/O or knows about resources, protobuf or sockets. Parsing is strict; `Display` gives the
//! canonical text back, so `parse(x.to_string()) == x` for every value.
//!
//! Units       `Fraction` is parts per million; `ByteSize` is bytes
//! Source      SPIFFE-ID §2; RFC 1123 §2.1 for names; Envoy `core.v3.Locality`
#![forbid(unsafe_code)]

mod fraction;
mod grpc;
mod locality;
mod service;
mod spiffe;

pub use fraction::{Fraction, FractionError};
pub use grpc::GRPC_STATUSES;
pub use locality::{Locality, LocalityError};
pub use service::{NameError, ServiceKey, dns_label, dns_name};
pub use spiffe::{CONTROL_NAMESPACE, CONTROL_SERVICE_ACCOUNT, SpiffeId, SpiffeIdError, TrustDomain};
