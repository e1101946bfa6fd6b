//! A NAT as Firezone's Gateway has it: a bijective map (two maps with the standard hasher that share
//! counted keys), an ordered map with what is known of each entry, ports tried one after the other,
//! expiry by looking at every entry. A key has no remote port and there is a table for each Client.

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;
use std::time::Duration;

use bimap::BiMap;
use packet::{Instant, Summary, TcpFlags, Transport};

/// A protocol with the port (or echo identifier) that tells flows apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// TCP.
    Tcp(u16),
    /// UDP.
    Udp(u16),
    /// Echo.
    Icmp(u16),
}

impl Source {
    fn value(self) -> u16 {
        match self {
            Self::Tcp(value) | Self::Udp(value) | Self::Icmp(value) => value,
        }
    }

    fn with_value(self, value: u16) -> Self {
        match self {
            Self::Tcp(_) => Self::Tcp(value),
            Self::Udp(_) => Self::Udp(value),
            Self::Icmp(_) => Self::Icmp(value),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Inside(Source, IpAddr);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Outside(Source, IpAddr);

#[derive(Debug)]
struct State {
    last_outgoing: Instant,
    last_incoming: Option<Instant>,
    outgoing_rst: bool,
    incoming_rst: bool,
    outgoing_fin: bool,
    incoming_fin: bool,
}

const TCP: Duration = Duration::from_secs(7440);
const OTHER: Duration = Duration::from_secs(120);
const UNCONFIRMED: Duration = Duration::from_secs(60);
const CLOSED: Duration = Duration::from_secs(5);

impl State {
    fn last_packet(&self) -> Instant {
        self.last_incoming.map_or(self.last_outgoing, |incoming| incoming.max(self.last_outgoing))
    }

    fn remove_at(&self, source: Source) -> Option<Instant> {
        let life = if matches!(source, Source::Tcp(_)) { TCP } else { OTHER };
        let unconfirmed = self.last_incoming.is_none().then(|| self.last_outgoing + UNCONFIRMED);
        let closed = (self.outgoing_fin && self.incoming_fin).then(|| self.last_packet() + CLOSED);
        let reset = (self.outgoing_rst || self.incoming_rst).then(|| self.last_packet());
        let all = [Some(self.last_packet() + life), unconfirmed, closed, reset];
        all.into_iter().flatten().min()
    }
}

/// The table.
#[derive(Debug, Default)]
pub struct BimapNat {
    table: BiMap<Inside, Outside>,
    state: BTreeMap<Inside, State>,
    expired: HashSet<Outside>,
}

impl BimapNat {
    /// Translates a packet of a Client, to `real` if it opens a flow: source port and address outside.
    /// `None` if no port is left, or it is of another protocol.
    pub fn outbound(
        &mut self,
        summary: &Summary,
        real: IpAddr,
        now: Instant,
    ) -> Option<(Source, IpAddr)> {
        let source = source(summary, false)?;
        let inside = Inside(source, summary.destination);
        if let Some(outside) = self.table.get_by_left(&inside).copied()
            && let Some(state) = self.state.get_mut(&inside)
        {
            if let Transport::Tcp { flags, .. } = summary.transport {
                state.outgoing_rst |= flags.contains(TcpFlags::RST);
                state.outgoing_fin |= flags.contains(TcpFlags::FIN);
            }
            state.last_outgoing = now;
            return Some((outside.0, outside.1));
        }
        let outside = (source.value()..=u16::MAX)
            .chain(1..source.value())
            .map(|port| Outside(source.with_value(port), real))
            .find(|outside| !self.table.contains_right(outside))?;
        self.table.insert(inside, outside);
        let state = State {
            last_outgoing: now,
            last_incoming: None,
            outgoing_rst: false,
            incoming_rst: false,
            outgoing_fin: false,
            incoming_fin: false,
        };
        self.state.insert(inside, state);
        self.expired.remove(&outside);
        Some((outside.0, outside.1))
    }

    /// Translates a packet back: port and address that the Client knows.
    pub fn inbound(&mut self, summary: &Summary, now: Instant) -> Option<(Source, IpAddr)> {
        let outside = Outside(source(summary, true)?, summary.source);
        let inside = *self.table.get_by_right(&outside)?;
        self.state.get_mut(&inside)?.last_incoming.replace(now);
        let state = self.state.get_mut(&inside)?;
        if let Transport::Tcp { flags, .. } = summary.transport {
            state.incoming_rst |= flags.contains(TcpFlags::RST);
            state.incoming_fin |= flags.contains(TcpFlags::FIN);
        }
        Some((inside.0, inside.1))
    }

    /// Ends what is due; returns how many.
    pub fn expire(&mut self, now: Instant) -> usize {
        let due = self
            .state
            .extract_if(.., |inside, state| state.remove_at(inside.0).is_some_and(|at| now >= at));
        let mut ended = 0;
        for (inside, _) in due {
            if let Some((_, outside)) = self.table.remove_by_left(&inside) {
                self.expired.insert(outside);
                ended += 1;
            }
        }
        ended
    }

    /// Ends the flow of a packet of a Client.
    pub fn remove(&mut self, summary: &Summary) {
        let Some(source) = source(summary, false) else { return };
        let inside = Inside(source, summary.destination);
        self.state.remove(&inside);
        self.table.remove_by_left(&inside);
    }
}

/// What tells the flow of a packet apart, at the end that is translated.
fn source(summary: &Summary, back: bool) -> Option<Source> {
    match summary.transport {
        Transport::Tcp { source, destination, .. } => {
            Some(Source::Tcp(if back { destination } else { source }))
        }
        Transport::Udp { source, destination } => {
            Some(Source::Udp(if back { destination } else { source }))
        }
        Transport::Echo { identifier, .. } => Some(Source::Icmp(identifier)),
        Transport::IcmpError | Transport::Other { .. } => None,
    }
}
