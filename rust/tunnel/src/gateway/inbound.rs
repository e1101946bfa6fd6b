//! From a Client to the TUN: the stations of datagrams that arrive.

use std::net::IpAddr;

use connection::{Datagrams, Group, PacketRange};
use nat::flow_table::{Binding, CloseReason, FlowHit, NatError, Outbound};
use nat::translations::Fresh;
use packet::{Instant, Protocol, Summary, TcpFlags, Train, Transport};

use super::Gateway;
use super::clients::{ClientEntry, ClientSlot};
use super::dns;
use super::waiting::WaitKey;
use crate::endpoint::Io;
use crate::incoming::{self, Incoming};
use crate::refuse::{self, Refusal, is_multicast};

/// Where an admitted train goes.
enum Destination {
    /// Through the NAT: to a proxy address, or to an address of a network, which stays as it is (R28).
    Flow,
    /// As it is, to a network: what belongs to no flow.
    Direct,
    /// The Gateway itself.
    Own,
}

/// What became of a train at the NAT.
pub(super) enum Translated {
    /// Rewritten, to be sent to the site.
    Ready,
    /// Held until a look-up ends (R27).
    Held,
}

impl Gateway {
    /// First station: datagrams are opened in place and told apart by Client.
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
        let mut rest = packets;
        while let Some(incoming) = incoming::next(bytes, &mut rest, group.ecn) {
            // Looked up for each: a Goodbye may have ended the Client.
            let Some(client) = self.clients.of_peer(group.peer) else { return };
            match incoming {
                Incoming::Control(packet) => self.receive_control(client, packet, now),
                Incoming::Train(train) => self.receive_train(client, train, now, io),
                Incoming::Malformed(range, why) => {
                    let packet = bytes.get(range).unwrap_or_default();
                    self.refuse_packet(client, packet, refuse::malformed(why, packet), now, io);
                }
            }
        }
    }

    /// Third station: access, filters and NAT; then out to the site, or an answer to the Client.
    fn receive_train(
        &mut self,
        client: ClientSlot,
        mut train: Train<'_>,
        now: Instant,
        io: &mut Io<'_>,
    ) {
        let forwarded = match self.admit(client, train.summary()) {
            Ok(Destination::Direct) => Ok(Translated::Ready),
            Ok(Destination::Own) => return self.serve(client, &train, now, io),
            Ok(Destination::Flow) => self.translate(client, &mut train, now),
            Err(refusal) => Err(refusal),
        };
        match forwarded {
            Ok(Translated::Ready) => {
                self.counters.to_site += train.segments() as u64;
                io.host.accept(&train);
            }
            Ok(Translated::Held) => {}
            Err(refusal) => self.refuse(client, &train, refusal, now, io),
        }
    }

    /// What needs no flow (dataplane §4.3, R43).
    fn admit(&self, client: ClientSlot, summary: &Summary) -> Result<Destination, Refusal> {
        let entry = self.clients.get(client).ok_or(Refusal::NoPeer)?;
        let (destination, transport) = (summary.destination, &summary.transport);
        if is_multicast(destination) {
            return Err(Refusal::Multicast);
        }
        if matches!(transport, Transport::IcmpError) {
            return Err(Refusal::UnrelatedIcmpError);
        }
        if !entry.owns(summary.source) {
            return Err(Refusal::Prohibited);
        }
        if self.is_proxy(destination) {
            return Ok(Destination::Flow);
        }
        if self.is_own(destination) && is_service(transport) {
            return Ok(Destination::Own);
        }
        if self.is_own(destination) {
            return Err(Refusal::Prohibited);
        }
        if self.is_tunnel(destination) {
            return Err(self.why_not(entry, destination));
        }
        if transport.flow().is_some() {
            return Ok(Destination::Flow);
        }
        let permitted = entry.grants.permits_other(self.place(destination), transport);
        if permitted { Ok(Destination::Direct) } else { Err(self.why_not(entry, destination)) }
    }

    /// The NAT: a live flow wins over everything that a look-up says (R26).
    pub(super) fn translate(
        &mut self,
        client: ClientSlot,
        train: &mut Train<'_>,
        now: Instant,
    ) -> Result<Translated, Refusal> {
        let summary = *train.summary();
        let (bytes, packets) = (train.total_bytes() as u64, train.segments() as u32);
        let hit = match self.flows.outbound(client.flow_peer(), &summary, bytes, packets, now) {
            Outbound::Hit(hit) => self.check_flow(client, hit, &summary, now)?,
            Outbound::Expired => return Err(Refusal::ExpiredFlow),
            Outbound::Miss => match self.find_address(client, train, now)? {
                Some(real) => self.open_flow(client, train, real, now)?,
                None => return Ok(Translated::Held),
            },
        };
        train.rewrite(&hit.rewrite);
        Ok(Translated::Ready)
    }

    /// Holds a flow against the access of now, once per change of it (R26), and lets an unanswered one
    /// follow its record (R27).
    fn check_flow(
        &mut self,
        client: ClientSlot,
        hit: FlowHit,
        summary: &Summary,
        now: Instant,
    ) -> Result<FlowHit, Refusal> {
        let entry = self.clients.get(client).ok_or(Refusal::NoPeer)?;
        let (id, epoch) = (entry.id, entry.grants.epoch());
        let proxy = summary.destination;
        if hit.epoch != epoch {
            let Ok(tag) = self.permit(client, proxy, &summary.transport) else {
                self.flows.end(hit.flow, CloseReason::Revoked, now);
                return Err(Refusal::Prohibited);
            };
            self.flows.set_epoch(hit.flow, epoch, tag);
        }
        let is_direct = !self.is_proxy(proxy);
        if hit.answered
            || is_direct
            || self.translations.answer_contains(id, proxy, hit.rewrite.address())
        {
            return Ok(hit);
        }
        let real = self.translations.find(id, proxy, now).and_then(|found| found.real);
        match real.map(|real| self.flows.rebind(hit.flow, real, now)) {
            Some(Ok(rebound)) => Ok(rebound),
            // Without another address the old one is as good as any.
            Some(Err(_)) | None => Ok(hit),
        }
    }

    /// The tag of a resource that lets the packet pass to a proxy address, or to one of a network.
    pub(super) fn permit(
        &self,
        client: ClientSlot,
        proxy: IpAddr,
        transport: &Transport,
    ) -> Result<u32, Refusal> {
        let entry = self.clients.get(client).ok_or(Refusal::NoPeer)?;
        let (protocol, _, port) = transport.flow().ok_or(Refusal::UnsupportedProtocol)?;
        let permitted = self.permit_flow(entry, proxy, protocol, port);
        permitted.ok_or_else(|| self.why_not(entry, proxy))
    }

    /// Why nothing permits a packet: who has the Internet resource, and asks for what is not the
    /// internet, hears that there is no way (dataplane §4.3).
    fn why_not(&self, entry: &ClientEntry, address: IpAddr) -> Refusal {
        let place = self.place(address);
        let leads_nowhere = entry.grants.has_internet() && !place.is_internet();
        if leads_nowhere && !self.is_proxy(address) && !entry.grants.covers(place) {
            return Refusal::NotInternet;
        }
        Refusal::Prohibited
    }

    /// The same for a flow: to `address`, which a Client knows.
    pub(super) fn permit_flow(
        &self,
        entry: &ClientEntry,
        address: IpAddr,
        protocol: Protocol,
        port: u16,
    ) -> Option<u32> {
        if !self.is_proxy(address) {
            return entry.grants.permit_place(self.place(address), protocol, port);
        }
        entry.grants.permit(self.translations.announced(entry.id, address), protocol, port)
    }

    /// The real address for a new flow; `None` if the train is held until it is known.
    fn find_address(
        &mut self,
        client: ClientSlot,
        train: &Train<'_>,
        now: Instant,
    ) -> Result<Option<IpAddr>, Refusal> {
        let summary = *train.summary();
        let proxy = summary.destination;
        self.permit(client, proxy, &summary.transport)?;
        if !self.is_proxy(proxy) {
            return Ok(Some(proxy));
        }
        let id = self.clients.get(client).ok_or(Refusal::NoPeer)?.id;
        if is_mid_stream(&summary) && self.translations.moved_recently(id, proxy, now) {
            return Err(Refusal::FormerConnection);
        }
        match self.translations.want_fresh(id, proxy, now) {
            Fresh::Use(real) => Ok(Some(real)),
            Fresh::None => Err(Refusal::NoAddress),
            Fresh::Wait { name, family } => {
                self.hold(WaitKey { client, name, family }, train, now);
                Ok(None)
            }
        }
    }

    /// Opens the flow of a train, bound to `real`.
    pub(super) fn open_flow(
        &mut self,
        client: ClientSlot,
        train: &Train<'_>,
        real: IpAddr,
        now: Instant,
    ) -> Result<FlowHit, Refusal> {
        let summary = train.summary();
        let tag = self.permit(client, summary.destination, &summary.transport)?;
        let epoch = self.clients.get(client).ok_or(Refusal::NoPeer)?.grants.epoch();
        let binding = Binding { real, epoch, tag };
        let (bytes, packets) = (train.total_bytes() as u64, train.segments() as u32);
        let opened = self.flows.create(client.flow_peer(), summary, binding, bytes, packets, now);
        opened.map_err(|error| match error {
            NatError::Exhausted | NatError::Cap => Refusal::Exhausted,
            NatError::Unsupported => Refusal::UnsupportedProtocol,
        })
    }
}

/// What a Client may use of the Gateway itself (R43).
fn is_service(transport: &Transport) -> bool {
    match *transport {
        Transport::Tcp { destination, .. } | Transport::Udp { destination, .. } => {
            destination == dns::PORT
        }
        Transport::Echo { request, .. } => request,
        Transport::IcmpError | Transport::Other { .. } => false,
    }
}

/// Whether a segment belongs to a connection that began earlier.
fn is_mid_stream(summary: &Summary) -> bool {
    match summary.transport {
        Transport::Tcp { flags, .. } => !flags.contains(TcpFlags::SYN),
        Transport::Udp { .. }
        | Transport::Echo { .. }
        | Transport::IcmpError
        | Transport::Other { .. } => false,
    }
}
