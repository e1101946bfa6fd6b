//! Port filters of a resource: which protocol and destination port may pass.

use packet::{Protocol, Transport};
use serde::{Deserialize, Serialize};

/// One rule of a resource, as the portal words it. A resource without rules lets everything pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "protocol", rename_all = "snake_case")]
pub enum Filter {
    /// TCP destination ports, both ends included.
    Tcp(PortRange),
    /// UDP destination ports, both ends included.
    Udp(PortRange),
    /// ICMP and ICMPv6, every type.
    Icmp,
}

/// A range of ports, both ends included. The default is every port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortRange {
    /// First port.
    #[serde(rename = "port_range_start", default)]
    pub start: u16,
    /// Last port.
    #[serde(rename = "port_range_end", default = "last_port")]
    pub end: u16,
}

fn last_port() -> u16 {
    u16::MAX
}

/// The rules of one resource, compiled: a look-up costs O(log rules).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilterSet {
    /// No rules at all: everything passes.
    open: bool,
    icmp: bool,
    tcp: Vec<(u16, u16)>,
    udp: Vec<(u16, u16)>,
}

impl FilterSet {
    /// Compiles `filters`.
    pub fn new(filters: &[Filter]) -> Self {
        let mut set = Self { open: filters.is_empty(), ..Self::default() };
        for filter in filters {
            match filter {
                Filter::Tcp(range) => set.tcp.push((range.start, range.end)),
                Filter::Udp(range) => set.udp.push((range.start, range.end)),
                Filter::Icmp => set.icmp = true,
            }
        }
        merge(&mut set.tcp);
        merge(&mut set.udp);
        set
    }

    /// Whether a packet towards the resource passes. `port` is the destination port as the one who
    /// opened the flow sees it; it does not matter for ICMP.
    pub fn permits(&self, protocol: Protocol, port: u16) -> bool {
        self.open
            || match protocol {
                Protocol::Tcp => contains(&self.tcp, port),
                Protocol::Udp => contains(&self.udp, port),
                Protocol::Icmp => self.icmp,
            }
    }

    /// The ports of a protocol that pass, in ranges that are apart, ascending; both ends included.
    pub(crate) fn ports(&self, protocol: Protocol) -> &[(u16, u16)] {
        match protocol {
            Protocol::Tcp | Protocol::Udp if self.open => &[(0, u16::MAX)],
            Protocol::Tcp => &self.tcp,
            Protocol::Udp => &self.udp,
            Protocol::Icmp => &[],
        }
    }

    /// Whether there are no rules, so that everything passes.
    pub(crate) fn is_open(&self) -> bool {
        self.open
    }

    /// Whether a packet passes that is neither TCP, UDP nor an ICMP echo: only without rules
    /// (dataplane §4.7), ICMP of any type also by the ICMP rule.
    pub fn permits_transport(&self, transport: &Transport) -> bool {
        match transport.flow() {
            Some((protocol, _, destination)) => self.permits(protocol, destination),
            None => self.open,
        }
    }
}

/// Sorts ranges and joins those that touch, so that a binary search decides.
fn merge(ranges: &mut Vec<(u16, u16)>) {
    ranges.retain(|(start, end)| start <= end);
    ranges.sort_unstable();
    let mut merged: Vec<(u16, u16)> = Vec::with_capacity(ranges.len());
    for &(start, end) in ranges.iter() {
        match merged.last_mut() {
            Some(last) if start <= last.1.saturating_add(1) => last.1 = last.1.max(end),
            _ => merged.push((start, end)),
        }
    }
    *ranges = merged;
}

fn contains(ranges: &[(u16, u16)], port: u16) -> bool {
    let at = ranges.partition_point(|&(start, _)| start <= port);
    at > 0 && port <= ranges[at - 1].1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(start: u16, end: u16) -> Filter {
        Filter::Tcp(PortRange { start, end })
    }

    #[test]
    fn without_rules_everything_passes() {
        let set = FilterSet::new(&[]);

        assert!(set.permits(Protocol::Tcp, 1));
        assert!(set.permits(Protocol::Udp, 65535));
        assert!(set.permits(Protocol::Icmp, 0));
        assert!(set.permits_transport(&Transport::Other { protocol: 47 }));
    }

    #[test]
    fn a_protocol_missing_from_the_rules_is_denied() {
        let set = FilterSet::new(&[tcp(80, 80)]);

        assert!(set.permits(Protocol::Tcp, 80));
        assert!(!set.permits(Protocol::Tcp, 81));
        assert!(!set.permits(Protocol::Udp, 80));
        assert!(!set.permits(Protocol::Icmp, 0));
        assert!(!set.permits_transport(&Transport::Other { protocol: 47 }));
    }

    #[test]
    fn overlapping_and_touching_ranges_act_as_one() {
        let set = FilterSet::new(&[tcp(100, 200), tcp(1, 5), tcp(150, 300), tcp(301, 310)]);

        for port in [1, 5, 100, 250, 305, 310] {
            assert!(set.permits(Protocol::Tcp, port), "{port}");
        }
        for port in [0, 6, 99, 311, 65535] {
            assert!(!set.permits(Protocol::Tcp, port), "{port}");
        }
    }

    #[test]
    fn an_inverted_range_permits_nothing() {
        let set = FilterSet::new(&[tcp(10, 5)]);

        assert!(!set.permits(Protocol::Tcp, 7));
    }

    #[test]
    fn rules_read_as_the_portal_words_them() {
        let json = r#"[{"protocol":"tcp","port_range_start":443,"port_range_end":443},
                       {"protocol":"udp"},{"protocol":"icmp"}]"#;

        let filters: Vec<Filter> = serde_json::from_str(json).expect("valid filters");

        assert_eq!(filters[0], tcp(443, 443));
        assert_eq!(filters[1], Filter::Udp(PortRange { start: 0, end: 65535 }));
        assert_eq!(filters[2], Filter::Icmp);
    }
}
