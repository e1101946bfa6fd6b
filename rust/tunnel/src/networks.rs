//! Resources of networks by address: the longest network first, and in it the first resource whose rules
//! let the packet pass.
//!
//! Networks nest or are apart, so each knows the next shorter one around it. The longest around an
//! address is found in a tree once, and remembered; its rules and those of all around it are compiled at
//! the first question, and kept with it. So a question costs a few steps, among ten thousand networks too.

use std::cell::{Cell, OnceCell};
use std::collections::BTreeMap;
use std::iter::successors;
use std::net::IpAddr;
use std::ops::Bound;

use dns::Prefix;
use packet::{Protocol, Transport};
use slab::Slab;

use crate::filter::FilterSet;
use crate::verdicts::{Choice, Verdicts};

/// Addresses that are remembered, a power of two.
const REMEMBERED: usize = 64;

/// The networks.
#[derive(Debug, Default)]
pub struct Networks {
    networks: Slab<Network>,
    by_prefix: BTreeMap<Prefix, usize>,
    /// Raised when a network comes or goes.
    version: u64,
    /// By a part of the address: the longest network around it. Empty without networks.
    remembered: Box<[Cell<Remembered>]>,
}

#[derive(Debug)]
struct Network {
    prefix: Prefix,
    /// The longest of those around it.
    around: Option<usize>,
    choice: Choice,
    /// The rules of this network, then of those around it.
    verdicts: OnceCell<Verdicts>,
    /// Whether those of this one or of one in it may have been compiled since its last change.
    is_asked: Cell<bool>,
}

#[derive(Clone, Copy, Debug)]
struct Remembered {
    address: IpAddr,
    version: u64,
    longest: Option<usize>,
}

impl Networks {
    /// Adds a resource to a network, or changes it there; see [`Choice::insert`].
    pub fn insert(&mut self, prefix: Prefix, order: u128, resource: u32, filters: FilterSet) {
        let place = match self.by_prefix.get(&prefix) {
            Some(&place) => place,
            None => self.add(prefix),
        };
        self.forget_verdicts(place);
        if let Some(network) = self.networks.get_mut(place) {
            network.choice.insert(order, resource, filters);
        }
    }

    /// Takes a resource out of a network.
    pub fn remove(&mut self, prefix: Prefix, order: u128) {
        let Some(&place) = self.by_prefix.get(&prefix) else { return };
        self.forget_verdicts(place);
        let Some(network) = self.networks.get_mut(place) else { return };
        network.choice.remove(order);
        if network.choice.is_empty() {
            self.drop_network(place);
        }
    }

    /// The resource that lets a packet to `port` at `address` pass; the port is the one that the opener
    /// of the flow sees.
    pub fn find(&self, address: IpAddr, protocol: Protocol, port: u16) -> Option<u32> {
        self.verdicts(self.longest(address)?)?.find(protocol, port)
    }

    /// The same for any packet.
    pub fn find_transport(&self, address: IpAddr, transport: &Transport) -> Option<u32> {
        self.verdicts(self.longest(address)?)?.find_transport(transport)
    }

    /// Whether a network holds `address`.
    pub fn covers(&self, address: IpAddr) -> bool {
        self.longest(address).is_some()
    }

    /// The resources of all networks that hold `address`, longest network first.
    pub fn resources(&self, address: IpAddr) -> impl Iterator<Item = u32> {
        self.around(self.longest(address)).flat_map(|network| network.choice.resources())
    }

    fn verdicts(&self, place: usize) -> Option<&Verdicts> {
        let compile = || {
            self.around(Some(place)).for_each(|network| network.is_asked.set(true));
            Verdicts::new(self.around(Some(place)).flat_map(|network| network.choice.members()))
        };
        Some(self.networks.get(place)?.verdicts.get_or_init(compile))
    }

    /// What was compiled of a network and of those in it does not hold any more. O(networks in it), but
    /// O(1) as long as nobody asks between two changes.
    fn forget_verdicts(&mut self, place: usize) {
        let Some(network) = self.networks.get_mut(place) else { return };
        network.verdicts.take();
        if !network.is_asked.replace(false) {
            return;
        }
        let prefix = network.prefix;
        for within in self.within(prefix) {
            if let Some(network) = self.networks.get_mut(within) {
                network.verdicts.take();
            }
        }
    }

    /// A network and those around it.
    fn around(&self, from: Option<usize>) -> impl Iterator<Item = &Network> {
        self.chain(from).filter_map(|place| self.networks.get(place))
    }

    /// The places of the same.
    fn chain(&self, from: Option<usize>) -> impl Iterator<Item = usize> {
        successors(from, |place| self.networks.get(*place).and_then(|network| network.around))
    }

    fn longest(&self, address: IpAddr) -> Option<usize> {
        let memory = self.remembered.get(slot(address))?;
        let known = memory.get();
        if known.address == address && known.version == self.version {
            return known.longest;
        }
        let longest = self.search(Prefix::host(address));
        memory.set(Remembered { address, version: self.version, longest });
        longest
    }

    /// The longest network that holds all of `wanted`. The last one before it in the tree is that, or
    /// lies in it.
    fn search(&self, wanted: Prefix) -> Option<usize> {
        let (_, &before) = self.by_prefix.range(..=wanted).next_back()?;
        self.chain(Some(before)).find(|place| {
            self.networks.get(*place).is_some_and(|network| {
                network.prefix.length() <= wanted.length()
                    && network.prefix.contains(wanted.address())
            })
        })
    }

    /// O(networks in it).
    fn add(&mut self, prefix: Prefix) -> usize {
        let around = self.search(prefix);
        let place = self.networks.insert(Network {
            prefix,
            around,
            choice: Choice::default(),
            verdicts: OnceCell::new(),
            is_asked: Cell::new(true),
        });
        for within in self.within(prefix) {
            if let Some(network) = self.networks.get_mut(within)
                && network.around == around
            {
                network.around = Some(place);
            }
        }
        self.by_prefix.insert(prefix, place);
        self.changed();
        place
    }

    fn drop_network(&mut self, place: usize) {
        let Some(Network { prefix, around, .. }) = self.networks.try_remove(place) else { return };
        self.by_prefix.remove(&prefix);
        for within in self.within(prefix) {
            if let Some(network) = self.networks.get_mut(within)
                && network.around == Some(place)
            {
                network.around = around;
            }
        }
        self.changed();
    }

    /// The networks that lie in `prefix`, itself not among them.
    fn within(&self, prefix: Prefix) -> Vec<usize> {
        let behind = self.by_prefix.range((Bound::Excluded(prefix), Bound::Unbounded));
        let within = behind.take_while(|(other, _)| prefix.contains(other.address()));
        within.map(|(_, place)| *place).collect()
    }

    fn changed(&mut self) {
        self.version += 1;
        if self.remembered.is_empty() {
            let nothing = Remembered { address: IpAddr::from([0; 4]), version: 0, longest: None };
            self.remembered = (0..REMEMBERED).map(|_| Cell::new(nothing)).collect();
        }
    }
}

/// Where an address is remembered.
fn slot(address: IpAddr) -> usize {
    let bits = match address {
        IpAddr::V4(address) => u64::from(address.to_bits()),
        IpAddr::V6(address) => (address.to_bits() >> 64) as u64 ^ address.to_bits() as u64,
    };
    // The upper bits of a product depend on all bits of the factor.
    (bits.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (u64::BITS - REMEMBERED.ilog2())) as usize
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;
    use crate::filter::{Filter, PortRange};

    /// Addresses and networks of few bits, so that many meet.
    fn address() -> impl Strategy<Value = IpAddr> {
        let v4 = (0..4_u32, 0..4_u32).prop_map(|(high, low)| {
            IpAddr::from(Ipv4Addr::from_bits(0x0A00_0000 | high << 14 | low))
        });
        let v6 = (0..4_u128, 0..4_u128)
            .prop_map(|(high, low)| IpAddr::from(Ipv6Addr::from_bits(high << 100 | low)));
        prop_oneof![v4, v6]
    }

    fn prefix() -> impl Strategy<Value = Prefix> {
        (address(), 0..=128_u8).prop_map(|(address, length)| {
            let most = if address.is_ipv4() { 32 } else { 128 };
            Prefix::new(address, length.min(most)).expect("it is short enough")
        })
    }

    #[derive(Clone, Debug)]
    enum Step {
        Insert(Prefix, u128, u16),
        Remove(usize),
        Ask(IpAddr, u16),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            (prefix(), 0..60_u128, 0..3_u16)
                .prop_map(|(p, order, port)| Step::Insert(p, order, port)),
            (0..60_usize).prop_map(Step::Remove),
            (address(), 0..3_u16).prop_map(|(address, port)| Step::Ask(address, port)),
            (address(), 0..3_u16).prop_map(|(address, port)| Step::Ask(address, port)),
        ];
        prop::collection::vec(step, 1..150)
    }

    fn tcp(port: u16) -> FilterSet {
        FilterSet::new(&[Filter::Tcp(PortRange { start: port, end: port })])
    }

    /// All that hold the address, longest first, then by order.
    fn sought(all: &[(Prefix, u128, u16)], address: IpAddr) -> Vec<(Prefix, u128, u16)> {
        let mut found: Vec<_> =
            all.iter().copied().filter(|(prefix, ..)| prefix.contains(address)).collect();
        found.sort_by_key(|(prefix, order, _)| (std::cmp::Reverse(prefix.length()), *order));
        found
    }

    proptest! {
        #[test]
        fn the_longest_network_that_lets_a_packet_pass_is_found(steps in steps()) {
            let mut networks = Networks::default();
            let mut all: Vec<(Prefix, u128, u16)> = Vec::new();
            for step in steps {
                match step {
                    Step::Insert(prefix, order, port) => {
                        networks.insert(prefix, order, order as u32, tcp(port));
                        all.retain(|(other, of, _)| (*other, *of) != (prefix, order));
                        all.push((prefix, order, port));
                    }
                    Step::Remove(at) if at < all.len() => {
                        let (prefix, order, _) = all.swap_remove(at);
                        networks.remove(prefix, order);
                    }
                    Step::Remove(_) => {}
                    Step::Ask(address, port) => {
                        let sought = sought(&all, address);
                        let first = sought.iter().find(|(_, _, permitted)| *permitted == port);
                        let first = first.map(|(_, order, _)| *order as u32);
                        prop_assert_eq!(networks.find(address, Protocol::Tcp, port), first);
                        prop_assert_eq!(networks.covers(address), !sought.is_empty());
                        let resources: Vec<u32> = networks.resources(address).collect();
                        let all: Vec<u32> = sought.iter().map(|(_, order, _)| *order as u32).collect();
                        prop_assert_eq!(resources, all);
                    }
                }
            }
        }
    }

    #[test]
    fn without_networks_nothing_is_found() {
        let networks = Networks::default();
        let address = "10.0.0.1".parse().expect("an address");
        assert!(!networks.covers(address));
        assert_eq!(networks.find(address, Protocol::Udp, 53), None);
    }
}
