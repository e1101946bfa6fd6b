//! From a Gateway to the TUN: the stations of datagrams that arrive.

use connection::{Datagrams, Group, PacketRange, PeerIndex};
use nat::control::DomainStatus;
use nat::flow_table::Direction;
use packet::{Instant, MAX_PACKET, Summary, Train, Transport, icmp};

use super::Client;
use crate::endpoint::Io;
use crate::incoming::{self, Incoming};
use crate::p2p::{self, EventType};
use crate::refuse::{self, Refusal};

impl Client {
    /// First station: datagrams are opened in place and told apart by peer.
    pub(super) fn receive_datagrams(
        &mut self,
        mut datagrams: Datagrams<'_>,
        now: Instant,
        io: &mut Io<'_>,
    ) {
        let mut opened = std::mem::take(&mut self.opened);
        self.connections.open(&mut datagrams, now, &mut opened);
        for &group in opened.groups() {
            self.receive_packets(group, datagrams.bytes, opened.packets(group), now, io);
        }
        self.opened = opened;
    }

    /// Second station: control packets are consumed, the others join to trains.
    fn receive_packets(
        &mut self,
        group: Group,
        bytes: &mut [u8],
        packets: &[PacketRange],
        now: Instant,
        io: &mut Io<'_>,
    ) {
        let peer = group.peer;
        self.hear(peer, now, io);
        let mut rest = packets;
        while let Some(incoming) = incoming::next(bytes, &mut rest, group.ecn) {
            match incoming {
                Incoming::Control(packet) => self.receive_control(peer, packet, now, io),
                Incoming::Train(train) => self.deliver(peer, &train, now, io),
                Incoming::Malformed(range, why) => {
                    let packet = bytes.get(range).unwrap_or_default();
                    self.refuser.silently(refuse::malformed(why, packet), 1);
                }
            }
        }
    }

    /// Last station: to the host, if this Gateway may speak for the source (dataplane §3.10).
    fn deliver(&mut self, peer: PeerIndex, train: &Train<'_>, now: Instant, io: &mut Io<'_>) {
        if self.receive_site(peer, train, now, io) {
            return;
        }
        let summary = *train.summary();
        if self.is_own_echo(peer, train) {
            return;
        }
        if matches!(summary.transport, Transport::IcmpError) {
            self.receive_error(peer, train, now);
        }
        let flow = self.returning_flow(peer, &summary, now);
        let allowed = self.is_own(summary.destination)
            && (flow.is_some() || self.may_speak(peer, &summary, now));
        if let Some(flow) = flow.filter(|_| allowed) {
            self.flows.count(flow, Direction::Inbound, train, now);
        }
        if allowed {
            self.counters.delivered += train.segments() as u64;
            io.host.accept(train);
        } else {
            self.refuser.silently(Refusal::NotAllowed, train.segments() as u64);
        }
    }

    /// A Gateway that answers *prohibited* for an entry that works has lost its memory, or takes access
    /// away: it is told of the entry again, and says which (R42). The error goes on to the host.
    fn receive_error(&mut self, peer: PeerIndex, train: &Train<'_>, now: Instant) {
        let mut error = [0; MAX_PACKET];
        let len = train.write_segment(0, &mut error);
        let error = &error[..len];
        if !icmp::is_prohibited(error) {
            return;
        }
        let Ok(quoted) = icmp::embedded(error) else { return };
        let Some((slot, gateway)) = self.routes.gateway_of_peer(peer) else { return };
        let gateway = gateway.id();
        let proxy = train.summary().source;
        if !self.is_own(quoted.source) || quoted.destination != proxy {
            return;
        }
        let Some(name) = self.stub.pool().name_of(proxy) else { return };
        let resources = self.routes.of_name(&mut self.stub, name).to_vec();
        for resource in resources {
            if self.serves(slot, resource)
                && let Some(resource) = self.routes.get(resource).map(|entry| entry.resource.id)
            {
                self.nat.handle_prohibited(gateway, resource, name, now);
            }
        }
    }

    fn may_speak(&mut self, peer: PeerIndex, summary: &Summary, now: Instant) -> bool {
        let Some((slot, gateway)) = self.routes.gateway_of_peer(peer) else { return false };
        if gateway.owns(summary.source) {
            return true;
        }
        if let Some(name) = self.stub.pool().name_of(summary.source) {
            self.stub.pool_mut().touch(name, now);
            return self.routes.serves_name(&mut self.stub, name, slot);
        }
        self.routes.covers(summary.source, slot)
    }

    /// A message of the Gateway's side of the NAT.
    fn receive_control(&mut self, peer: PeerIndex, packet: &[u8], now: Instant, io: &mut Io<'_>) {
        self.counters.control_received += 1;
        match p2p::parse(packet) {
            Some((EventType::DomainStatus, body)) => match DomainStatus::decode(body) {
                Ok(status) => self.receive_status(peer, &status, now),
                Err(_) => self.counters.control_ignored += 1,
            },
            Some((EventType::Goodbye, _)) => self.receive_goodbye(peer, now, io),
            Some((EventType::AssignedIps, _)) | None => self.counters.control_ignored += 1,
        }
    }

    fn receive_status(&mut self, peer: PeerIndex, status: &DomainStatus, now: Instant) {
        let gateway = self.routes.gateway_of_peer(peer).map(|(_, gateway)| gateway.id());
        let name = ::dns::Name::parse(&status.domain).ok();
        let name = name.and_then(|name| self.stub.names().find(&name));
        match gateway.zip(name) {
            Some((gateway, name)) => self.nat.handle_status(gateway, name, status, now),
            None => self.counters.control_ignored += 1,
        }
    }

    fn receive_goodbye(&mut self, peer: PeerIndex, now: Instant, io: &mut Io<'_>) {
        let gateway = self.routes.gateway_of_peer(peer).map(|(_, gateway)| gateway.id());
        if let Some(gateway) = gateway {
            self.remove_gateway(gateway, now, io);
        }
    }
}
