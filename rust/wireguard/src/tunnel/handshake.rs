//! What a tunnel says and hears before there is a session.

use std::time::Duration;

use packet::Instant;

use crate::error::{HandshakeError, Refused};
use crate::handshake::{Initiation, Sent};
use crate::session::{Role, Session};
use crate::timers::{Occasion, Reason};
use crate::tunnel::{Pending, Tunnel};
use crate::wire::{INITIATION, KEEPALIVE, RESPONSE, read_u32, response};

/// Initiations of a peer that are closer together are refused: nobody is made to compute for more.
const INITIATION_SPACING: Duration = Duration::from_millis(20);

/// Whoever is introduced again is greeted again if the last time is so long ago.
const STALE: Duration = Duration::from_secs(20);

impl Tunnel {
    /// Begins a handshake, unless one is under way. The initiation leaves by
    /// [`Tunnel::poll_transmit`]: at once, or `rekey_timeout` after the last one.
    pub fn initiate(&mut self, now: Instant) {
        if self.stopped || self.initiation_due || self.timers.runs(Reason::Retransmit) {
            return;
        }
        let earliest = self.initiation_sent.map(|at| at + self.profile.rekey_timeout);
        match earliest.filter(|earliest| *earliest > now) {
            Some(earliest) => self.timers.set(Reason::Retransmit, Some(earliest)),
            None => self.initiation_due = true,
        }
    }

    /// Another path leads to the peer: an initiation that is not answered may be lost on the former one,
    /// and is repeated at once. That is earlier than `rekey_timeout` (paper §6.1), as often as paths change.
    pub fn initiate_on_new_path(&mut self, now: Instant) {
        let last = self.initiation_sent.filter(|_| self.timers.runs(Reason::Retransmit));
        let Some(last) = last.filter(|_| !self.stopped) else { return self.initiate(now) };
        match last + INITIATION_SPACING {
            earliest if earliest > now => self.timers.set(Reason::Retransmit, Some(earliest)),
            _ => self.initiation_due = true,
        }
    }

    /// Begins a handshake, unless the last one was begun in the last 20 s (dataplane 5.2).
    pub fn initiate_if_stale(&mut self, now: Instant) {
        let is_recent = self.initiation_sent.is_some_and(|at| at + STALE > now);
        if !is_recent {
            self.initiate(now);
        }
    }

    /// A packet waits: begins a handshake if there is no session to seal it with.
    pub fn want_session(&mut self, now: Instant) {
        if !self.is_ready(now) {
            self.initiate(now);
        }
    }

    /// Accepts an initiation of this peer; the response leaves by [`Tunnel::poll_transmit`]. The
    /// session seals once the peer has used it, and opens at once.
    ///
    /// # Errors
    /// [`Refused`], and then nothing has changed.
    pub fn handle_initiation(
        &mut self,
        initiation: Initiation,
        now: Instant,
    ) -> Result<(), Refused> {
        if self.stopped {
            return Err(Refused::Stopped);
        }
        if initiation.public_key() != self.parties.peer {
            return Err(Refused::WrongPeer);
        }
        let received = initiation.open(&self.parties).map_err(|_| Refused::Unauthentic)?;
        let timestamp = received.timestamp;
        if timestamp <= self.peer_timestamp {
            return Err(Refused::Replayed);
        }
        if self.initiation_accepted.is_some_and(|at| now - at < INITIATION_SPACING) {
            return Err(Refused::TooFast);
        }
        let (local, remote) = (self.next_index(), received.sender);
        let mut message = [0; RESPONSE];
        let keys = received
            .respond(&self.parties, local, &mut self.entropy, &mut message)
            .ok_or(Refused::Unauthentic)?;
        self.peer_timestamp = timestamp;
        self.initiation_accepted = Some(now);
        self.response_due = Some((local, message));
        let session = Session::new((local, remote), Role::Responder, keys, now, now);
        self.add_session(session, INITIATION, now);
        Ok(())
    }

    /// Completes a handshake that this end began. A message that is not its response changes
    /// nothing: the right one is still understood.
    ///
    /// # Errors
    /// [`HandshakeError`], and then nothing has changed.
    pub fn handle_response(&mut self, datagram: &[u8], now: Instant) -> Result<(), HandshakeError> {
        if datagram.len() != RESPONSE {
            return Err(HandshakeError::Malformed);
        }
        let local = read_u32(datagram, response::RECEIVER);
        let pending = self.pending.iter().flatten().find(|pending| pending.index == local);
        let pending = pending.ok_or(HandshakeError::UnknownIndex)?;
        let (remote, keys) = pending.sent.finish(&self.parties, datagram)?;
        let session = Session::new((local, remote), Role::Initiator, keys, pending.at, now);
        self.add_session(session, RESPONSE, now);
        // The peer seals only once it has seen a message of this session (paper §5.4.6).
        self.keepalive_due = self.confirm(local, Role::Initiator, now);
        Ok(())
    }

    /// Takes the cookie of a peer under load: later initiations and responses carry a MAC2 until it
    /// is 120 s old. Nothing is sent earlier because of it.
    ///
    /// # Errors
    /// [`HandshakeError`], and then nothing has changed.
    pub fn handle_cookie_reply(
        &mut self,
        datagram: &[u8],
        now: Instant,
    ) -> Result<(), HandshakeError> {
        self.signer.take_reply(datagram, now)
    }

    /// Whether [`Tunnel::poll_transmit`] has something to do.
    pub fn has_transmit(&self) -> bool {
        self.response_due.is_some() || self.initiation_due || self.keepalive_due
    }

    /// Writes the next message that has to be sent: a response, an initiation, an empty data
    /// message. Returns its length; `None`: nothing has to be sent.
    pub fn poll_transmit(&mut self, out: &mut [u8; INITIATION], now: Instant) -> Option<usize> {
        if let Some((local, message)) = self.response_due.take() {
            out[..RESPONSE].copy_from_slice(&message);
            return Some(self.finish_message(&mut out[..RESPONSE], local, now));
        }
        if self.initiation_due {
            return self.write_initiation(out, now);
        }
        if std::mem::take(&mut self.keepalive_due) {
            if self.is_ready(now) {
                return self
                    .seal_current(&mut out[..KEEPALIVE], KEEPALIVE, now)
                    .map(|()| KEEPALIVE);
            }
            self.initiate(now);
            return if self.initiation_due { self.write_initiation(out, now) } else { None };
        }
        None
    }

    fn write_initiation(&mut self, out: &mut [u8; INITIATION], now: Instant) -> Option<usize> {
        self.initiation_due = false;
        let index = self.next_index();
        let timestamp = self.clock.stamp(now, self.own_timestamp);
        let sent = Sent::begin(&self.parties, index, timestamp, &mut self.entropy, out)?;
        self.own_timestamp = timestamp;
        self.initiation_sent = Some(now);
        self.pending.rotate_right(1);
        self.pending[0] = Some(Pending { index, at: now, sent });
        self.draw_jitter();
        self.record(Occasion::InitiationSent, now);
        Some(self.finish_message(out, index, now))
    }

    fn finish_message(&mut self, message: &mut [u8], local: u32, now: Instant) -> usize {
        self.signer.sign(message, local, now);
        self.statistics.sent_bytes += message.len() as u64;
        self.record(Occasion::Sent, now);
        message.len()
    }

    fn add_session(&mut self, session: Session, received: usize, now: Instant) {
        self.statistics.received_bytes += received as u64;
        self.sessions.insert(session, &self.profile);
        self.set_session_end();
        self.record(Occasion::Received, now);
        self.record(Occasion::SessionBegan, now);
    }

    /// An index that no session and no open handshake has. Of 256 at most 66 are taken.
    fn next_index(&mut self) -> u32 {
        loop {
            self.last_index = self.last_index.wrapping_add(1);
            let index = self.connection << 8 | u32::from(self.last_index);
            let pending = self.pending.iter().flatten().any(|pending| pending.index == index);
            if !pending && self.sessions.find(index).is_none() {
                return index;
            }
        }
    }
}
