//! The usable addresses of a prefix, numbered.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{Family, Prefix};

/// The addresses of a prefix without some others. IPv4 has no network and no broadcast address in
/// it.
pub(crate) struct AddressRange {
    family: Family,
    /// First address, length, and the number of addresses before; ascending.
    spans: Vec<(u128, u128, u128)>,
    len: u128,
}

impl AddressRange {
    pub(crate) fn new(prefix: Prefix, excluded: &[Prefix]) -> Self {
        let family = prefix.family();
        let (mut first, mut end) = bounds(&prefix);
        if family == Family::Ipv4 && prefix.length() < 31 {
            (first, end) = (first + 1, end - 1);
        }
        let mut holes: Vec<(u128, u128)> =
            excluded.iter().filter(|hole| hole.family() == family).map(bounds).collect();
        holes.sort_unstable();
        let mut range = Self { family, spans: Vec::new(), len: 0 };
        for (from, to) in holes {
            range.add(first, from.min(end));
            first = first.max(to);
        }
        range.add(first, end);
        range
    }

    fn add(&mut self, first: u128, end: u128) {
        if first < end {
            self.spans.push((first, end - first, self.len));
            self.len += end - first;
        }
    }

    /// How many addresses there are.
    pub(crate) fn len(&self) -> u128 {
        self.len
    }

    /// The address in place `position`.
    pub(crate) fn get(&self, position: u128) -> Option<IpAddr> {
        let fits =
            |(_, len, before): &&(u128, u128, u128)| (*before..before + len).contains(&position);
        let (first, _, before) = self.spans.iter().find(fits)?;
        let bits = first + (position - before);
        Some(match self.family {
            Family::Ipv4 => Ipv4Addr::from_bits(u32::try_from(bits).ok()?).into(),
            Family::Ipv6 => Ipv6Addr::from_bits(bits).into(),
        })
    }

    /// The place of an address.
    pub(crate) fn position(&self, address: IpAddr) -> Option<u128> {
        if Family::of(address) != self.family {
            return None;
        }
        let bits = bits(address);
        let fits = |(first, len, _): &&(u128, u128, u128)| (*first..first + len).contains(&bits);
        let (first, _, before) = self.spans.iter().find(fits)?;
        Some(before + (bits - first))
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_bits().into(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// First address and the one behind the last, at most the last address of all: a range that ends
/// there is one short.
fn bounds(prefix: &Prefix) -> (u128, u128) {
    let width = if prefix.family() == Family::Ipv4 { 32 } else { 128 };
    let first = bits(prefix.address());
    let size = 1u128.checked_shl(width - u32::from(prefix.length())).unwrap_or(u128::MAX);
    (first, first.saturating_add(size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_network_has_neither_its_address_nor_one_of_broadcast() {
        for (prefix, len) in [("10.0.0.0/30", 2), ("10.0.0.0/31", 2), ("10.0.0.1/32", 1)] {
            let range = AddressRange::new(prefix.parse().unwrap(), &[]);
            assert_eq!(range.len(), len, "{prefix} (RFC 3021)");
        }
    }

    #[test]
    fn places_and_addresses_are_each_others_inverse_around_holes() {
        let holes = ["10.0.0.4/30", "10.0.0.10/32", "fd00::/8"].map(|text| text.parse().unwrap());
        let range = AddressRange::new("10.0.0.0/28".parse().unwrap(), &holes);
        assert_eq!(range.len(), 14 - 4 - 1);
        let all: Vec<IpAddr> = (0..).map_while(|position| range.get(position)).collect();
        assert_eq!(all.len(), 9);
        assert_eq!(all[3].to_string(), "10.0.0.8");
        for (position, address) in all.into_iter().enumerate() {
            assert_eq!(range.position(address), Some(position as u128));
        }
        for text in ["10.0.0.0", "10.0.0.5", "10.0.0.15", "10.0.0.16", "::1"] {
            assert_eq!(range.position(text.parse().unwrap()), None, "{text}");
        }
    }
}
