//! What a Gateway's answer does to its entry (R01, R02, R04, R06, R08, R42).

use dns::NameId;
use packet::Instant;

use crate::control::{DomainStatus, GatewayId, Status};

use super::entry::{Change, Weight};
use super::{EntryKey, Event, RefreshPolicy, ResourceNat, refusal};

impl ResourceNat {
    /// A Gateway's answer (R04, R08). `name` is the handle of the status' domain.
    pub fn handle_status(
        &mut self,
        gateway: GatewayId,
        name: NameId,
        status: &DomainStatus,
        now: Instant,
    ) {
        let key = EntryKey { gateway, name, resource: status.resource };
        let Some(index) = self.table.find(&key) else {
            self.counters.statuses_ignored += 1;
            return;
        };
        if self.policy == RefreshPolicy::Halt {
            return self.handle_status_halting(index, status, now);
        }
        let Some(entry) = self.table.get_mut(index) else { return };
        let weight = entry.weigh(status);
        let unasked = weight == Weight::Uncorrelated && !entry.in_flight();
        let negative = status.status == Status::Inactive;
        if weight == Weight::Foreign || (negative && (weight == Weight::Older || unasked)) {
            self.counters.statuses_ignored += 1;
            return;
        }
        let lost = status.reason.as_deref() == Some(DomainStatus::REASON_ACCESS);
        if negative && lost && weight == Weight::Newest {
            self.end(index);
            self.events.push_back(Event::AccessLost { key });
            return;
        }
        let counts = entry.families.map(|family| family.count);
        let worked = entry.active();
        let changes = entry.apply(status, weight, now);
        let changed = counts != entry.families.map(|family| family.count);
        self.tell(index, &changes);
        if weight != Weight::Older {
            self.finish(index, status, worked, changed, now);
        }
        self.table.schedule(index, now);
    }

    /// What is held for a family goes out, or is given up.
    fn tell(&mut self, index: usize, changes: &[Change]) {
        let Some(entry) = self.table.get_mut(index) else { return };
        let (id, key) = (entry.id, entry.key);
        for &change in changes {
            match change {
                Change::Confirmed(family) => self.events.extend([
                    Event::Release { entry: id, family },
                    Event::Established { key, family },
                ]),
                Change::Refused(family) => self.events.extend(refusal(entry, family)),
            }
        }
    }

    /// The newest handshake has an answer: what that means for freshness and for the next refresh.
    fn finish(
        &mut self,
        index: usize,
        status: &DomainStatus,
        worked: bool,
        changed: bool,
        now: Instant,
    ) {
        let Some(entry) = self.table.get_mut(index) else { return };
        let first = !entry.handshake.answered;
        entry.handshake.answered = true;
        entry.handshake.open &= entry.establishing();
        entry.set_floor(self.config.refresh_floor, status.ttl, now);
        if !entry.active() {
            return;
        }
        let stale = status.stale == Some(true);
        let failed = status.status == Status::Inactive || stale || entry.empty();
        if !failed {
            entry.set_fresh();
        }
        if worked && (first || changed) {
            self.counters.refreshes_completed += u64::from(first);
            self.events.push_back(Event::Refreshed { key: entry.key, changed });
        }
        if failed {
            self.counters.refreshes_stale += u64::from(first);
            self.mark_stale(index, now);
            // An older answer while the look-up runs is the rule where TTLs are short: that is told
            // only if the retry finds it no better.
            if !stale {
                self.report_stale(index);
            }
        }
    }

    /// The entry works on without a fresh answer and is asked for again later (R02).
    pub(super) fn mark_stale(&mut self, index: usize, now: Instant) {
        let Some(entry) = self.table.get_mut(index) else { return };
        entry.stale = true;
        if entry.retry.is_none() && !entry.announce_on_use {
            entry.retry = Some(now + entry.retry_delay);
        }
    }

    /// Tells once that an entry is stale.
    pub(super) fn report_stale(&mut self, index: usize) {
        let Some(entry) = self.table.get_mut(index) else { return };
        if entry.stale && !std::mem::replace(&mut entry.stale_reported, true) {
            self.events.push_back(Event::Stale { key: entry.key });
        }
    }
}
