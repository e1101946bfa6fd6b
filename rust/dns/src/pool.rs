//! The addresses that stand for names: four IPv4 and four IPv6 for each.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use packet::Instant;

use crate::{NameId, Prefix};

/// The addresses that stand for one name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Proxies {
    /// For A records.
    pub ipv4: [Ipv4Addr; 4],
    /// For AAAA records.
    pub ipv6: [Ipv6Addr; 4],
}

/// Where proxy addresses come from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProxyConfig {
    /// Range of IPv4 proxy addresses.
    pub ipv4: Prefix,
    /// Range of IPv6 proxy addresses.
    pub ipv6: Prefix,
    /// Never handed out: the DNS sentinels.
    pub excluded: Vec<Prefix>,
}

impl ProxyConfig {
    /// IPv4 proxy addresses (dataplane §1.1).
    pub const DEFAULT_IPV4: Prefix = Prefix::v4(100, 96, 0, 0, 11);
    /// IPv6 proxy addresses (dataplane §1.1).
    pub const DEFAULT_IPV6: Prefix = Prefix::v6(0xfd00_2021_1111_8000_0000_0000_0000_0000, 107);
    /// IPv4 addresses of DNS sentinels (dataplane §1.1).
    pub const SENTINELS_IPV4: Prefix = Prefix::v4(100, 100, 111, 0, 24);
    /// IPv6 addresses of DNS sentinels (dataplane §1.1).
    pub const SENTINELS_IPV6: Prefix = Prefix::v6(0xfd00_2021_1111_8000_0100_0100_0111_0000, 120);
}

impl Default for ProxyConfig {
    /// The ranges of dataplane §1.1, without the sentinels.
    fn default() -> Self {
        Self {
            ipv4: Self::DEFAULT_IPV4,
            ipv6: Self::DEFAULT_IPV6,
            excluded: vec![Self::SENTINELS_IPV4, Self::SENTINELS_IPV6],
        }
    }
}

/// Every address of the pool stands for a name that may still be in use (R08).
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("all proxy addresses are in use")]
pub struct Exhausted;

/// Why recorded addresses cannot be restored.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RestoreError {
    /// They are not a group that this pool would hand out.
    #[error("the addresses are not of this pool")]
    Foreign,
    /// They stand for another name already, or the name has others.
    #[error("the addresses or the name are taken")]
    Taken,
}

/// Assigns proxy addresses.
pub struct ProxyPool {}

impl ProxyPool {
    /// A pool over the ranges of `config`.
    pub fn new(_config: &ProxyConfig) -> Self {
        Self {}
    }

    /// The addresses of `name`, new ones if it has none.
    ///
    /// # Errors
    /// [`Exhausted`] if there are none left, and none to be used again (R08).
    pub fn assign(&mut self, _name: NameId, _now: Instant) -> Result<Proxies, Exhausted> {
        Err(Exhausted)
    }

    /// Puts a recorded assignment back.
    ///
    /// # Errors
    /// [`RestoreError`], and nothing has changed.
    pub fn restore(
        &mut self,
        _name: NameId,
        _proxies: &Proxies,
        _now: Instant,
    ) -> Result<(), RestoreError> {
        Ok(())
    }

    /// The addresses of `name`, if it has any.
    pub fn proxies(&self, _name: NameId) -> Option<Proxies> {
        None
    }

    /// The name that `address` stands for; O(1).
    pub fn name_of(&self, _address: IpAddr) -> Option<NameId> {
        None
    }

    /// Says that a packet of the name passed; O(1).
    pub fn touch(&mut self, _name: NameId, _now: Instant) {}
}
