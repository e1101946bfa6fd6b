//! Which of several resources lets a packet pass: their rules compiled into one answer per section of
//! ports, so that one is found in a few steps, among ten thousand resources too, and what is kept grows
//! with the rules alone.

use std::cell::OnceCell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use packet::{Protocol, Transport};

use crate::filter::FilterSet;

/// Pages of 256 ports. More sections than there are pages are searched for in the port's page alone.
const PAGES: usize = 256;
/// No resource lets the port pass.
const NONE: u32 = u32::MAX;

/// Resources in an order, the first of which that lets a packet pass counts. A change costs what a tree
/// takes; the first question behind it costs O(rules · log rules).
#[derive(Debug, Default)]
pub struct Choice {
    members: BTreeMap<u128, (u32, FilterSet)>,
    verdicts: OnceCell<Verdicts>,
}

impl Choice {
    /// Adds a resource, or changes it. `order` tells it apart and says whether it comes before others;
    /// `resource` is what is answered, below 2^32 - 1.
    pub fn insert(&mut self, order: u128, resource: u32, filters: FilterSet) {
        self.verdicts.take();
        self.members.insert(order, (resource, filters));
    }

    /// Takes a resource out.
    pub fn remove(&mut self, order: u128) {
        self.verdicts.take();
        self.members.remove(&order);
    }

    /// Whether there is no resource.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The resources, in their order.
    pub fn resources(&self) -> impl Iterator<Item = u32> {
        self.members().map(|(resource, _)| resource)
    }

    /// What is answered for each resource, with its rules, in their order.
    pub(crate) fn members(&self) -> impl Iterator<Item = (u32, &FilterSet)> {
        self.members.values().map(|(resource, filters)| (*resource, filters))
    }

    /// The first resource that lets a packet to `port` pass, as the opener of the flow sees the port.
    pub fn find(&self, protocol: Protocol, port: u16) -> Option<u32> {
        self.verdicts().find(protocol, port)
    }

    /// The same for any packet.
    pub fn find_transport(&self, transport: &Transport) -> Option<u32> {
        self.verdicts().find_transport(transport)
    }

    fn verdicts(&self) -> &Verdicts {
        self.verdicts.get_or_init(|| Verdicts::new(self.members()))
    }
}

/// The compiled rules of resources in an order. They take 8 bytes per section of ports that has one
/// answer, of which there are at most twice as many as rules, and one; 1 KiB more above 256 of them.
#[derive(Debug)]
pub(crate) struct Verdicts {
    tcp: Ports,
    udp: Ports,
    icmp: u32,
    /// For what has neither ports nor is ICMP.
    other: u32,
}

impl Verdicts {
    pub(crate) fn new<'a>(resources: impl Iterator<Item = (u32, &'a FilterSet)>) -> Self {
        let (mut tcp, mut udp) = (Vec::new(), Vec::new());
        let (mut icmp, mut other) = (NONE, NONE);
        for (rank, (resource, filters)) in resources.enumerate() {
            let section =
                |&(first, last): &(u16, u16)| Section { first, last, rank: rank as u32, resource };
            tcp.extend(filters.ports(Protocol::Tcp).iter().map(section));
            udp.extend(filters.ports(Protocol::Udp).iter().map(section));
            if icmp == NONE && filters.permits(Protocol::Icmp, 0) {
                icmp = resource;
            }
            if filters.is_open() {
                // Whatever comes behind it is never asked.
                other = resource;
                break;
            }
        }
        Self { tcp: Ports::new(tcp), udp: Ports::new(udp), icmp, other }
    }

    #[inline]
    pub(crate) fn find(&self, protocol: Protocol, port: u16) -> Option<u32> {
        let found = match protocol {
            Protocol::Tcp => self.tcp.find(port),
            Protocol::Udp => self.udp.find(port),
            Protocol::Icmp => self.icmp,
        };
        (found != NONE).then_some(found)
    }

    pub(crate) fn find_transport(&self, transport: &Transport) -> Option<u32> {
        match transport.flow() {
            Some((protocol, _, port)) => self.find(protocol, port),
            None => (self.other != NONE).then_some(self.other),
        }
    }
}

/// A resource lets these ports pass.
struct Section {
    first: u16,
    last: u16,
    rank: u32,
    resource: u32,
}

/// The resource of each port.
#[derive(Debug)]
struct Ports {
    /// First port and resource of sections, ascending; the first one begins at 0.
    sections: Box<[(u16, u32)]>,
    /// How many sections begin before each page, and how many there are; empty if they are few.
    before: Box<[u32]>,
}

impl Ports {
    fn new(sections: Vec<Section>) -> Self {
        let sections = merge(sections).into_boxed_slice();
        let begin_before = |page: usize| {
            sections.partition_point(|(first, _)| usize::from(first >> 8) < page) as u32
        };
        let before = match sections.len() {
            0..=PAGES => Box::default(),
            _ => (0..=PAGES).map(begin_before).collect(),
        };
        Self { sections, before }
    }

    #[inline]
    fn find(&self, port: u16) -> u32 {
        let page = usize::from(port >> 8);
        let (from, to) = match self.before.get(page..page + 2) {
            Some(&[from, to]) => (from as usize, to as usize),
            _ => (0, self.sections.len()),
        };
        let begun = from + self.sections[from..to].partition_point(|(first, _)| *first <= port);
        self.sections[..begun].last().map_or(NONE, |(_, resource)| *resource)
    }
}

/// Sections that overlap become sections that do not, each of the first resource in it.
fn merge(mut sections: Vec<Section>) -> Vec<(u16, u32)> {
    sections.sort_unstable_by_key(|section| section.first);
    let ends = sections.iter().filter_map(|section| section.last.checked_add(1));
    let mut bounds: Vec<u16> =
        sections.iter().map(|section| section.first).chain(ends).chain([0]).collect();
    bounds.sort_unstable();
    bounds.dedup();
    let mut begun = BinaryHeap::new();
    let mut rest = sections.into_iter().peekable();
    let mut merged: Vec<(u16, u32)> = Vec::new();
    for bound in bounds {
        while let Some(section) = rest.next_if(|section| section.first == bound) {
            begun.push(Reverse((section.rank, section.last, section.resource)));
        }
        while begun.peek().is_some_and(|Reverse((_, last, _))| *last < bound) {
            begun.pop();
        }
        let resource = begun.peek().map_or(NONE, |Reverse((_, _, resource))| *resource);
        if merged.last().is_none_or(|(_, former)| *former != resource) {
            merged.push((bound, resource));
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::filter::{Filter, PortRange};

    fn filters() -> impl Strategy<Value = Vec<Filter>> {
        let range = prop_oneof![
            (any::<u16>(), any::<u16>()).prop_map(|(start, end)| PortRange { start, end }),
            (0..600_u16, 0..40_u16)
                .prop_map(|(start, more)| PortRange { start, end: start + more }),
            Just(PortRange { start: 0, end: u16::MAX }),
            Just(PortRange { start: u16::MAX, end: u16::MAX }),
        ];
        let filter = prop_oneof![
            4 => range.clone().prop_map(Filter::Tcp),
            2 => range.prop_map(Filter::Udp),
            1 => Just(Filter::Icmp),
        ];
        prop::collection::vec(filter, 0..5)
    }

    proptest! {
        /// The first resource whose own rules let the packet pass, asked one after the other.
        #[test]
        fn the_first_resource_that_permits_a_packet_is_found(
            rules in prop::collection::vec(filters(), 0..40),
            removed in prop::collection::vec(0..40_usize, 0..5),
            ports in prop::collection::vec(prop_oneof![any::<u16>(), 0..700_u16], 50),
        ) {
            let mut choice = Choice::default();
            let mut one_by_one: Vec<Option<FilterSet>> = Vec::new();
            for (at, rules) in rules.iter().enumerate() {
                choice.insert(at as u128, at as u32, FilterSet::new(rules));
                one_by_one.push(Some(FilterSet::new(rules)));
            }
            for round in 0..2 {
                let find = |transport: &Transport| {
                    let permits = |set: &Option<FilterSet>| {
                        set.as_ref().is_some_and(|set| set.permits_transport(transport))
                    };
                    one_by_one.iter().position(permits).map(|at| at as u32)
                };
                for &port in &ports {
                    let (source, sequence, flags) = (1, 1, packet::TcpFlags::ACK);
                    let all = [
                        Transport::Tcp { source, destination: port, sequence, flags },
                        Transport::Udp { source, destination: port },
                        Transport::Echo { identifier: port, request: true },
                        Transport::Other { protocol: 47 },
                    ];
                    for transport in all {
                        prop_assert_eq!(choice.find_transport(&transport), find(&transport));
                    }
                }
                for &at in removed.iter().filter(|at| round == 0 && **at < rules.len()) {
                    choice.remove(at as u128);
                    one_by_one[at] = None;
                }
            }
        }
    }

    #[test]
    fn ten_thousand_resources_with_a_port_each_are_told_apart() {
        let mut choice = Choice::default();
        for at in 0..10_000 {
            let port = 5 * at as u16;
            let rules = [Filter::Tcp(PortRange { start: port, end: port + 1 })];
            choice.insert(u128::from(at), at, FilterSet::new(&rules));
        }
        for port in 0..=u16::MAX {
            let expected = (port < 50_000 && port % 5 < 2).then_some(u32::from(port / 5));
            assert_eq!(choice.find(Protocol::Tcp, port), expected, "{port}");
            assert_eq!(choice.find(Protocol::Udp, port), None);
        }
    }

    #[test]
    fn what_is_kept_grows_with_the_rules_not_with_the_ports() {
        for (rules, pages) in [(10_u16, 0), (100, 0), (1000, PAGES + 1)] {
            let port = |of: u16| of * (u16::MAX / rules);
            let section = |of| Section {
                first: port(of) + 1,
                last: port(of) + 1,
                rank: of.into(),
                resource: of.into(),
            };
            let ports = Ports::new((0..rules).map(section).collect());
            assert_eq!(ports.sections.len(), 2 * usize::from(rules) + 1);
            assert_eq!(ports.before.len(), pages);
        }
    }
}
