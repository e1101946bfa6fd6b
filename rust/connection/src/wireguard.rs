//! WireGuard behind the seam.

use std::time::Duration;

use packet::{Instant, OpenRun};
use wireguard::Tunnel;

use crate::PacketRange;
use crate::session::{Accepted, HANDSHAKE, Handshake, NotReady, Session, SessionEvent};

impl Session for Tunnel {
    fn seal_batch(&mut self, run: &mut OpenRun<'_>, now: Instant) -> Result<(), NotReady> {
        Self::seal_batch(self, run, now).map_err(|wireguard::NotReady| NotReady)
    }

    fn open_batch(
        &mut self,
        buffer: &mut [u8],
        datagrams: &[PacketRange],
        packets: &mut Vec<PacketRange>,
        now: Instant,
    ) -> Accepted {
        let opened = Self::open_batch(self, buffer, datagrams, packets, now);
        let wireguard::Opened { accepted, refused, replayed, .. } = opened;
        Accepted { accepted, refused, replayed }
    }

    fn is_ready(&self, now: Instant) -> bool {
        Self::is_ready(self, now)
    }

    fn handle_timeout(&mut self, now: Instant) {
        Self::handle_timeout(self, now);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        Self::poll_timeout(self).map(|(at, _)| at)
    }

    fn poll_event(&mut self) -> Option<SessionEvent> {
        loop {
            match Self::poll_event(self)? {
                wireguard::Event::Established => return Some(SessionEvent::Established),
                wireguard::Event::HandshakeFailed => return Some(SessionEvent::Failed),
                // A packet that is sent then finds no session, which says enough.
                wireguard::Event::Expired => {}
            }
        }
    }

    fn padded_len(&self, len: usize) -> usize {
        Self::padded_len(self, len)
    }

    fn want(&mut self, now: Instant) {
        self.want_session(now);
    }

    fn initiate(&mut self, now: Instant) {
        Self::initiate(self, now);
    }

    fn initiate_on_new_path(&mut self, now: Instant) {
        Self::initiate_on_new_path(self, now);
    }

    fn initiate_if_stale(&mut self, now: Instant) {
        Self::initiate_if_stale(self, now);
    }

    fn handle_handshake(&mut self, message: Handshake<'_>, now: Instant) -> bool {
        match message {
            Handshake::Initiation(initiation) => self.handle_initiation(initiation, now).is_ok(),
            Handshake::Response(datagram) => self.handle_response(datagram, now).is_ok(),
            Handshake::CookieReply(datagram) => self.handle_cookie_reply(datagram, now).is_ok(),
        }
    }

    fn has_transmit(&self) -> bool {
        Self::has_transmit(self)
    }

    fn poll_transmit(&mut self, out: &mut [u8; HANDSHAKE], now: Instant) -> Option<usize> {
        Self::poll_transmit(self, out, now)
    }

    fn set_persistent_keepalive(&mut self, interval: Option<Duration>, now: Instant) {
        Self::set_persistent_keepalive(self, interval, now);
    }

    fn adjust_wall(&mut self, wall: Duration, now: Instant) {
        Self::adjust_wall(self, wall, now);
    }

    fn statistics(&self, now: Instant) -> Option<wireguard::Statistics> {
        Some(Self::statistics(self, now))
    }

    fn export_and_stop(&mut self, now: Instant) -> Option<wireguard::Exported> {
        Some(Self::export_and_stop(self, now))
    }
}
