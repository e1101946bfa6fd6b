//! From the TUN to a Client: the stations of a train that the site sends.

use nat::flow_table::{CloseReason, Direction, FlowHit, Inbound, Quoted};
use packet::icmp::{self, Embedded};
use packet::{Class, Instant, MAX_PACKET, Train, Transport};

use super::Gateway;
use super::clients::ClientSlot;
use crate::endpoint::Io;
use crate::refuse::Refusal;

impl Gateway {
    /// First station: whose packet it is, and what kind.
    pub(super) fn return_train(&mut self, mut train: Train<'_>, now: Instant, io: &mut Io<'_>) {
        let summary = *train.summary();
        let Some(client) = self.clients.of_address(summary.destination) else {
            return self.drop_train(&train, Refusal::NoPeer);
        };
        // Errors first: those of the Gateway's own host, too, quote packets that were translated.
        let returned = if matches!(summary.transport, Transport::IcmpError) {
            return self.return_error(client, &train, now, io);
        } else if self.is_own(summary.source) {
            Ok(())
        } else if self.is_tunnel(summary.source) {
            Err(Refusal::NotAllowed)
        } else {
            self.translate_back(client, &mut train, now)
        };
        match returned {
            Ok(()) => self.seal_train(client, &train, Class::Data, now, io),
            Err(refusal) => self.drop_train(&train, refusal),
        }
    }

    /// The NAT: real address → address that the Client knows. Nobody reaches a Client unasked; what has
    /// no flows passes if it is of a network (R28).
    fn translate_back(
        &mut self,
        client: ClientSlot,
        train: &mut Train<'_>,
        now: Instant,
    ) -> Result<(), Refusal> {
        let summary = *train.summary();
        let (bytes, packets) = (train.total_bytes() as u64, train.segments() as u32);
        match self.flows.inbound(client.flow_peer(), &summary, bytes, packets, now) {
            Inbound::Hit(hit) => {
                self.check_returning(client, &hit, &summary.transport, now)?;
                train.rewrite(&hit.rewrite);
                Ok(())
            }
            Inbound::Expired => Err(Refusal::ExpiredFlow),
            Inbound::Miss => {
                let entry = self.clients.get(client).ok_or(Refusal::NoPeer)?;
                let source = self.place(summary.source);
                let permitted = entry.grants.permits_other(source, &summary.transport);
                if permitted { Ok(()) } else { Err(Refusal::NotAllowed) }
            }
        }
    }

    /// Holds a flow against the access of now, once per change of it (R26).
    fn check_returning(
        &mut self,
        client: ClientSlot,
        hit: &FlowHit,
        transport: &Transport,
        now: Instant,
    ) -> Result<(), Refusal> {
        let entry = self.clients.get(client).ok_or(Refusal::NoPeer)?;
        let epoch = entry.grants.epoch();
        if hit.epoch == epoch {
            return Ok(());
        }
        let record = self.flows.flow(hit.flow).ok_or(Refusal::ExpiredFlow)?;
        match self.permit_flow(entry, record.proxy, record.protocol, record.remote_port) {
            Some(tag) => {
                self.flows.set_epoch(hit.flow, epoch, tag);
                Ok(())
            }
            None => {
                debug_assert!(transport.flow().is_some(), "a flow was hit");
                self.flows.end(hit.flow, CloseReason::Revoked, now);
                Err(Refusal::NotAllowed)
            }
        }
    }

    /// An ICMP error about a packet of a Client: its addresses and ports become those that the Client
    /// knows (R32); errors of other flows are dropped.
    fn return_error(
        &mut self,
        client: ClientSlot,
        train: &Train<'_>,
        now: Instant,
        io: &mut Io<'_>,
    ) {
        let mut error = [0; MAX_PACKET];
        let len = train.write_segment(0, &mut error);
        match self.translate_error(client, &mut error[..len], now) {
            Ok(()) => {
                if let Ok(train) = Train::single(&mut error[..len]) {
                    self.counters.errors_translated += 1;
                    self.seal_train(client, &train, Class::Data, now, io);
                }
            }
            Err(refusal) => self.drop_train(train, refusal),
        }
    }

    fn translate_error(
        &mut self,
        client: ClientSlot,
        error: &mut [u8],
        now: Instant,
    ) -> Result<(), Refusal> {
        let quoted = icmp::embedded(error).map_err(|_| Refusal::UnrelatedIcmpError)?;
        let peer = client.flow_peer();
        match self.flows.lookup_embedded(peer, &quoted, Direction::Inbound, now) {
            Quoted::Hit(flow) => {
                // A router on the way to a network speaks for itself where its Client lets it; elsewhere
                // it is the destination that speaks, as for a name.
                let entry = self.clients.get(client).ok_or(Refusal::NoPeer)?;
                let router = packet::parse(error).map_err(|_| Refusal::UnrelatedIcmpError)?.source;
                let is_direct = !self.is_proxy(flow.proxy);
                let speaks = is_direct && entry.grants.covers(self.place(router));
                let source = if speaks { router } else { flow.proxy };
                let known = Embedded {
                    source: quoted.source,
                    destination: flow.proxy,
                    protocol: quoted.protocol,
                    source_port: flow.client_port,
                    destination_port: flow.remote_port,
                };
                icmp::rewrite_embedded(error, source, quoted.source, &known)
                    .map_err(|_| Refusal::UnrelatedIcmpError)
            }
            Quoted::Expired => Err(Refusal::ExpiredFlow),
            Quoted::Miss => Err(Refusal::UnrelatedIcmpError),
        }
    }

    /// Last station: sealed into the send buffer.
    pub(super) fn seal_train(
        &mut self,
        client: ClientSlot,
        train: &Train<'_>,
        class: Class,
        now: Instant,
        io: &mut Io<'_>,
    ) {
        let Some(peer) = self.clients.get(client).map(|entry| entry.peer) else { return };
        match self.connections.seal(peer, train, class, now, io.send) {
            Ok(()) => self.counters.to_clients += train.segments() as u64,
            Err(_) => self.refuser.silently(Refusal::NotConnected, train.segments() as u64),
        }
    }

    fn drop_train(&mut self, train: &Train<'_>, refusal: Refusal) {
        self.refuser.silently(refusal, train.segments() as u64);
    }
}
