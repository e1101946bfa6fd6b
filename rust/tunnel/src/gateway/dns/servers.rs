//! Which of the site's name servers is asked: the one that answers fastest (dataplane §4.8).
//!
//! Every 60 s each server is asked over UDP and over TCP; one that says nothing for 2 s does not
//! count. The question is for the root's name servers: every resolver knows them, even one that
//! refuses to say so answers, and nobody learns from it that a Gateway asks. The first ten servers
//! count, so that 20 such questions are under way at most.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use packet::Instant;

use crate::endpoint::{DnsTransmit, DnsTransport};

/// Servers that are used.
const MOST: usize = 10;
/// Time between two measurements.
const EVERY: Duration = Duration::from_secs(60);
/// The same while no server answers, or after a query that none answered.
const EVERY_IN_NEED: Duration = Duration::from_secs(5);
/// A server that says nothing for so long is not used.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is known of a server over one transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speed {
    /// Not measured yet.
    Unknown,
    /// It answered after this.
    Answers(Duration),
    /// It did not.
    Silent,
}

struct Server {
    address: SocketAddr,
    udp: Speed,
    tcp: Speed,
}

struct Probe {
    server: SocketAddr,
    transport: DnsTransport,
    sent: Instant,
}

/// The servers and what is known of them.
#[derive(Default)]
pub(super) struct Servers {
    servers: Vec<Server>,
    probes: BTreeMap<u64, Probe>,
    next_round: Option<Instant>,
    last_round: Instant,
}

impl Server {
    fn speed(&mut self, transport: DnsTransport) -> &mut Speed {
        match transport {
            DnsTransport::Udp => &mut self.udp,
            DnsTransport::Tcp => &mut self.tcp,
        }
    }

    fn known(&self, transport: DnsTransport) -> Speed {
        match transport {
            DnsTransport::Udp => self.udp,
            DnsTransport::Tcp => self.tcp,
        }
    }
}

impl Servers {
    /// Replaces the servers; those that stay keep what is known of them. All are measured at once.
    pub(super) fn set(&mut self, addresses: &[SocketAddr], now: Instant) {
        let mut former = std::mem::take(&mut self.servers);
        for &address in addresses {
            if self.servers.len() == MOST || self.servers.iter().any(|s| s.address == address) {
                continue;
            }
            let known = former.iter().position(|server| server.address == address);
            self.servers.push(match known {
                Some(at) => former.swap_remove(at),
                None => Server { address, udp: Speed::Unknown, tcp: Speed::Unknown },
            });
        }
        self.next_round = (!self.servers.is_empty()).then_some(now);
    }

    /// The server to ask over `transport`, or else over the other one: the fastest; before anything
    /// is known, the first. `None` if none answers.
    pub(super) fn choose(&self, transport: DnsTransport) -> Option<(SocketAddr, DnsTransport)> {
        let other = match transport {
            DnsTransport::Udp => DnsTransport::Tcp,
            DnsTransport::Tcp => DnsTransport::Udp,
        };
        self.fastest(transport).or_else(|| self.fastest(other))
    }

    fn fastest(&self, transport: DnsTransport) -> Option<(SocketAddr, DnsTransport)> {
        let speed = |server: &Server| match server.known(transport) {
            Speed::Answers(after) => Some(after),
            Speed::Unknown => Some(Duration::MAX),
            Speed::Silent => None,
        };
        let usable = self.servers.iter().filter_map(|server| Some((speed(server)?, server)));
        // Of equals the first.
        let fastest = usable.min_by_key(|(speed, _)| *speed);
        fastest.map(|(_, server)| (server.address, transport))
    }

    /// Begins a measurement whose time has come, and ends probes that took too long.
    pub(super) fn handle_timeout(
        &mut self,
        now: Instant,
        next_id: &mut u64,
        transmits: &mut VecDeque<DnsTransmit>,
    ) {
        while let Some(entry) = self.probes.first_entry()
            && entry.get().sent + PATIENCE <= now
        {
            let probe = entry.remove();
            self.learn(&probe, Speed::Silent, now);
        }
        if self.next_round.is_none_or(|at| at > now) {
            return;
        }
        (self.last_round, self.next_round) = (now, Some(now + EVERY));
        for server in &self.servers {
            for transport in [DnsTransport::Udp, DnsTransport::Tcp] {
                let (id, server) = (*next_id, server.address);
                *next_id += 1;
                let query = ::dns::root_query(message_id(id)).to_vec();
                transmits.push_back(DnsTransmit { id, server, transport, query });
                self.probes.insert(id, Probe { server, transport, sent: now });
            }
        }
    }

    /// The answer to a probe. Returns whether `id` was one.
    pub(super) fn answered(&mut self, id: u64, response: Option<&[u8]>, now: Instant) -> bool {
        let Some(probe) = self.probes.remove(&id) else { return false };
        let query = ::dns::root_query(message_id(id));
        let is_answer = response.is_some_and(|response| {
            response.starts_with(&query[..2])
                && ::dns::adopt_response(&query, &mut response.to_vec())
        });
        let speed = if is_answer { Speed::Answers(now - probe.sent) } else { Speed::Silent };
        self.learn(&probe, speed, now);
        true
    }

    fn learn(&mut self, probe: &Probe, speed: Speed, now: Instant) {
        let server = self.servers.iter_mut().find(|server| server.address == probe.server);
        if let Some(server) = server {
            *server.speed(probe.transport) = speed;
        }
        if self.probes.is_empty() && self.choose(DnsTransport::Udp).is_none() {
            self.hurry(now);
        }
    }

    /// A query came to nothing: the servers are measured sooner.
    pub(super) fn hurry(&mut self, now: Instant) {
        let soon = (self.last_round + EVERY_IN_NEED).max(now);
        self.next_round = self.next_round.map(|at| at.min(soon));
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let probe = self.probes.first_key_value().map(|(_, probe)| probe.sent + PATIENCE);
        [probe, self.next_round].into_iter().flatten().min()
    }
}

/// The id in the message; replies are told apart by the number of the transmission, and by sockets.
fn message_id(id: u64) -> u16 {
    (id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48) as u16
}
