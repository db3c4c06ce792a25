//! MurmurHash2 of 64 bits as GCC's standard library has it for texts, which Envoy places endpoints by where it is told to.
//!
//! Source      A. Appleby's MurmurHash64A; libstdc++ `_Hash_bytes` and its seed

const SEED: u64 = 0xc70f_6907;
const FACTOR: u64 = 0xc6a4_a793_5bd1_e995;

pub(super) fn hash(bytes: &[u8]) -> u64 {
    let (whole, rest) = bytes.as_chunks::<8>();
    let mut hash = SEED ^ (bytes.len() as u64).wrapping_mul(FACTOR);
    for chunk in whole {
        let mixed = mix(u64::from_le_bytes(*chunk).wrapping_mul(FACTOR)).wrapping_mul(FACTOR);
        hash = (hash ^ mixed).wrapping_mul(FACTOR);
    }
    if !rest.is_empty() {
        let last = rest.iter().rev().fold(0, |sum: u64, byte| (sum << 8) | u64::from(*byte));
        hash = (hash ^ last).wrapping_mul(FACTOR);
    }
    mix(mix(hash).wrapping_mul(FACTOR))
}

fn mix(value: u64) -> u64 {
    value ^ (value >> 47)
}
