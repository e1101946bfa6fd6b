//! From the TUN to a Gateway: the stations of a train that the host sends.

use std::net::IpAddr;

use ::dns::{Family, NameId};
use connection::{PeerIndex, SealError};
use nat::resource_nat::Verdict;
use packet::{Class, Instant, Summary, Train, Transport};

use super::Client;
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
        if let Err(refusal) = sent
            && let Some(error) = self.refuser.train(&train, refusal, now)
        {
            io.host.accept(&error);
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

    /// Second station: which resource the destination belongs to, its filters, and whether packets of
    /// the same kind wait already; then the train must not overtake them (R09).
    fn route_train(
        &mut self,
        train: &Train<'_>,
        now: Instant,
        io: &mut Io<'_>,
    ) -> Result<(), Refusal> {
        let summary = *train.summary();
        if let Some((gateway, _)) = self.routes.gateway_of_address(summary.destination) {
            return self.send_to_gateway(gateway, train, now, io);
        }
        let route = self.route(summary.destination, &summary.transport, now)?;
        let key = WaitKey::new(&route, Family::of(summary.destination));
        if self.waiting.holds(&key) {
            self.hold_behind(key, train, now);
            return Ok(());
        }
        let Some(gateway) = route.gateway else {
            self.routes.request(route.resource, now);
            self.hold(key, Stage::Authorization, train, now);
            return Ok(());
        };
        match route.name {
            Some(name) => self.pass_nat(train, key, name, gateway, now, io),
            None => self.seal_train(train, key, gateway, now, io),
        }
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

    /// Third station: what the DNS resource NAT says of the name.
    fn pass_nat(
        &mut self,
        train: &Train<'_>,
        key: WaitKey,
        name: NameId,
        gateway: GatewaySlot,
        now: Instant,
        io: &mut Io<'_>,
    ) -> Result<(), Refusal> {
        match self.nat_verdict(key, name, gateway, now)? {
            Verdict::Pass => self.seal_train(train, key, gateway, now, io),
            Verdict::Hold(entry) => {
                self.hold(key, Stage::Translation(entry), train, now);
                Ok(())
            }
            Verdict::Refuse | Verdict::Unknown => Err(Refusal::NoAddress),
        }
    }

    /// Asks the NAT; a name that it does not know for this Gateway is announced.
    fn nat_verdict(
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
        key: WaitKey,
        gateway: GatewaySlot,
        now: Instant,
        io: &mut Io<'_>,
    ) -> Result<(), Refusal> {
        let peer: PeerIndex = self.routes.gateway(gateway).ok_or(Refusal::NoPeer)?.peer;
        match self.connections.seal(peer, train, Class::Data, now, io.send) {
            Ok(()) => self.counters.forwarded += train.segments() as u64,
            Err(SealError::NotReady) => self.hold(key, Stage::Connection(peer), train, now),
            Err(SealError::Full) => self.hold(key, Stage::Room, train, now),
            Err(SealError::UnknownPeer) => return Err(Refusal::NoPeer),
        }
        Ok(())
    }
}
