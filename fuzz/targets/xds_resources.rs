#![no_main]
//! Resources of any control plane: what we take is the same after encoding and decoding it again.

use leno_ir::Flavor;
use leno_xds::codec;
use libfuzzer_sys::fuzz_target;

macro_rules! check {
    ($body:expr, $decode:path, $encode:path) => {
        if let Ok(value) = $decode($body) {
            let again = $decode(&$encode(&value, Flavor::Leno).body);
            assert_eq!(again.as_ref().ok(), Some(&value), "{again:?}");
        }
    };
}

fuzz_target!(|data: &[u8]| {
    let Some((kind, body)) = data.split_first() else { return };
    match kind % 4 {
        0 => check!(body, codec::decode_cluster, codec::encode_cluster),
        1 => check!(body, codec::decode_endpoints, codec::encode_endpoints),
        2 => check!(body, codec::decode_listener, codec::encode_listener),
        _ => check!(body, codec::decode_route_table, codec::encode_route_table),
    }
});
