//! The addresses that stand for names: four IPv4 and four IPv6 for each (dataplane §1.2).
//!
//! The n-th group of four usable addresses of each range belongs together, so a group is a number
//! and an address tells its group by arithmetic. The very first IPv6 address is all zero behind its
//! prefix: it is handed out as upstream does, because addresses of the range are no interface's and
//! so no subnet-router anycast (RFC 4291 §2.6.1).

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use packet::Instant;

use crate::range::AddressRange;
use crate::recency::{NONE, Recency};
use crate::{NameId, Prefix};

/// Addresses are used again only this long after their last packet: as long as a TCP flow may live
/// (R08, R30).
const QUIET: Duration = Duration::from_secs(7440);
/// Addresses that never carried a packet are used again only this long after they were answered: an
/// application may still connect to what it was told, though the TTL is 1 s.
const ANSWERED: Duration = Duration::from_secs(60);
/// A packet moves its name in the order of use at most this often.
const GRAIN: Duration = Duration::from_secs(1);

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
pub struct ProxyPool {
    ipv4: AddressRange,
    ipv6: AddressRange,
    groups: usize,
    slots: Vec<Option<Slot>>,
    /// No group below this one is free.
    next: usize,
    by_name: HashMap<NameId, usize, FixedState>,
    /// Groups that never carried a packet, by last query.
    answered: Recency,
    /// Groups that did, by last packet.
    carried: Recency,
    recycled: VecDeque<NameId>,
}

#[derive(Clone, Copy)]
struct Slot {
    name: NameId,
    /// Last packet.
    packet: Option<Instant>,
    /// Last packet or query.
    used: Instant,
}

impl ProxyPool {
    /// A pool over the ranges of `config`; `seed` for the hash of its table.
    pub fn new(config: &ProxyConfig, seed: u64) -> Self {
        let ipv4 = AddressRange::new(config.ipv4, &config.excluded);
        let ipv6 = AddressRange::new(config.ipv6, &config.excluded);
        let groups = ipv4.len().min(ipv6.len()) / 4;
        Self {
            ipv4,
            ipv6,
            groups: usize::try_from(groups).unwrap_or(usize::MAX).min(NONE),
            slots: Vec::new(),
            next: 0,
            by_name: HashMap::with_hasher(FixedState::with_seed(seed)),
            answered: Recency::new(),
            carried: Recency::new(),
            recycled: VecDeque::new(),
        }
    }

    /// The addresses of `name`, new ones if it has none.
    ///
    /// # Errors
    /// [`Exhausted`] if there are none left, and none to be used again (R08).
    pub fn assign(&mut self, name: NameId, now: Instant) -> Result<Proxies, Exhausted> {
        let known = self.by_name.get(&name).copied();
        let group = match known {
            Some(group) => {
                self.mark_answered(group, now);
                group
            }
            None => {
                let group = self.take_free().or_else(|| self.recycle(now)).ok_or(Exhausted)?;
                self.put(group, name, now);
                group
            }
        };
        self.group(group).ok_or(Exhausted)
    }

    /// Puts a recorded assignment back.
    ///
    /// # Errors
    /// [`RestoreError`], and nothing has changed.
    pub fn restore(
        &mut self,
        name: NameId,
        proxies: &Proxies,
        now: Instant,
    ) -> Result<(), RestoreError> {
        let group = self.group_of(proxies.ipv4[0].into()).ok_or(RestoreError::Foreign)?;
        if self.group(group) != Some(*proxies) {
            return Err(RestoreError::Foreign);
        }
        match (self.by_name.get(&name), self.slots.get(group).copied().flatten()) {
            (Some(&own), _) if own == group => Ok(()),
            (None, None) => {
                self.put(group, name, now);
                Ok(())
            }
            (Some(_), _) | (None, Some(_)) => Err(RestoreError::Taken),
        }
    }

    /// The addresses of `name`, if it has any.
    pub fn proxies(&self, name: NameId) -> Option<Proxies> {
        self.by_name.get(&name).and_then(|&group| self.group(group))
    }

    /// The name that `address` stands for; O(1).
    pub fn name_of(&self, address: IpAddr) -> Option<NameId> {
        let slot = self.slots.get(self.group_of(address)?)?.as_ref()?;
        Some(slot.name)
    }

    /// Says that a packet of the name passed; O(1).
    pub fn touch(&mut self, name: NameId, now: Instant) {
        let Some(&group) = self.by_name.get(&name) else { return };
        let Some(Some(slot)) = self.slots.get_mut(group) else { return };
        if slot.packet.is_some_and(|last| now - last < GRAIN) {
            return;
        }
        match slot.packet.replace(now) {
            Some(_) => self.carried.remove(group),
            None => self.answered.remove(group),
        }
        slot.used = slot.used.max(now);
        self.carried.push(group);
    }

    /// How many names have addresses, and how many could.
    pub fn usage(&self) -> (usize, usize) {
        (self.by_name.len(), self.groups)
    }

    /// A name that lost its addresses to another.
    pub(crate) fn pop_recycled(&mut self) -> Option<NameId> {
        self.recycled.pop_front()
    }

    fn mark_answered(&mut self, group: usize, now: Instant) {
        let Some(Some(slot)) = self.slots.get_mut(group) else { return };
        slot.used = slot.used.max(now);
        if slot.packet.is_none() {
            self.answered.remove(group);
            self.answered.push(group);
        }
    }

    fn put(&mut self, group: usize, name: NameId, now: Instant) {
        if self.slots.len() <= group {
            self.slots.resize(group + 1, None);
        }
        self.slots[group] = Some(Slot { name, packet: None, used: now });
        self.by_name.insert(name, group);
        self.answered.push(group);
    }

    fn take_free(&mut self) -> Option<usize> {
        while self.slots.get(self.next).is_some_and(Option::is_some) {
            self.next += 1;
        }
        (self.next < self.groups).then_some(self.next)
    }

    /// The group idle longest, if it may stand for another name now (R08).
    fn recycle(&mut self, now: Instant) -> Option<usize> {
        let slot = |group: usize| self.slots.get(group).copied().flatten();
        let answered = self.answered.first().and_then(|group| Some((slot(group)?, group)));
        let answered = answered.filter(|(slot, _)| now - slot.used >= ANSWERED);
        let carried = self.carried.first().and_then(|group| Some((slot(group)?, group)));
        let carried =
            carried.filter(|(slot, _)| slot.packet.is_none_or(|last| now - last >= QUIET + GRAIN));
        let candidates = [answered, carried].into_iter().flatten();
        let (slot, group) = candidates.min_by_key(|(slot, _)| slot.used)?;
        match slot.packet {
            Some(_) => self.carried.remove(group),
            None => self.answered.remove(group),
        }
        self.by_name.remove(&slot.name);
        self.recycled.push_back(slot.name);
        Some(group)
    }

    fn group(&self, group: usize) -> Option<Proxies> {
        let first = u128::try_from(group).ok()? * 4;
        let mut proxies =
            Proxies { ipv4: [Ipv4Addr::UNSPECIFIED; 4], ipv6: [Ipv6Addr::UNSPECIFIED; 4] };
        for (at, place) in (first..first + 4).zip(0..) {
            let (IpAddr::V4(v4), IpAddr::V6(v6)) = (self.ipv4.get(at)?, self.ipv6.get(at)?) else {
                return None;
            };
            let place: usize = place;
            (proxies.ipv4[place], proxies.ipv6[place]) = (v4, v6);
        }
        Some(proxies)
    }

    fn group_of(&self, address: IpAddr) -> Option<usize> {
        let range = if address.is_ipv4() { &self.ipv4 } else { &self.ipv6 };
        let group = usize::try_from(range.position(address)? / 4).ok()?;
        (group < self.groups).then_some(group)
    }
}
