use std::net::IpAddr;

use serde::Serialize;

/// A block of addresses (RFC 4632): those that share the first `prefix_bits` with `address`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct CidrRange {
    address: IpAddr,
    prefix_bits: u8,
}

impl CidrRange {
    /// `None` when the prefix is longer than an address of that family. Bits of `address` behind the prefix are cleared.
    pub fn new(address: IpAddr, prefix_bits: u8) -> Option<Self> {
        let address = match address {
            IpAddr::V4(v4) => IpAddr::V4((v4.to_bits() & mask_v4(prefix_bits)?).into()),
            IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & mask_v6(prefix_bits)?).into()),
        };
        Some(Self { address, prefix_bits })
    }

    pub const fn address(&self) -> IpAddr {
        self.address
    }

    pub const fn prefix_bits(&self) -> u8 {
        self.prefix_bits
    }

    /// Addresses of the other family are never inside, not even mapped ones.
    pub fn contains(&self, ip: IpAddr) -> bool {
        match (self.address, ip) {
            (IpAddr::V4(block), IpAddr::V4(ip)) => {
                mask_v4(self.prefix_bits).is_some_and(|mask| ip.to_bits() & mask == block.to_bits())
            }
            (IpAddr::V6(block), IpAddr::V6(ip)) => {
                mask_v6(self.prefix_bits).is_some_and(|mask| ip.to_bits() & mask == block.to_bits())
            }
            _ => false,
        }
    }
}

fn mask_v4(bits: u8) -> Option<u32> {
    let host = 32_u32.checked_sub(bits.into())?;
    Some(u32::MAX.checked_shl(host).unwrap_or(0))
}

fn mask_v6(bits: u8) -> Option<u128> {
    let host = 128_u32.checked_sub(bits.into())?;
    Some(u128::MAX.checked_shl(host).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(address: &str, bits: u8) -> CidrRange {
        CidrRange::new(address.parse().expect("an address"), bits).expect("a block")
    }

    #[test]
    fn a_block_holds_what_shares_its_prefix() {
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        assert!(block("10.1.2.3", 8).contains(ip("10.255.0.1")) && !block("10.1.2.3", 8).contains(ip("11.0.0.1")));
        assert!(block("10.1.2.3", 32).contains(ip("10.1.2.3")) && !block("10.1.2.3", 32).contains(ip("10.1.2.2")));
        assert!(block("0.0.0.0", 0).contains(ip("255.1.1.1")) && !block("0.0.0.0", 0).contains(ip("::1")));
        assert!(block("fd00::1", 64).contains(ip("fd00::ffff")) && !block("fd00::1", 64).contains(ip("fd00:0:0:1::")));
        assert!(block("::", 0).contains(ip("::1")));
    }

    #[test]
    fn a_prefix_is_no_longer_than_an_address() {
        assert_eq!(CidrRange::new("10.0.0.0".parse().expect("an address"), 33), None);
        assert_eq!(CidrRange::new("::".parse().expect("an address"), 129), None);
    }
}
