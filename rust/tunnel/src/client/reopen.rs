//! Flows of a Gateway that may have begun anew: who only receives says nothing by itself, so the
//! Gateway would never hear of its flow again.
//!
//! For each TCP flow a segment goes out as a keep-alive probe has it (RFC 9293 §3.8.4): without data,
//! one below the number that was sent last. It opens the flow at a Gateway that lost it (R30); the far
//! host answers by what it expects, which changes nothing at either end.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use nat::control::GatewayId;
use nat::flow_table::{FlowId, FlowRecord};
use packet::{Class, Instant, MAX_PACKET, Protocol, TcpFlags, Train, build};

use super::Client;
use super::flows::Note;
use crate::endpoint::{Io, has_room};

/// Flows that are told of in one call.
const PROBED_AT_ONCE: usize = 64;
/// A flow that was silent for longer may wait for its own next segment.
const RECENT: Duration = Duration::from_secs(5 * 60);

impl Client {
    /// A Gateway answers after a silence: its flows are to be opened again.
    pub(super) fn reopen_flows(&mut self, gateway: GatewayId, now: Instant) {
        let open = self.flows.select(|row, note| {
            let own = note.gateway_id == Some(gateway) && !note.lost;
            let lives = row.answered && now.saturating_duration_since(row.last_seen) <= RECENT;
            row.protocol == Protocol::Tcp && own && lives
        });
        self.flows.unheard.extend(open.into_iter().map(|(flow, _)| flow));
    }

    /// Sends what is due of that; the rest follows at the next call.
    pub(super) fn probe_flows(&mut self, now: Instant, io: &mut Io<'_>) {
        for _ in 0..PROBED_AT_ONCE {
            if !has_room(io) {
                return;
            }
            let Some(flow) = self.flows.unheard.pop_front() else { return };
            self.probe(flow, now, io);
        }
    }

    fn probe(&mut self, flow: FlowId, now: Instant, io: &mut Io<'_>) {
        let Some((record, note)) = self.flows.whole(flow) else { return };
        let Some(peer) = self.routes.gateway(note.gateway).map(|gateway| gateway.peer) else {
            return;
        };
        let own = self.own(record.proxy);
        let mut packet = [0; MAX_PACKET];
        let len = probe_of(own, &record, &note, &mut packet);
        if let Some(train) = len.and_then(|len| Train::single(&mut packet[..len]).ok()) {
            // One that is lost is made up for by the next silence.
            let _ = self.connections.seal(peer, &train, Class::Data, now, io.send);
        }
    }
}

fn probe_of(own: IpAddr, record: &FlowRecord, note: &Note, packet: &mut [u8]) -> Option<usize> {
    let from = SocketAddr::new(own, record.client_port);
    let to = SocketAddr::new(record.proxy, record.remote_port);
    let (sequence, acknowledged) = note.probe()?;
    build::tcp(from, to, sequence, acknowledged, TcpFlags::ACK, 0, &[], packet)
}
