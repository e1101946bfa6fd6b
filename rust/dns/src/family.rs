//! Address families: which one, which of the two, and what a resource offers.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// An address family.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Family {
    /// IPv4, A records.
    Ipv4,
    /// IPv6, AAAA records.
    Ipv6,
}

impl Family {
    /// Both, IPv4 first.
    pub const ALL: [Self; 2] = [Self::Ipv4, Self::Ipv6];

    /// The family of an address.
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::Ipv4,
            IpAddr::V6(_) => Self::Ipv6,
        }
    }

    /// 0 for IPv4, 1 for IPv6: for tables with one place per family.
    pub const fn index(self) -> usize {
        match self {
            Self::Ipv4 => 0,
            Self::Ipv6 => 1,
        }
    }
}

/// A set of families: those that may be offered for a name (R08).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Families {
    /// IPv4 may be offered.
    pub ipv4: bool,
    /// IPv6 may be offered.
    pub ipv6: bool,
}

impl Families {
    /// Both families.
    pub const ALL: Self = Self { ipv4: true, ipv6: true };
    /// No family.
    pub const NONE: Self = Self { ipv4: false, ipv6: false };

    /// Whether `family` is in the set.
    pub const fn contains(self, family: Family) -> bool {
        match family {
            Family::Ipv4 => self.ipv4,
            Family::Ipv6 => self.ipv6,
        }
    }

    /// Adds or removes `family`.
    pub const fn set(&mut self, family: Family, present: bool) {
        match family {
            Family::Ipv4 => self.ipv4 = present,
            Family::Ipv6 => self.ipv6 = present,
        }
    }

    /// Families in both sets.
    pub const fn and(self, other: Self) -> Self {
        Self { ipv4: self.ipv4 && other.ipv4, ipv6: self.ipv6 && other.ipv6 }
    }

    /// Families in either set.
    pub const fn or(self, other: Self) -> Self {
        Self { ipv4: self.ipv4 || other.ipv4, ipv6: self.ipv6 || other.ipv6 }
    }
}

impl Default for Families {
    fn default() -> Self {
        Self::ALL
    }
}

/// The families that a resource offers, as the portal names them (`ip_stack`).
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum IpStack {
    /// Both.
    #[default]
    Dual,
    /// A records alone.
    Ipv4Only,
    /// AAAA records alone.
    Ipv6Only,
}

impl IpStack {
    /// The same as a set.
    pub const fn families(self) -> Families {
        match self {
            Self::Dual => Families::ALL,
            Self::Ipv4Only => Families { ipv4: true, ipv6: false },
            Self::Ipv6Only => Families { ipv4: false, ipv6: true },
        }
    }

    /// Whether `family` is offered.
    pub const fn contains(self, family: Family) -> bool {
        self.families().contains(family)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_of_families_combine() {
        let v4 = IpStack::Ipv4Only.families();
        let v6 = IpStack::Ipv6Only.families();
        assert_eq!(v4.or(v6), Families::ALL);
        assert_eq!(v4.and(v6), Families::NONE);
        let mut set = v4;
        set.set(Family::Ipv6, true);
        assert_eq!(set, Families::default());
    }
}
