//! What the entries do by themselves: repeat handshakes (R03), retry what is stale (R02), end (R08).

use dns::Family;
use packet::Instant;

use super::schedule::{IDLE, SETUP_LIMIT, STALE_RETRY_LIMIT, offset};
use super::{FamilyState, ResourceNat, refusal};

impl ResourceNat {
    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(index) = self.table.take_due(now) {
            self.handle_due(index, now);
            self.table.schedule(index, now);
        }
    }

    fn handle_due(&mut self, index: usize, now: Instant) {
        let Some(entry) = self.table.get_mut(index) else { return };
        if now - entry.last_used >= IDLE {
            return self.end(index);
        }
        if entry.handshake_due().is_some_and(|due| due <= now) {
            self.handle_handshake_due(index, now);
        }
        let Some(entry) = self.table.get_mut(index) else { return };
        if entry.retry.is_some_and(|retry| retry <= now) {
            self.handle_retry_due(index, now);
        }
    }

    /// The handshake is sent again, or comes to its end (R03).
    fn handle_handshake_due(&mut self, index: usize, now: Instant) {
        let Some(entry) = self.table.get_mut(index) else { return };
        for family in Family::ALL {
            let own = entry.family_mut(family);
            if own.state == FamilyState::Establishing && now - own.since >= SETUP_LIMIT {
                (own.state, own.since) = (FamilyState::Refused, now);
                self.events.extend(refusal(entry, family));
            }
        }
        if entry.handshake_spent(now) {
            entry.handshake.open = false;
            if !entry.handshake.answered && entry.active() {
                self.counters.refreshes_stale += 1;
                self.mark_stale(index, now);
                self.report_stale(index);
            }
        } else if entry.handshake.open
            && entry.handshake.started + offset(entry.handshake.sent) <= now
        {
            entry.repeat(now);
            self.transmit(index);
        }
    }

    /// A stale entry is asked for again if its name is in use, else at its next use (R02).
    fn handle_retry_due(&mut self, index: usize, now: Instant) {
        let used = self.table.name_used(index);
        let Some(entry) = self.table.get_mut(index) else { return };
        entry.retry = None;
        if now - used > STALE_RETRY_LIMIT {
            entry.announce_on_use = true;
            return;
        }
        entry.retry_delay = (entry.retry_delay * 2).min(STALE_RETRY_LIMIT);
        let in_flight = entry.in_flight();
        self.report_stale(index);
        if !in_flight {
            self.begin(index, now);
        }
    }

    /// When [`Self::handle_timeout`] is to be called next, and why.
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        self.table.next_due()
    }
}
