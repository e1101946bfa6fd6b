//! Address prefixes (CIDR).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Family;

/// A network: an address whose host bits are zero, and the length of its prefix in bits.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

/// Why a text is not a [`Prefix`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PrefixError {
    /// Not an address, or not a number after the slash.
    #[error("expected address/length")]
    Syntax,
    /// More bits than the family has.
    #[error("the prefix is longer than an address")]
    Length,
}

impl Prefix {
    /// The network of `length` bits that holds `address`.
    ///
    /// # Errors
    /// [`PrefixError::Length`] beyond 32 bits (IPv4) or 128 (IPv6).
    pub const fn new(address: IpAddr, length: u8) -> Result<Self, PrefixError> {
        let address = match address {
            IpAddr::V4(v4) if length <= 32 => {
                IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask_v4(length)))
            }
            IpAddr::V6(v6) if length <= 128 => {
                IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask_v6(length)))
            }
            IpAddr::V4(_) | IpAddr::V6(_) => return Err(PrefixError::Length),
        };
        Ok(Self { address, length })
    }

    /// An IPv4 network for a constant; `length` above 32 counts as 32.
    pub const fn v4(a: u8, b: u8, c: u8, d: u8, length: u8) -> Self {
        let length = if length > 32 { 32 } else { length };
        let bits = Ipv4Addr::new(a, b, c, d).to_bits() & mask_v4(length);
        Self { address: IpAddr::V4(Ipv4Addr::from_bits(bits)), length }
    }

    /// An IPv6 network for a constant; `length` above 128 counts as 128.
    pub const fn v6(bits: u128, length: u8) -> Self {
        let length = if length > 128 { 128 } else { length };
        Self { address: IpAddr::V6(Ipv6Addr::from_bits(bits & mask_v6(length))), length }
    }

    /// The network that is one address.
    pub const fn host(address: IpAddr) -> Self {
        let length = if address.is_ipv4() { 32 } else { 128 };
        Self { address, length }
    }

    /// The first address.
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// The length in bits.
    pub const fn length(&self) -> u8 {
        self.length
    }

    /// The family of its addresses.
    pub const fn family(&self) -> Family {
        Family::of(self.address)
    }

    /// Whether `address` lies in it; never, if the families differ.
    pub const fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                own.to_bits() == other.to_bits() & mask_v4(self.length)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                own.to_bits() == other.to_bits() & mask_v6(self.length)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

const fn mask_v4(length: u8) -> u32 {
    if length == 0 { 0 } else { u32::MAX << (32 - length) }
}

const fn mask_v6(length: u8) -> u128 {
    if length == 0 { 0 } else { u128::MAX << (128 - length) }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Prefix {
    type Err = PrefixError;

    /// Reads `address/length`, or one address alone.
    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let Some((address, length)) = text.split_once('/') else {
            return text.parse().map(Self::host).map_err(|_| PrefixError::Syntax);
        };
        let address = address.parse().map_err(|_| PrefixError::Syntax)?;
        Self::new(address, length.parse().map_err(|_| PrefixError::Syntax)?)
    }
}

impl Serialize for Prefix {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Prefix {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_holds_its_addresses_and_no_others() {
        let network: Prefix = "100.96.0.77/11".parse().unwrap();
        assert_eq!(network.to_string(), "100.96.0.0/11");
        assert!(network.contains("100.127.255.255".parse().unwrap()));
        assert!(!network.contains("100.128.0.0".parse().unwrap()));
        assert!(!network.contains("::ffff:100.96.0.1".parse().unwrap()));
        let all: Prefix = "::/0".parse().unwrap();
        assert!(all.contains(IpAddr::V6(Ipv6Addr::from_bits(u128::MAX))));
    }

    #[test]
    fn a_bad_prefix_is_an_error() {
        assert_eq!("10.0.0.0/33".parse::<Prefix>(), Err(PrefixError::Length));
        assert_eq!("10.0.0/8".parse::<Prefix>(), Err(PrefixError::Syntax));
        assert_eq!("10.0.0.0/x".parse::<Prefix>(), Err(PrefixError::Syntax));
        assert_eq!("fe80::1".parse::<Prefix>().map(|one| one.length()), Ok(128));
    }
}
