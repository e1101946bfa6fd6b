//! Datagrams in: told apart by peer, opened in place.

use packet::{Instant, Route};

use crate::connections::{Connections, Event, PeerIndex};
use crate::datagrams::{Arrival, Datagrams};
use crate::ice::stun::is_stun;
use crate::index::ReceiverIndex;
use crate::opened::{Group, Opened, PacketRange};
use crate::session::{BACK, FRONT};

/// Whose a datagram is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// A data message of the peer in this slot.
    Peer(usize),
    /// A message of a handshake; each is looked at by itself.
    Handshake,
    /// A message of ICE; each is looked at by itself.
    Stun,
    /// A data message for no connection of this node.
    Unknown,
    /// None of ours: wrong type or length.
    Malformed,
}

/// What datagrams have in common that are opened as one batch.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Batch {
    owner: Owner,
    route: Route,
    ecn: u8,
}

impl Connections {
    /// Opens datagrams in place. `opened` is filled with the packets, without their padding, grouped
    /// by peer and mark in order of arrival.
    ///
    /// An authentic datagram from another address than before moves the peer there (roaming).
    pub fn open(&mut self, datagrams: &mut Datagrams<'_>, now: Instant, opened: &mut Opened) {
        opened.clear();
        let mut ranges = std::mem::take(&mut opened.datagrams);
        ranges.clear();
        let mut batch = None;
        for at in 0..datagrams.arrivals().len() {
            let Arrival { route, start, len, size, ecn } = datagrams.arrivals()[at];
            let end = (start as usize).saturating_add(len as usize).min(datagrams.bytes.len());
            let (mut start, size) = (start as usize, size.max(1) as usize);
            while start < end {
                let len = size.min(end - start);
                let next = Batch { owner: self.owner(datagrams.bytes, start, len), route, ecn };
                if batch != Some(next) {
                    self.take(batch.replace(next), datagrams, &ranges, now, opened);
                    ranges.clear();
                }
                ranges.push((start as u32, len as u32));
                start += len;
            }
        }
        self.take(batch, datagrams, &ranges, now, opened);
        opened.datagrams = ranges;
    }

    fn owner(&self, bytes: &[u8], start: usize, len: usize) -> Owner {
        let datagram = bytes.get(start..start + len);
        let Some(datagram) = datagram.filter(|bytes| bytes.len() >= FRONT + BACK) else {
            return Owner::Malformed;
        };
        match datagram[..4] {
            [4, 0, 0, 0] => {
                let index =
                    u32::from_le_bytes([datagram[4], datagram[5], datagram[6], datagram[7]]);
                let slot = self.indices.find(ReceiverIndex::from_wire(index));
                slot.map_or(Owner::Unknown, |slot| Owner::Peer(slot as usize))
            }
            [1..=3, 0, 0, 0] if self.keyed.is_some() => Owner::Handshake,
            _ if self.keyed.is_some() && is_stun(datagram) => Owner::Stun,
            _ => Owner::Malformed,
        }
    }

    fn take(
        &mut self,
        batch: Option<Batch>,
        datagrams: &mut Datagrams<'_>,
        ranges: &[PacketRange],
        now: Instant,
        opened: &mut Opened,
    ) {
        let Some(batch) = batch else { return };
        let count = ranges.len() as u64;
        match batch.owner {
            Owner::Malformed => self.counters.malformed += count,
            Owner::Unknown => self.counters.unknown_index += count,
            Owner::Handshake => {
                for &(start, len) in ranges {
                    let range = start as usize..(start + len) as usize;
                    self.receive_handshake(batch.route, &datagrams.bytes[range], now);
                }
            }
            Owner::Stun => {
                for &(start, len) in ranges {
                    let range = start as usize..(start + len) as usize;
                    self.receive_stun(batch.route, &datagrams.bytes[range], now);
                }
            }
            Owner::Peer(slot) => self.open_group(slot, batch, datagrams.bytes, ranges, now, opened),
        }
    }

    fn open_group(
        &mut self,
        slot: usize,
        batch: Batch,
        bytes: &mut [u8],
        ranges: &[PacketRange],
        now: Instant,
        opened: &mut Opened,
    ) {
        let Some(peer) = self.peers.get_mut(slot) else { return };
        let start = opened.packets.len();
        let came = peer.session.open_batch(bytes, ranges, &mut opened.packets, now);
        self.counters.refused += u64::from(came.refused);
        self.counters.replayed += u64::from(came.replayed);
        for packet in &mut opened.packets[start..] {
            trim(bytes, packet);
        }
        let len = opened.packets.len() - start;
        if len > 0 {
            opened.groups.push(Group { peer: PeerIndex(slot as u32), ecn: batch.ecn, start, len });
        }
        // Before `heard` is set: a session that begins after a silence is news.
        self.settle(slot, now);
        if came.accepted > 0 {
            self.hear(slot, batch.route, now);
        }
    }

    /// An authentic datagram came by `route`: so the peer is reached from now on.
    pub(crate) fn hear(&mut self, slot: usize, route: Route, now: Instant) {
        let Some(peer) = self.peers.get_mut(slot) else { return };
        peer.heard = Some(now);
        if !peer.roams {
            return;
        }
        // Who spoke to one of our addresses is answered from it: what stands between knows no other. A
        // peer whose address we were told is ours to reach, however this host's network changes.
        peer.local_address = route.local.filter(|_| peer.told.is_none());
        if peer.remote != Some(route.remote) && peer.remote.replace(route.remote).is_some() {
            self.counters.roamed += 1;
            self.events.push_back(Event::Moved(PeerIndex(slot as u32)));
        }
    }
}

/// Cuts off what stands behind the packet: its own length field says where it ends. What is no IP
/// packet stays as it is; the next station refuses it.
fn trim(bytes: &[u8], packet: &mut PacketRange) {
    let Some(header) = bytes.get(packet.0 as usize..).and_then(|rest| rest.first_chunk::<6>())
    else {
        return;
    };
    let field = |at: usize| u32::from(u16::from_be_bytes([header[at], header[at + 1]]));
    let len = match header[0] >> 4 {
        4 => field(2),
        6 => field(4) + 40,
        _ => return,
    };
    packet.1 = packet.1.min(len);
}
