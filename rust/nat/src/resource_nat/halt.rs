//! The baseline (R41): what upstream once did, for comparison in a laboratory.
//!
//! A query for a name that works forgets that it works: packets are held until the Gateway says yes
//! again. A pending handshake is repeated by a query alone, at most every 2 s; ids, timers and the
//! last good answer do not exist.

use dns::Family;
use packet::Instant;

use crate::control::{DomainStatus, Status};

use super::schedule::HALT_REPEAT;
use super::{Event, FamilyState, ResourceNat};

impl ResourceNat {
    /// A query came: back to the beginning.
    pub(super) fn forget(&mut self, index: usize, now: Instant) {
        let Some(entry) = self.table.get_mut(index) else { return };
        entry.last_used = now;
        let due = now - entry.handshake.started >= HALT_REPEAT;
        let forgets = !entry.establishing();
        if forgets {
            entry.restart(now);
        }
        if forgets || due {
            self.begin(index, now);
        }
    }

    /// Yes: what the ring still has goes out. No: it is thrown away without a word.
    pub(super) fn handle_status_halting(
        &mut self,
        index: usize,
        status: &DomainStatus,
        now: Instant,
    ) {
        let Some(entry) = self.table.get_mut(index) else { return };
        let worked = status.status == Status::Active;
        let mut settled = false;
        for family in Family::ALL {
            let id = entry.id;
            let own = entry.family_mut(family);
            if own.state != FamilyState::Establishing {
                continue;
            }
            settled = true;
            own.since = now;
            if worked {
                own.state = FamilyState::Active;
                self.events.push_back(Event::Release { entry: id, family });
            } else {
                own.state = FamilyState::Refused;
                self.events.push_back(Event::GiveUp { entry: id, family, silent: true });
            }
        }
        if settled && worked && std::mem::replace(&mut entry.worked, true) {
            self.counters.refreshes_completed += 1;
            self.events.push_back(Event::Refreshed { key: entry.key, changed: false });
        }
        entry.handshake.answered = true;
        self.table.schedule(index, now);
    }
}
