//! Answers to a Client about packets that are not forwarded: ICMP errors, and resets for connections
//! of a name whose proxy address moved (R23).

use std::net::IpAddr;

use packet::{Class, Instant, MAX_PACKET, Train, build};

use super::Gateway;
use super::clients::ClientSlot;
use crate::endpoint::Io;
use crate::messages::GatewayEvent;
use crate::refuse::Refusal;

/// Longest TCP segment without options and payload: an IPv6 header and 20 bytes.
const RESET: usize = 60;

impl Gateway {
    /// Counts a refused train and tells its Client, if it is to be told.
    pub(super) fn refuse(
        &mut self,
        client: ClientSlot,
        train: &Train<'_>,
        refusal: Refusal,
        now: Instant,
        io: &mut Io<'_>,
    ) {
        if refusal == Refusal::FormerConnection {
            self.refuser.silently(refusal, train.segments() as u64);
            return self.reset(client, train, now, io);
        }
        self.note_source(client, train.summary().source, refusal);
        let Some(peer) = self.clients.get(client).map(|entry| entry.peer) else { return };
        if let Some(error) = self.refuser.train(train, refusal, now) {
            // An error that cannot be sent is one more lost packet of a network.
            let _ = self.connections.seal(peer, &error, Class::Data, now, io.send);
        }
    }

    /// Tells once of a Client that sends from an address which is not its own.
    fn note_source(&mut self, client: ClientSlot, source: IpAddr, refusal: Refusal) {
        let Some(entry) = self.clients.get_mut(client) else { return };
        if refusal != Refusal::Prohibited || entry.is_foreign_told || entry.owns(source) {
            return;
        }
        entry.is_foreign_told = true;
        let client = entry.id;
        self.record(GatewayEvent::ForeignSource { client, source });
    }

    /// The same for a packet that was held.
    pub(super) fn refuse_packet(
        &mut self,
        client: ClientSlot,
        packet: &[u8],
        refusal: Refusal,
        now: Instant,
        io: &mut Io<'_>,
    ) {
        let Some(peer) = self.clients.get(client).map(|entry| entry.peer) else { return };
        if let Some(error) = self.refuser.packet(packet, refusal, now) {
            let _ = self.connections.seal(peer, &error, Class::Data, now, io.send);
        }
    }

    /// Sends the reset that a closed port would send (RFC 9293 §3.10.7.1).
    fn reset(&mut self, client: ClientSlot, train: &Train<'_>, now: Instant, io: &mut Io<'_>) {
        let (mut segment, mut packet) = ([0; MAX_PACKET], [0; RESET]);
        let segment_len = train.write_segment(0, &mut segment);
        if let Some(len) = build::reset(&segment[..segment_len], &mut packet)
            && let Ok(reset) = Train::single(&mut packet[..len])
        {
            self.counters.resets_sent += 1;
            self.seal_train(client, &reset, Class::Data, now, io);
        }
    }
}
