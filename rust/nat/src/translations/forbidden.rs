//! Real addresses that must never be reached through a name (R18).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use dns::Prefix;

use super::types::Config;

/// IPv4: "this network", loopback, link-local with the metadata services, IETF protocol assignments
/// (RFC 6890), Azure's host (168.63.129.16), multicast, reserved with the broadcast address.
const IPV4: [Prefix; 7] = [
    Prefix::v4(0, 0, 0, 0, 8),
    Prefix::v4(127, 0, 0, 0, 8),
    Prefix::v4(169, 254, 0, 0, 16),
    Prefix::v4(192, 0, 0, 0, 24),
    Prefix::v4(168, 63, 129, 16, 32),
    Prefix::v4(224, 0, 0, 0, 4),
    Prefix::v4(240, 0, 0, 0, 4),
];

/// IPv6: unspecified, loopback and IPv4-compatible (::/96), IPv4-mapped, link-local, site-local,
/// multicast, and the metadata service of AWS.
const IPV6: [Prefix; 6] = [
    Prefix::v6(0, 96),
    Prefix::v6(0xffff_0000_0000, 96),
    Prefix::v6(0xfe80 << 112, 10),
    Prefix::v6(0xfec0 << 112, 10),
    Prefix::v6(0xff00 << 112, 8),
    Prefix::v6(0xfd00_0ec2_0000_0000_0000_0000_0000_0254, 128),
];

/// 6to4 (RFC 3056): an IPv4 address in bits 16 to 47.
const SIX_TO_FOUR: Prefix = Prefix::v6(0x2002 << 112, 16);
/// Teredo (RFC 4380 §4): the server's IPv4 address in bits 32 to 63, the client's inverted in the
/// last 32.
const TEREDO: Prefix = Prefix::v6(0x2001 << 112, 32);
/// NAT64 (RFC 6052 §2.1, RFC 8215): an IPv4 address in the last 32 bits.
const NAT64: [Prefix; 2] =
    [Prefix::v6(0x0064_ff9b << 96, 96), Prefix::v6(0x0064_ff9b_0001 << 80, 48)];

/// Decides which real addresses count.
pub(super) struct RealFilter {
    forbidden: Vec<Prefix>,
    allowed: Vec<Prefix>,
}

impl RealFilter {
    pub(super) fn new(config: &Config) -> Self {
        let mut forbidden = Vec::from(IPV4);
        forbidden.extend(IPV6);
        forbidden.extend(&config.tunnel_ranges);
        forbidden.extend(&config.proxy_ranges);
        forbidden.extend(&config.sentinels);
        forbidden.extend(config.own_addresses.iter().copied().map(Prefix::host));
        Self { forbidden, allowed: config.allow_real.clone() }
    }

    /// Whether a name may lead to `address`.
    pub(super) fn permits(&self, address: IpAddr) -> bool {
        if self.allowed.iter().any(|prefix| prefix.contains(address)) {
            return true;
        }
        if self.forbidden.iter().any(|prefix| prefix.contains(address)) {
            return false;
        }
        match address {
            IpAddr::V4(_) => true,
            IpAddr::V6(v6) => embedded(v6).into_iter().flatten().all(|v4| self.permits(v4.into())),
        }
    }
}

/// The IPv4 addresses that an IPv6 address stands for.
fn embedded(address: Ipv6Addr) -> [Option<Ipv4Addr>; 2] {
    let bits = address.to_bits();
    let at = |shift: u32| Ipv4Addr::from_bits((bits >> shift) as u32);
    let is = |prefix: &Prefix| prefix.contains(address.into());
    if is(&SIX_TO_FOUR) {
        [Some(at(80)), None]
    } else if is(&TEREDO) {
        [Some(at(64)), Some(Ipv4Addr::from_bits(!(bits as u32)))]
    } else if NAT64.iter().any(is) {
        [Some(at(0)), None]
    } else {
        [None, None]
    }
}
