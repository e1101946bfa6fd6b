//! What goes through a session: packets, sealed and opened in place.

use aead::Message;
use packet::{Instant, OpenRun};

use crate::error::NotReady;
use crate::session::Role;
use crate::timers::Occasion;
use crate::tunnel::Tunnel;
use crate::wire::{BACK, FRONT, KEEPALIVE, TYPE_DATA, data, read_u32, read_u64};

/// What opening a batch of datagrams came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// Authentic and new; empty messages included, which give no packet.
    pub accepted: u32,
    /// Of no session that is open, or not authentic.
    pub refused: u32,
    /// Authentic, but seen before or too old to tell.
    pub replayed: u32,
    /// Whether a session was put to use by it; [`Event::Established`](crate::Event) says the same.
    pub confirmed: bool,
}

/// The datagrams of a batch as messages, and of which session each is; `None` if it is no data message
/// at all. What lies in a message that is authentic is a packet.
#[derive(Default)]
pub(super) struct Datagrams {
    messages: Vec<Message>,
    receivers: Vec<Option<u32>>,
}

impl Datagrams {
    /// Takes `datagrams` (start and length inside `buffer`) in the place of those before.
    fn read(&mut self, buffer: &[u8], datagrams: &[(u32, u32)]) {
        self.messages.clear();
        self.receivers.clear();
        for &(start, len) in datagrams {
            let (message, receiver) = message(buffer, start, len).unzip();
            self.messages.push(message.unwrap_or_default());
            self.receivers.push(receiver);
        }
    }
}

impl Tunnel {
    /// Length of a packet of `len` bytes with the padding of the profile. The bytes behind the
    /// packet are the caller's to set to zero.
    pub fn padded_len(&self, len: usize) -> usize {
        self.profile.padded_len(len)
    }

    /// Seals every slot of `run` in place: each holds 16 free bytes, a packet with its padding, and
    /// 16 free bytes. A run is sealed whole or not at all.
    ///
    /// # Errors
    /// [`NotReady`] if no session seals as many, or a slot is too small. Nothing may be sent then.
    pub fn seal_batch(&mut self, run: &mut OpenRun<'_>, now: Instant) -> Result<(), NotReady> {
        let (slots, len) = (run.slots() as u64, run.slot_len());
        let session = self.sessions.current().filter(|_| !self.stopped);
        if !session.is_some_and(|session| session.seals(&self.profile, slots, now)) {
            return Err(NotReady);
        }
        self.seal_current(run.bytes(), len, now).ok_or(NotReady)
    }

    /// Seals the messages of `bytes`, of `len` bytes each, with the session in use.
    pub(super) fn seal_current(
        &mut self,
        bytes: &mut [u8],
        len: usize,
        now: Instant,
    ) -> Option<()> {
        let session = self.sessions.current_mut()?;
        session.seal(self.cipher, bytes, len)?;
        let by_age =
            session.role == Role::Initiator && session.age(now) >= self.profile.rekey_after;
        let renew = by_age || session.counter > self.profile.rekey_after_messages;
        self.keepalive_due = false;
        self.statistics.sent_bytes += bytes.len() as u64;
        self.statistics.sent_packets += bytes.len().div_ceil(len.max(1)) as u64;
        if len > KEEPALIVE {
            self.record(Occasion::PacketSent, now);
        }
        self.record(Occasion::Sent, now);
        if renew {
            self.initiate(now);
        }
        Some(())
    }

    /// Opens `datagrams` (start and length inside `buffer`) in place, and appends start and length
    /// of every packet, padding included, to `packets`, in order.
    ///
    /// Every tag of the batch has been checked before anything is appended, and a counter counts as
    /// seen only once its tag was right.
    pub fn open_batch(
        &mut self,
        buffer: &mut [u8],
        datagrams: &[(u32, u32)],
        packets: &mut Vec<(u32, u32)>,
        now: Instant,
    ) -> Opened {
        let mut batch = std::mem::take(&mut self.datagrams);
        batch.read(buffer, datagrams);
        if !self.stopped {
            self.check_tags(buffer, &mut batch, now);
        }
        let first = packets.len();
        let opened = self.take_opened(&batch, packets, now);
        self.datagrams = batch;
        if opened.accepted > 0 {
            self.record(Occasion::Received, now);
        }
        if packets.len() > first {
            self.record(Occasion::PacketReceived, now);
        }
        opened
    }

    /// Opens consecutive messages of one session as a batch.
    fn check_tags(&mut self, buffer: &mut [u8], batch: &mut Datagrams, now: Instant) {
        let mut rest = batch.messages.as_mut_slice();
        for receivers in batch.receivers.chunk_by(|a, b| a == b) {
            let (run, behind) = rest.split_at_mut(receivers.len());
            rest = behind;
            let session = receivers[0].and_then(|index| self.sessions.find(index));
            if let Some(session) = session.filter(|session| session.opens(&self.profile, now)) {
                session.open(self.cipher, buffer, run);
            }
        }
    }

    /// Lets the authentic messages through the windows of their sessions.
    fn take_opened(
        &mut self,
        batch: &Datagrams,
        packets: &mut Vec<(u32, u32)>,
        now: Instant,
    ) -> Opened {
        let mut opened = Opened::default();
        for (message, receiver) in batch.messages.iter().zip(&batch.receivers) {
            let receiver = receiver.filter(|_| message.authentic);
            let session = receiver.and_then(|index| self.sessions.find(index));
            let limit = self.profile.reject_after_messages;
            let Some(session) = session.filter(|_| message.counter < limit) else {
                opened.refused += 1;
                continue;
            };
            if !session.window.accept(message.counter) {
                opened.replayed += 1;
                continue;
            }
            opened.accepted += 1;
            let len = message.end - message.start;
            self.statistics.received_bytes += (FRONT + len) as u64;
            self.statistics.received_packets += 1;
            if len > BACK {
                packets.push((message.start as u32, (len - BACK) as u32));
            }
            let (local, role, confirmed) = (session.local, session.role, session.confirmed);
            if !confirmed {
                opened.confirmed |= self.confirm(local, role, now);
            }
        }
        if opened.accepted > 0 {
            self.renew_on_receive(now);
        }
        opened
    }

    /// The initiator of the session in use makes a new one before that ends, once, when the peer
    /// still sends (paper §6.2).
    fn renew_on_receive(&mut self, now: Instant) {
        let after = self.profile.renew_on_receive_after();
        let Some(session) = self.sessions.current_mut() else { return };
        if session.role == Role::Initiator && !session.renewed && session.age(now) >= after {
            session.renewed = true;
            self.initiate(now);
        }
    }
}

/// What the datagram at `start` seals, and for which session, if it is a data message and lies inside
/// the buffer.
fn message(buffer: &[u8], start: u32, len: u32) -> Option<(Message, u32)> {
    let (start, len) = (start as usize, len as usize);
    let end = start.saturating_add(len);
    let bytes = buffer.get(start..end).filter(|bytes| bytes.len() >= KEEPALIVE)?;
    if bytes[..4] != TYPE_DATA {
        return None;
    }
    let counter = read_u64(bytes, data::COUNTER);
    let message = Message { start: start + FRONT, end, counter, authentic: false };
    Some((message, read_u32(bytes, data::RECEIVER)))
}
