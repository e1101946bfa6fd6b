//! Real addresses that must never be reached through a name (R18), or through the Internet resource.

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

/// What is not the internet: private use (RFC 1918, RFC 4193) and shared address space (RFC 6598).
const PRIVATE: [Prefix; 5] = [
    Prefix::v4(10, 0, 0, 0, 8),
    Prefix::v4(172, 16, 0, 0, 12),
    Prefix::v4(192, 168, 0, 0, 16),
    Prefix::v4(100, 64, 0, 0, 10),
    Prefix::v6(0xfc00 << 112, 7),
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
pub struct RealFilter {
    forbidden: Vec<Prefix>,
    allowed: Vec<Prefix>,
}

impl RealFilter {
    /// Those that a name may lead to.
    pub fn of_names(config: &Config) -> Self {
        let mut forbidden = Vec::from(IPV4);
        forbidden.extend(IPV6);
        forbidden.extend(&config.tunnel_ranges);
        forbidden.extend(&config.proxy_ranges);
        forbidden.extend(&config.sentinels);
        forbidden.extend(config.own_addresses.iter().copied().map(Prefix::host));
        Self { forbidden, allowed: config.allow_real.clone() }
    }

    /// Those that the Internet resource leads to (dataplane §4.3): what lies at the site or on the
    /// Gateway's host needs a resource that says so.
    pub fn of_internet(config: &Config) -> Self {
        let mut filter = Self::of_names(config);
        filter.forbidden.extend(PRIVATE);
        filter.allowed.clear();
        filter
    }

    /// Whether `address` may be reached.
    pub fn permits(&self, address: IpAddr) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        let site = Prefix::v4(169, 254, 7, 0, 24);
        Config {
            own_addresses: vec![[203, 0, 113, 1].into()],
            allow_real: vec![site],
            ..Config::default()
        }
    }

    #[test]
    fn the_internet_is_neither_private_nor_the_gateways_host() {
        let filter = RealFilter::of_internet(&config());
        let permits = |text: &str| filter.permits(text.parse().expect("an address"));

        for address in ["198.51.100.7", "2001:db8:1::7", "64:ff9b::198.51.100.7"] {
            assert!(permits(address), "{address}");
        }
        for address in [
            "10.0.0.1",
            "172.31.0.1",
            "192.168.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "203.0.113.1",
            "169.254.7.1",
            "fd00::1",
            "fe80::1",
            "::1",
            "::ffff:198.51.100.7",
            "64:ff9b::10.0.0.1",
        ] {
            assert!(!permits(address), "{address}");
        }
    }
}
