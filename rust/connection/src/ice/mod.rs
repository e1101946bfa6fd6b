//! Paths to peers that a portal introduces: ICE (RFC 8445) over the sockets that carry the packets.
//!
//! Owns an [agent](agent::Agent) for each such peer. Takes lines that tell of candidates and the
//! addresses of the host; gives binding requests and responses, and the pair that carries a connection:
//! that is where the peer is reached, wherever its datagrams come from. Between two ends that reach each
//! other the host's own addresses and those that the other end sees are enough; mapped addresses and
//! relayed ones, once there is who learns them, are further local candidates.
//!
//! Nothing of it stands on the way of a packet: a peer has a route or has none.

mod agent;
mod candidates;
mod in_flight;
mod seams;
pub(crate) mod stun;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};

use packet::{Instant, Route, SendBuffer};
use wireguard::{PresharedKey, Profile, PublicKey};

use self::agent::{Agent, Outcome};
use self::in_flight::InFlight;
use self::seams::AgentClock;
use crate::connections::{Connections, Event, Failure, Peer, PeerIndex};
use crate::node::{AddError, PeerConfig, has_room, write};
use crate::timers::Timers;

/// Addresses of a host that are candidates; others are left out.
const MOST_HOSTS: usize = 16;
/// Longest part of a user name, and longest password (RFC 8839 §5.4).
const LONGEST_CREDENTIAL: usize = 256;

/// What an end shows to be the one that a portal introduced.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Its part of the user name.
    pub name: String,
    /// The password of requests to it.
    pub password: String,
}

impl Credentials {
    /// Whether both have a length and characters of RFC 8839 §5.4; no least one, for which the portal
    /// that chose them is to answer.
    pub fn are_valid(&self) -> bool {
        [&self.name, &self.password].into_iter().all(|text| {
            let is_ice = |c: u8| c.is_ascii_alphanumeric() || c == b'+' || c == b'/';
            (1..=LONGEST_CREDENTIAL).contains(&text.len()) && text.bytes().all(is_ice)
        })
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Which end decides on the pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It does, and begins handshakes: the Client.
    Controlling,
    /// The other does: the Gateway.
    Controlled,
}

/// A peer that is reached by ICE.
#[derive(Debug)]
pub struct IcePeer {
    /// Its key.
    pub public_key: PublicKey,
    /// A secret that only the two share.
    pub preshared_key: Option<PresharedKey>,
    /// Credentials of this end.
    pub local: Credentials,
    /// Credentials of the peer.
    pub remote: Credentials,
    /// What this end is.
    pub role: Role,
}

/// What a peer is to be told of this end's addresses, in lines of RFC 8839 §5.1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalCandidates {
    /// What is new, most wanted first.
    pub new: Vec<String>,
    /// What is gone.
    pub invalidated: Vec<String>,
}

/// The agents of all peers, by the peers' slots.
#[derive(Default)]
pub(crate) struct Ice {
    clock: AgentClock,
    agents: BTreeMap<u32, Agent>,
    /// Several peers may have one user name: it is short. Integrity then tells.
    by_username: BTreeMap<String, BTreeSet<u32>>,
    in_flight: InFlight,
    timers: Timers,
    entries: BTreeMap<u32, Option<Instant>>,
    outgoing: VecDeque<(Route, Vec<u8>)>,
    hosts: Vec<SocketAddr>,
    /// Whose peer is to be told something.
    news: BTreeSet<u32>,
}

impl Ice {
    pub(crate) fn has_transmit(&self) -> bool {
        !self.outgoing.is_empty()
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    pub(crate) fn holds(&self, slot: u32) -> bool {
        self.agents.contains_key(&slot)
    }

    pub(crate) fn forget(&mut self, slot: u32) {
        let Some(agent) = self.agents.remove(&slot) else { return };
        if let Some(slots) = self.by_username.get_mut(agent.username()) {
            slots.remove(&slot);
            if slots.is_empty() {
                self.by_username.remove(agent.username());
            }
        }
        if let Some(mut entry) = self.entries.remove(&slot) {
            self.timers.clear(slot, &mut entry);
        }
        self.news.remove(&slot);
    }

    fn insert(&mut self, slot: u32, agent: Agent) {
        self.by_username.entry(agent.username().to_owned()).or_default().insert(slot);
        self.agents.insert(slot, agent);
        self.entries.insert(slot, None);
    }

    /// The address of ours that a datagram was sent to. Where the way does not tell, it is the first.
    fn local_of(&self, route: Route) -> Option<SocketAddr> {
        let is_there = |host: &&SocketAddr| match route.local {
            Some(ip) => host.ip() == ip,
            None => host.is_ipv4() == route.remote.is_ipv4(),
        };
        self.hosts.iter().find(is_there).copied()
    }
}

impl Connections {
    /// Adds a peer that is reached by ICE. Nothing goes to it before a pair of addresses works.
    ///
    /// # Errors
    /// [`AddError`]; nothing was added.
    pub fn connect(&mut self, config: IcePeer, now: Instant) -> Result<PeerIndex, AddError> {
        let IcePeer { public_key, preshared_key, local, remote, role } = config;
        if !local.are_valid() || !remote.are_valid() {
            return Err(AddError::Credentials);
        }
        let profile = Profile::FIREZONE_ICE;
        let config = PeerConfig { public_key, preshared_key, remote: None, profile };
        let peer = self.add(config, now)?;
        if let Some(peer) = self.peers.get_mut(peer.0 as usize) {
            peer.roams = false;
        }
        let entropy = self.keyed.as_mut().map(|keyed| &mut keyed.entropy);
        let tie_breaker = entropy.map_or(0, |entropy| u64::from_le_bytes(*entropy.draw()));
        let mut agent = Agent::new(&local, &remote, role, tie_breaker, now);
        agent.set_hosts(&self.ice.hosts, now);
        self.ice.insert(peer.0, agent);
        self.run_agent(peer.0, now, |_, _| {});
        Ok(peer)
    }

    /// Whether a peer is one of ICE whose path was given up. It has to be removed and added anew.
    pub fn has_failed(&self, peer: PeerIndex) -> bool {
        let known = self.peers.get(peer.0 as usize);
        known.is_some_and(Peer::is_of_ice) && !self.ice.holds(peer.0)
    }

    /// The portal introduced a peer once more as it is: it is told of all candidates again, and spoken to
    /// if that was long ago.
    pub fn introduce_again(&mut self, peer: PeerIndex, now: Instant) {
        let Some(agent) = self.ice.agents.get_mut(&peer.0) else { return };
        agent.repeat_locals(now);
        let is_controlling = agent.role() == Role::Controlling;
        self.run_agent(peer.0, now, |_, _| {});
        let slot = peer.0 as usize;
        if let Some(peer) = self.peers.get_mut(slot).filter(|_| is_controlling)
            && peer.remote.is_some()
        {
            peer.session.initiate_if_stale(now);
            self.settle(slot, now);
        }
    }

    /// The addresses of this host, each with the port of the sockets.
    pub fn set_host_addresses(&mut self, addresses: &[SocketAddr], now: Instant) {
        let known = addresses.iter().copied().filter(|at| candidates::host(*at).is_some());
        let mut hosts: Vec<SocketAddr> = Vec::new();
        for address in known {
            if !hosts.contains(&address) && hosts.len() < MOST_HOSTS {
                hosts.push(address);
            }
        }
        self.ice.hosts = hosts;
        let slots: Vec<u32> = self.ice.agents.keys().copied().collect();
        for slot in slots {
            let hosts = std::mem::take(&mut self.ice.hosts);
            self.run_agent(slot, now, |agent, _| agent.set_hosts(&hosts, now));
            self.ice.hosts = hosts;
        }
    }

    /// A peer may be reached at what `lines` say; what is no candidate is skipped.
    pub fn add_remote_candidates(&mut self, peer: PeerIndex, lines: &[String], now: Instant) {
        self.run_agent(peer.0, now, |agent, _| {
            lines.iter().for_each(|line| agent.add_remote(line, now));
        });
    }

    /// A peer is not to be reached any more at what `lines` say.
    pub fn remove_remote_candidates(&mut self, peer: PeerIndex, lines: &[String], now: Instant) {
        self.run_agent(peer.0, now, |agent, _| {
            lines.iter().for_each(|line| agent.remove_remote(line, now));
        });
    }

    /// What a peer is to be told of this end's addresses.
    pub fn poll_local_candidates(&mut self) -> Option<(PeerIndex, LocalCandidates)> {
        loop {
            let slot = self.ice.news.pop_first()?;
            let news = self.ice.agents.get_mut(&slot).and_then(Agent::take_news);
            if let Some(news) = news {
                return Some((PeerIndex(slot), news));
            }
        }
    }

    /// Lets agents act whose time has come.
    pub(crate) fn run_agents(&mut self, now: Instant) {
        while let Some(slot) = self.ice.timers.take_due(now) {
            self.ice.entries.insert(slot, None);
            let session = self.peers.get(slot as usize).map(|peer| &peer.session);
            let packets = || {
                let counts = session.and_then(|session| session.statistics(now));
                counts.map_or(0, |of| of.sent_packets + of.received_packets)
            };
            let agent = self.ice.agents.get_mut(&slot);
            match agent.and_then(|agent| agent.look(packets, now)) {
                Some(why) => self.give_up_path(slot, why),
                None => self.run_agent(slot, now, |_, _| {}),
            }
        }
        self.ice.in_flight.forget_old(now);
    }

    /// Gives an agent something and takes what comes of it.
    fn run_agent(
        &mut self,
        slot: u32,
        now: Instant,
        give: impl FnOnce(&mut Agent, std::time::Instant),
    ) {
        let Some(keyed) = &mut self.keyed else { return };
        let ice = &mut self.ice;
        let Some(agent) = ice.agents.get_mut(&slot) else { return };
        seams::seed(&mut keyed.entropy);
        let (clock, at) = (ice.clock, ice.clock.to_agent(now));
        give(agent, at);
        let Outcome { transmits, nominated } = agent.run(at, now);
        let deadline = agent.deadline(clock);
        ice.news.insert(slot);
        let entry = ice.entries.entry(slot).or_default();
        ice.timers.set(slot, entry, Some(deadline));
        for (from, to, message) in transmits {
            ice.in_flight.note(slot, &message, now);
            ice.outgoing.push_back((Route { remote: to, local: Some(from.ip()) }, message));
        }
        if let Some((from, to)) = nominated {
            self.take_path(slot, from.ip(), to, now);
        }
    }

    /// A pair was nominated: its peer is reached there from now on.
    fn take_path(&mut self, slot: u32, local: IpAddr, remote: SocketAddr, now: Instant) {
        let role = self.ice.agents.get(&slot).map(Agent::role);
        let Some(peer) = self.peers.get_mut(slot as usize) else { return };
        let former = peer.route();
        (peer.remote, peer.local_address) = (Some(remote), Some(local));
        if former == peer.route() {
            return;
        }
        if former.is_some() {
            self.counters.roamed += 1;
            self.events.push_back(Event::Moved(PeerIndex(slot)));
        } else if peer.session.is_ready(now) && std::mem::take(&mut peer.starved) {
            self.events.push_back(Event::Ready(PeerIndex(slot)));
        }
        if role == Some(Role::Controlling) {
            peer.session.initiate_on_new_path(now);
        }
        self.settle(slot as usize, now);
    }

    /// No path leads to a peer any more. It stays, and reaches nobody, until it is removed.
    pub(crate) fn give_up_path(&mut self, slot: u32, why: Failure) {
        self.ice.forget(slot);
        if let Some(peer) = self.peers.get_mut(slot as usize) {
            (peer.remote, peer.local_address) = (None, None);
            self.events.push_back(Event::Failed(PeerIndex(slot), why));
        }
    }

    /// Writes binding requests and responses into `send`, as far as there is room.
    pub(crate) fn flush_stun(&mut self, send: &mut SendBuffer) {
        while has_room(send, self.ice.outgoing.front().map_or(0, |(_, message)| message.len()))
            && let Some((to, message)) = self.ice.outgoing.pop_front()
        {
            write(to, &message, send);
        }
    }
}
