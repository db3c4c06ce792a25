#![no_main]
//! See `leno_proxy::fuzzing`.

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| leno_proxy::fuzzing::proxy_protocol(data));
