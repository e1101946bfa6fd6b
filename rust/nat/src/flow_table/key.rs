//! What flows are found by, and how it is hashed.

use std::hash::Hasher;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use packet::Protocol;

use super::seeded::Seeded;
use super::types::Direction;

/// Protocol and address family in a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind(u8);

const IPV6: u8 = 4;

impl Kind {
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

    #[inline]
    pub(super) fn bits(self) -> u8 {
        self.0
    }

    #[inline]
    pub(super) fn is_ipv6(self) -> bool {
        self.0 & IPV6 != 0
    }
}

/// Peers are numbered in 24 bits.
const MAX_PEER: u32 = (1 << 24) - 1;

/// All of a tuple but its address, in a word: what a record keeps is compared with it at once. From
/// the lowest bit: port (16), remote port (16), kind (8), peer (24).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ends(u64);

impl Ends {
    pub(super) const ZERO: Self = Self(0);
    /// Of no flow: there is no such kind.
    pub(super) const NONE: Self = Self(u64::MAX);

    /// `None` if there can be no such peer. Of the address only its family is asked.
    #[inline]
    pub(super) fn new(
        peer: u32,
        protocol: Protocol,
        (port, remote): (u16, u16),
        address: IpAddr,
    ) -> Option<Self> {
        let kind = Kind::new(protocol, address);
        let ports = u64::from(port) | u64::from(remote) << 16;
        let word = ports | u64::from(kind.0) << 32 | u64::from(peer) << 40;
        (peer <= MAX_PEER).then_some(Self(word))
    }

    #[inline]
    pub(super) fn port(self) -> u16 {
        self.0 as u16
    }

    #[inline]
    pub(super) fn remote(self) -> u16 {
        (self.0 >> 16) as u16
    }

    #[inline]
    pub(super) fn kind(self) -> Kind {
        Kind((self.0 >> 32) as u8)
    }

    #[inline]
    pub(super) fn peer(self) -> u32 {
        (self.0 >> 40) as u32
    }

    #[inline]
    pub(super) fn with_port(self, port: u16) -> Self {
        Self(self.0 & !0xFFFF | u64::from(port))
    }
}

/// One side of a flow as its packets tell it: the port is the client's and the address the proxy
/// (inside), or the port is the outside one and the address real (outside).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tuple {
    pub(super) ends: Ends,
    /// The address, of the family that the kind says.
    pub(super) address: u128,
}

impl Tuple {
    /// Of no flow.
    pub(super) const NONE: Self = Self { ends: Ends::NONE, address: 0 };

    #[inline]
    pub(super) fn new(ends: Ends, address: IpAddr) -> Self {
        Self { ends, address: bits(address) }
    }

    pub(super) fn with_port(self, port: u16) -> Self {
        Self { ends: self.ends.with_port(port), ..self }
    }

    pub(super) fn address(&self) -> IpAddr {
        if self.ends.kind().is_ipv6() {
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

impl Side {
    /// Of the packets that are found by it.
    #[inline]
    pub(super) fn direction(self) -> Direction {
        match self {
            Self::Inside => Direction::Outbound,
            Self::Outside => Direction::Inbound,
        }
    }
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
        hasher.write_u64(tuple.ends.0);
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
                    let ends = Ends::new(of % 16, Protocol::Tcp, (port, 443), address);
                    hash.tuple(side, &Tuple::new(ends.unwrap(), address))
                });
                assert!(fullest(tuples) <= 36);
            }
        }
        assert!(fullest((0..13 * 8192).map(|n| hash.numbers(n % 1024, n / 1024))) <= 36);
    }
}
