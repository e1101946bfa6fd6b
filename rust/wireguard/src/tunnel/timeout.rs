//! What happens when nothing does: the actions of the table in [`crate::timers`].

use packet::Instant;

use crate::timers::{Occasion, Reason};
use crate::tunnel::{Event, Tunnel};

impl Tunnel {
    /// Lets every row of the table act that is due; drain events and messages afterwards.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(reason) = self.timers.take_due(now) {
            self.act(reason, now);
        }
    }

    /// When [`Tunnel::handle_timeout`] is wanted next, and why.
    pub fn poll_timeout(&self) -> Option<(Instant, Reason)> {
        self.timers.next()
    }

    fn act(&mut self, reason: Reason, now: Instant) {
        match reason {
            Reason::Retransmit => self.initiation_due = true,
            Reason::GiveUp => {
                self.forget_attempt();
                self.record(Occasion::GivenUp, now);
                self.events.push_back(Event::HandshakeFailed);
            }
            Reason::Silence => {
                self.draw_jitter();
                self.initiate(now);
            }
            Reason::Keepalive | Reason::Persistent => self.keepalive_due = true,
            Reason::Renew => self.initiate(now),
            Reason::SessionEnd => {
                self.sessions.remove_ended(&self.profile, now);
                self.set_session_end();
            }
            Reason::Expiry => self.erase(),
        }
    }

    /// Erases all keys but those of the configuration. An attempt under way goes on, with an
    /// ephemeral key of its own.
    fn erase(&mut self) {
        self.sessions.clear();
        self.set_session_end();
        self.pending = [None, None];
        self.response_due = None;
        self.keepalive_due = false;
        self.signer.clear();
        for reason in [Reason::Silence, Reason::Keepalive, Reason::Renew] {
            self.timers.set(reason, None);
        }
        self.events.push_back(Event::Expired);
    }
}
