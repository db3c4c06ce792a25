//! Doors for `tests/instructions` to hot paths that are private: each runs one a number of times. There only with the
//! feature `measuring`, which the product is built without.

pub use crate::http::measuring::{decode_request, decode_response, encode_request, encode_response, header_operations};
