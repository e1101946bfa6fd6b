//! From the TUN to a Gateway: the stations of a train that the host sends.

use std::net::IpAddr;

use ::dns::{Family, NameId};
use connection::{PeerIndex, SealError};
use nat::flow_table::{Direction, FlowId};
use nat::resource_nat::Verdict;
use packet::{Class, Instant, MAX_PACKET, Summary, Train, Transport, build};

use super::Client;
use super::flows::Path;
use super::routes::{GatewaySlot, ResourceSlot, Route};
use super::waiting::{Stage, WaitKey};
use crate::endpoint::Io;
use crate::refuse::{Refusal, is_multicast};

impl Client {
    /// First station: whether the train may enter at all, and whether it is DNS.
    pub(super) fn send_train(&mut self, train: Train<'_>, now: Instant, io: &mut Io<'_>) {
        let summary = *train.summary();
        let sent = match self.admit(&summary) {
            Err(refusal) => Err(refusal),
            Ok(()) if self.dns.is_sentinel(summary.destination) => {
                self.receive_dns(&train, now, io)
            }
            Ok(()) => self.route_train(&train, now, io),
        };
        if let Err(refusal) = sent {
            self.refuse(&train, refusal, now, io);
        }
    }

    /// Counts a refused train and tells its sender: ICMP, or the reset of a connection that is lost.
    fn refuse(&mut self, train: &Train<'_>, refusal: Refusal, now: Instant, io: &mut Io<'_>) {
        if refusal != Refusal::FormerConnection {
            if let Some(error) = self.refuser.train(train, refusal, now) {
                io.host.accept(&error);
            }
            return;
        }
        self.refuser.silently(refusal, train.segments() as u64);
        let (mut segment, mut packet) = ([0; MAX_PACKET], [0; MAX_PACKET]);
        let len = train.write_segment(0, &mut segment);
        let reset = build::reset(&segment[..len], &mut packet);
        if let Some(reset) = reset.and_then(|len| Train::single(&mut packet[..len]).ok()) {
            self.flows.counters.resets_sent += 1;
            io.host.accept(&reset);
        }
    }

    /// What no route is asked for (dataplane §3.1).
    fn admit(&self, summary: &Summary) -> Result<(), Refusal> {
        if is_multicast(summary.destination) {
            return Err(Refusal::Multicast);
        }
        if !self.is_own(summary.source) {
            return Err(Refusal::NotTunnelSource);
        }
        if self.is_own(summary.destination) {
            return Err(Refusal::ToSelf);
        }
        match summary.transport {
            Transport::Tcp { .. } | Transport::Udp { .. } | Transport::Echo { .. } => Ok(()),
            // A Gateway would drop it (dataplane §11.12).
            Transport::IcmpError => Err(Refusal::UnrelatedIcmpError),
            Transport::Other { .. } => Err(Refusal::UnsupportedProtocol),
        }
    }

    /// Second station: the one look-up. A flow whose path is clear takes it; the others' is found.
    fn route_train(
        &mut self,
        train: &Train<'_>,
        now: Instant,
        io: &mut Io<'_>,
    ) -> Result<(), Refusal> {
        let summary = *train.summary();
        let flow = self.flows.seek(&summary, Direction::Outbound, now);
        let path = match flow {
            Some(flow) => self.flow_path(flow, &summary, now)?,
            None => None,
        };
        match path {
            Some(path) if self.is_clear(&path) => {
                self.mark_used(&path, now);
                self.seal_train(train, path, now, io)
            }
            Some(path) => self.pass_nat(train, path, now, io),
            None => self.find_path(train, flow, now, io),
        }
    }

    /// For a new flow: which resource the destination belongs to, its filters, and whether packets of
    /// the same kind wait already; then the train must not overtake them (R09).
    fn find_path(
        &mut self,
        train: &Train<'_>,
        flow: Option<FlowId>,
        now: Instant,
        io: &mut Io<'_>,
    ) -> Result<(), Refusal> {
        let summary = *train.summary();
        if let Some((gateway, _)) = self.routes.gateway_of_address(summary.destination) {
            return self.send_to_gateway(gateway, train, now, io);
        }
        let route = self.route(summary.destination, &summary.transport, now)?;
        let key = WaitKey::new(&route, Family::of(summary.destination));
        let Some(gateway) = self.routes.serving(route.resource) else {
            if !self.waiting.holds(&key) {
                self.routes.request(route.resource, now);
            }
            self.hold(key, Stage::Authorization, train, now);
            return Ok(());
        };
        // A flow whose Gateway is not known any more begins anew with this one.
        if let Some(flow) = flow {
            self.flows.end(flow, now);
        }
        self.pass_nat(train, Path { key, gateway, flow: None }, now, io)
    }

    fn route(
        &mut self,
        destination: IpAddr,
        transport: &Transport,
        now: Instant,
    ) -> Result<Route, Refusal> {
        match self.stub.pool().name_of(destination) {
            Some(name) => {
                self.stub.pool_mut().touch(name, now);
                self.routes.route_to_name(&mut self.stub, name, transport)
            }
            None => self.routes.route_to_address(destination, transport),
        }
    }

    /// Third station: what the DNS resource NAT says of the name. No train overtakes those of its kind
    /// that wait already (R09).
    fn pass_nat(
        &mut self,
        train: &Train<'_>,
        path: Path,
        now: Instant,
        io: &mut Io<'_>,
    ) -> Result<(), Refusal> {
        let Path { key, gateway, .. } = path;
        if self.waiting.holds(&key) {
            self.hold_behind(key, train, now);
            return Ok(());
        }
        let verdict = match key.name {
            Some(name) => self.nat_verdict(key, name, gateway, now)?,
            None => Verdict::Pass,
        };
        match verdict {
            Verdict::Pass => self.seal_train(train, path, now, io),
            Verdict::Hold(entry) => {
                self.hold(key, Stage::Translation(entry), train, now);
                Ok(())
            }
            Verdict::Refuse | Verdict::Unknown => Err(Refusal::NoAddress),
        }
    }

    /// Asks the NAT; a name that it does not know for this Gateway is announced.
    pub(super) fn nat_verdict(
        &mut self,
        key: WaitKey,
        name: NameId,
        gateway: GatewaySlot,
        now: Instant,
    ) -> Result<Verdict, Refusal> {
        let resource = self.routes.get(key.resource).ok_or(Refusal::UnknownResource)?.resource.id;
        let id = self.routes.gateway(gateway).ok_or(Refusal::NoPeer)?.id();
        let verdict = self.nat.decide(id, resource, name, key.family, now);
        if verdict != Verdict::Unknown {
            return Ok(verdict);
        }
        self.establish(key.resource, gateway, name, now);
        Ok(self.nat.decide(id, resource, name, key.family, now))
    }

    /// Announces a name to a Gateway for one of its resources; nothing happens if that was done.
    pub(super) fn establish(
        &mut self,
        resource: ResourceSlot,
        gateway: GatewaySlot,
        name: NameId,
        now: Instant,
    ) {
        let Some(domain) = self.stub.names().get(name) else { return };
        let Some(proxies) = self.stub.pool().proxies(name) else { return };
        let Some(key) = self.entry_key(resource, gateway, name) else { return };
        let stack = self.ip_stack(resource);
        self.nat.establish(key, domain, &proxies, stack, now);
    }

    /// Last station: sealed into the send buffer.
    fn seal_train(
        &mut self,
        train: &Train<'_>,
        path: Path,
        now: Instant,
        io: &mut Io<'_>,
    ) -> Result<(), Refusal> {
        let peer: PeerIndex = self.routes.gateway(path.gateway).ok_or(Refusal::NoPeer)?.peer;
        match self.connections.seal(peer, train, Class::Data, now, io.send) {
            Ok(()) => {
                self.counters.forwarded += train.segments() as u64;
                self.note_sent(&path, train, now);
            }
            Err(SealError::NotReady) => self.hold(path.key, Stage::Connection(peer), train, now),
            Err(SealError::Full) => self.hold(path.key, Stage::Room, train, now),
            Err(SealError::UnknownPeer) => return Err(Refusal::NoPeer),
        }
        Ok(())
    }
}
