//! Look-ups: one at a time for each name and family, whoever wants it (R19, R20).

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use dns::{Family, NameId};
use packet::Instant;

use super::records::{Addresses, Applied, Pending, Records};
use super::types::{Event, LookupError, LookupId};
use super::{Timer, Translations};

/// The core's own time-out (R19).
const TIMEOUT: Duration = Duration::from_secs(5);
/// A result that comes this much after the start is of no use to anyone.
const TOO_LATE: Duration = Duration::from_secs(60);

/// Look-ups that were started and may still end.
pub(super) struct Lookups {
    next: u64,
    started: BTreeMap<LookupId, Started>,
    /// How many of them have not timed out.
    running: usize,
    /// Those that wait for room.
    wanted: VecDeque<(NameId, u64, Family)>,
}

#[derive(Clone, Copy)]
struct Started {
    name: NameId,
    /// Tells the name from a later one with the same handle.
    serial: u64,
    family: Family,
    at: Instant,
}

impl Lookups {
    pub(super) fn new() -> Self {
        Self { next: 0, started: BTreeMap::new(), running: 0, wanted: VecDeque::new() }
    }
}

impl Translations {
    /// Sees to it that a look-up is on its way.
    pub(super) fn request(&mut self, name: NameId, family: Family, now: Instant) {
        let Some(slot) = self.names.get_mut(name) else { return };
        let records = &mut slot.records[family.index()];
        if records.pending.is_some() {
            return;
        }
        if self.lookups.running < self.config.max_lookups {
            return self.start(name, family, now + TIMEOUT, now);
        }
        let deadline = now + TIMEOUT;
        records.pending = Some(Pending::Wanted(deadline));
        self.lookups.wanted.push_back((name, slot.serial, family));
        self.timers.insert((deadline, Timer::Lookup(name, family)));
    }

    fn start(&mut self, name: NameId, family: Family, deadline: Instant, now: Instant) {
        let Some(slot) = self.names.get_mut(name) else { return };
        self.lookups.next += 1;
        let id = LookupId(self.lookups.next);
        slot.records[family.index()].pending = Some(Pending::Running(id, deadline));
        let started = Started { name, serial: slot.serial, family, at: now };
        self.lookups.started.insert(id, started);
        self.lookups.running += 1;
        self.counters.lookups += 1;
        self.timers.insert((deadline, Timer::Lookup(name, family)));
        self.events.push_back(Event::Resolve { id, name: slot.name.clone(), family });
    }

    /// A look-up has ended: addresses with their TTL in seconds, or an error.
    pub fn handle_resolved(
        &mut self,
        id: LookupId,
        family: Family,
        result: Result<Vec<(IpAddr, u32)>, LookupError>,
        now: Instant,
    ) {
        let known = self.lookups.started.get(&id).copied();
        let known = known.filter(|started| started.family == family);
        let Some(started) = known else {
            self.counters.results_ignored += 1;
            return;
        };
        self.lookups.started.remove(&id);
        let serial = self.names.get_mut(started.name).map(|slot| slot.serial);
        if serial != Some(started.serial) {
            self.counters.results_ignored += 1;
            return;
        }
        self.settle(started, id, result, now);
        self.start_wanted(now);
    }

    fn settle(
        &mut self,
        started: Started,
        id: LookupId,
        result: Result<Vec<(IpAddr, u32)>, LookupError>,
        now: Instant,
    ) {
        let Started { name, family, at, .. } = started;
        let answer = self.filter(family, result);
        let Some(slot) = self.names.get_mut(name) else { return };
        let records = &mut slot.records[family.index()];
        if let Some(Pending::Running(running, deadline)) = records.pending
            && running == id
        {
            records.pending = None;
            self.lookups.running -= 1;
            self.timers.remove(&(deadline, Timer::Lookup(name, family)));
        }
        if !records.awaits(id) {
            self.counters.results_ignored += 1;
            return;
        }
        self.counters.results += 1;
        let former = records.confirm_at;
        let applied = match answer {
            Ok((addresses, ttl)) => records.apply_good(id, addresses, ttl, &self.config, now),
            Err(error) => records.apply_error(Some(id), error, at, &self.config, now),
        };
        self.reset_confirm(name, family, former);
        self.tell(name, family, applied, now);
    }

    /// The addresses that pass R18, and the least of their TTLs. None left is an answer without
    /// records.
    fn filter(
        &mut self,
        family: Family,
        result: Result<Vec<(IpAddr, u32)>, LookupError>,
    ) -> Result<(Addresses, Duration), LookupError> {
        let answer = result?;
        let all = answer.len();
        let passes =
            |(real, _): &(IpAddr, u32)| Family::of(*real) == family && self.real.permits(*real);
        let passed: Vec<(IpAddr, u32)> = answer.into_iter().filter(passes).collect();
        self.counters.forbidden_addresses += (all - passed.len()) as u64;
        let ttl = passed.iter().map(|(_, ttl)| *ttl).min().ok_or(LookupError::NoData)?;
        let addresses = passed.into_iter().map(|(real, _)| real).collect();
        Ok((addresses, Duration::from_secs(ttl.into())))
    }

    /// The timer of a look-up: its time is over, whether it ran or waited for room.
    pub(super) fn handle_lookup_timeout(&mut self, name: NameId, family: Family, now: Instant) {
        let Some(slot) = self.names.get_mut(name) else { return };
        let records = &mut slot.records[family.index()];
        let Some(pending) = records.pending.take() else { return };
        let mut started = now;
        if let Pending::Running(id, _) = pending {
            // Its result may still come: it is newer than what stands.
            self.lookups.running -= 1;
            started = self.lookups.started.get(&id).map_or(now, |started| started.at);
        }
        let former = records.confirm_at;
        let applied = records.apply_error(None, LookupError::TimedOut, started, &self.config, now);
        self.reset_confirm(name, family, former);
        self.tell(name, family, applied, now);
        self.forget_late(now);
        self.start_wanted(now);
    }

    /// Ids grow with time, so the oldest come first.
    fn forget_late(&mut self, now: Instant) {
        while let Some(first) = self.lookups.started.first_entry() {
            if now - first.get().at < TOO_LATE {
                break;
            }
            first.remove();
        }
    }

    /// Nobody needs the name any more.
    pub(super) fn cancel(&mut self, name: NameId, family: Family, records: &Records) {
        if let Some(confirm) = records.confirm_at {
            self.timers.remove(&(confirm, Timer::Confirm(name, family)));
        }
        let deadline = match records.pending {
            None => return,
            Some(Pending::Wanted(deadline)) => deadline,
            Some(Pending::Running(id, deadline)) => {
                self.lookups.started.remove(&id);
                self.lookups.running -= 1;
                deadline
            }
        };
        self.timers.remove(&(deadline, Timer::Lookup(name, family)));
    }

    /// Starts what waits, as far as there is room.
    pub(super) fn start_wanted(&mut self, now: Instant) {
        while self.lookups.running < self.config.max_lookups {
            let Some((name, serial, family)) = self.lookups.wanted.pop_front() else { return };
            let Some(slot) = self.names.get_mut(name).filter(|slot| slot.serial == serial) else {
                continue;
            };
            if let Some(Pending::Wanted(deadline)) = slot.records[family.index()].pending {
                self.timers.remove(&(deadline, Timer::Lookup(name, family)));
                self.start(name, family, deadline, now);
            }
        }
    }

    /// The second look-up is due that confirms a negative answer (R21).
    pub(super) fn handle_confirm_due(&mut self, name: NameId, family: Family, now: Instant) {
        let Some(slot) = self.names.get_mut(name) else { return };
        slot.records[family.index()].confirm_at = None;
        self.request(name, family, now);
    }

    fn reset_confirm(&mut self, name: NameId, family: Family, former: Option<Instant>) {
        let Some(slot) = self.names.get_mut(name) else { return };
        let next = slot.records[family.index()].confirm_at;
        if former != next {
            if let Some(former) = former {
                self.timers.remove(&(former, Timer::Confirm(name, family)));
            }
            if let Some(next) = next {
                self.timers.insert((next, Timer::Confirm(name, family)));
            }
        }
    }

    /// A look-up has ended: events, and the statuses that waited for it.
    fn tell(&mut self, name: NameId, family: Family, applied: Applied, now: Instant) {
        let Some(slot) = self.names.get_mut(name) else { return };
        let standing = slot.records[family.index()].usable(self.config.last_good, now).len();
        let addresses = u32::try_from(standing).unwrap_or(u32::MAX);
        match applied {
            Applied::Changed { added, removed } => {
                self.events.push_back(Event::Refreshed { name, family, addresses, added, removed });
            }
            Applied::Failed(error) if addresses > 0 => {
                self.events.push_back(Event::Stale { name, family, error });
            }
            Applied::Failed(_) | Applied::Same => {}
        }
        self.events.push_back(Event::Settled { name, family });
        let gone = addresses == 0 && matches!(applied, Applied::Changed { .. });
        self.answer_waiting(name, family, gone, now);
    }
}
