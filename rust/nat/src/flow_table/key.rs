//! What flows are found by, and how it is hashed.

use std::hash::Hasher;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use packet::Protocol;

use super::seeded::Seeded;

/// Protocol and address family in a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind(u8);

const IPV6: u8 = 4;

impl Kind {
    pub(super) const ZERO: Self = Self(0);

    #[inline]
    pub(super) fn new(protocol: Protocol, address: IpAddr) -> Self {
        let protocol = match protocol {
            Protocol::Tcp => 0,
            Protocol::Udp => 1,
            Protocol::Icmp => 2,
        };
        Self(if address.is_ipv6() { protocol | IPV6 } else { protocol })
    }

    #[inline]
    pub(super) fn protocol(self) -> Protocol {
        match self.0 & !IPV6 {
            0 => Protocol::Tcp,
            1 => Protocol::Udp,
            _ => Protocol::Icmp,
        }
    }

    pub(super) fn bits(self) -> u8 {
        self.0
    }

    #[inline]
    pub(super) fn is_ipv6(self) -> bool {
        self.0 & IPV6 != 0
    }
}

/// One side of a flow as its packets tell it: the port is the client's and the address the proxy
/// (inside), or the port is the outside one and the address real (outside).
#[derive(Clone, Copy, Debug)]
pub(super) struct Tuple {
    pub(super) peer: u32,
    pub(super) kind: Kind,
    pub(super) port: u16,
    pub(super) remote: u16,
    /// The address, of the family that `kind` says.
    pub(super) address: u128,
}

impl Tuple {
    #[inline]
    pub(super) fn new(peer: u32, protocol: Protocol, ports: (u16, u16), address: IpAddr) -> Self {
        let kind = Kind::new(protocol, address);
        Self { peer, kind, port: ports.0, remote: ports.1, address: bits(address) }
    }

    pub(super) fn address(&self) -> IpAddr {
        if self.kind.is_ipv6() {
            Ipv6Addr::from_bits(self.address).into()
        } else {
            Ipv4Addr::from_bits(self.address as u32).into()
        }
    }
}

/// An address as a number, of either family.
#[inline]
pub(super) fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// Which index a hash is for; so that the two are independent.
#[derive(Clone, Copy, Debug)]
pub(super) enum Side {
    Inside,
    Outside,
}

/// Hashes of what the table's indexes are searched for.
pub(super) struct Hash(Seeded);

/// Domain of the hashes of addresses.
const ADDRESS: u64 = 1 << 62;
/// Domain of the hashes of numbers.
const NUMBERS: u64 = 2 << 62;

impl Hash {
    pub(super) fn new(seed: u64) -> Self {
        Self(Seeded::new(seed))
    }

    #[inline]
    pub(super) fn tuple(&self, side: Side, tuple: &Tuple) -> u64 {
        let mut hasher = self.0.hasher(side as u64);
        // As a round of its own: one alone spreads numbers that differ in few bits badly.
        hasher.write_u128(tuple.address);
        let ports = u64::from(tuple.port) | u64::from(tuple.remote) << 16;
        hasher.write_u64(ports | u64::from(tuple.kind.0) << 32 | u64::from(tuple.peer) << 40);
        hasher.finish()
    }

    /// Of an address alone.
    pub(super) fn address(&self, address: IpAddr) -> u64 {
        let mut hasher = self.0.hasher(ADDRESS);
        hasher.write_u128(bits(address));
        hasher.write_u64(0);
        hasher.finish()
    }

    /// Of a few small numbers.
    pub(super) fn numbers(&self, first: u64, second: u64) -> u64 {
        let mut hasher = self.0.hasher(NUMBERS);
        hasher.write_u128(first.into());
        hasher.write_u64(second);
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Buckets of 13 on average, by the upper half of the hash, as the index deals them.
    fn fullest(hashes: impl Iterator<Item = u64>) -> u32 {
        let mut buckets = vec![0; 8192];
        for hash in hashes {
            buckets[(hash >> 51) as usize] += 1;
        }
        buckets.into_iter().max().unwrap_or(0)
    }

    #[test]
    fn tuples_that_differ_little_are_spread_as_chance_would() {
        let hash = Hash::new(1);
        for side in [Side::Inside, Side::Outside] {
            for base in ["100.96.0.1", "fd00:2021:1111:8000::1"] {
                let base: IpAddr = base.parse().unwrap();
                let tuples = (0..13 * 8192_u32).map(|of| {
                    let address = match base {
                        IpAddr::V4(base) => (base.to_bits() + of / 16 % 64).to_be_bytes().into(),
                        IpAddr::V6(base) => {
                            (base.to_bits() + u128::from(of / 16 % 64)).to_be_bytes().into()
                        }
                    };
                    let port = (1024 + of / 1024) as u16;
                    hash.tuple(side, &Tuple::new(of % 16, Protocol::Tcp, (port, 443), address))
                });
                assert!(fullest(tuples) <= 36);
            }
        }
        assert!(fullest((0..13 * 8192).map(|n| hash.numbers(n % 1024, n / 1024))) <= 36);
    }
}
