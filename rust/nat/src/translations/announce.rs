//! Which status goes to which Client, and when (R19, R21, R25).

use std::time::Duration;

use dns::{Family, NameId};
use packet::Instant;
use smallvec::SmallVec;

use crate::control::{AssignedIps, ClientId, DomainStatus, Status};

use super::names::NameSlot;
use super::records::{Outcome, Records};
use super::table::{Announcement, Binding};
use super::validate::{Rejection, Valid};
use super::{Timer, Translations};

/// How long a status waits for a look-up where something stands already (R19).
const PATIENCE: Duration = Duration::from_millis(50);
/// The `ttl` member counts up to this (R06).
const TTL_LIMIT: u64 = 30;
/// Unanswered messages of one resource and name beyond this number share a status.
const MAX_UNANSWERED: usize = 16;

impl Translations {
    /// Notes a message that was applied, asks for what it needs, and answers it now or later.
    pub(super) fn announce(
        &mut self,
        binding: usize,
        message: &AssignedIps,
        valid: &Valid,
        now: Instant,
    ) {
        let Some(own) = self.table.bindings.get_mut(binding) else { return };
        let name = own.name;
        let at = note(&mut own.announcements, message, now);
        let families = Family::ALL.map(|family| !valid.proxies[family.index()].is_empty());
        for family in Family::ALL.into_iter().filter(|family| families[family.index()]) {
            let slot = self.names.get(name);
            if slot.is_some_and(|slot| !slot.records[family.index()].settled(now)) {
                self.request(name, family, now);
            }
        }
        let Some(slot) = self.names.get(name) else { return };
        let Some(own) = self.table.bindings.get_mut(binding) else { return };
        let stands = own.translated || has_address(slot, families, self.config.last_good, now);
        let announcement = &mut own.announcements[at];
        announcement.families = families;
        announcement.awaiting = Family::ALL.map(|family| {
            families[family.index()] && slot.records[family.index()].pending.is_some()
        });
        if announcement.awaiting == [false; 2] {
            self.answer(binding, at, now);
        } else if stands {
            announcement.deadline.get_or_insert(now + PATIENCE);
        }
        self.await_lookups(binding);
        self.reset_timer(binding);
    }

    /// The answer to a message that comes from the past, or that no more fits: what stands, and
    /// nothing changes (R23, R25, R33).
    pub(super) fn answer_unapplied(
        &mut self,
        client: ClientId,
        binding: Option<usize>,
        message: &AssignedIps,
    ) {
        let known = binding.and_then(|binding| self.table.bindings.get(binding));
        let worked = known.is_some_and(|known| known.translated);
        let word = if worked { Status::Active } else { Status::Inactive };
        let mut status = DomainStatus::plain(message.resource, &message.domain, word);
        status.id = message.id;
        status.stale = worked.then_some(true);
        self.send(client, status);
    }

    /// A binding goes: the messages that it has not answered are, now or never.
    pub(super) fn answer_last(&mut self, binding: usize, now: Instant) {
        let Some(own) = self.table.bindings.get(binding) else { return };
        let unanswered =
            |(at, own): (usize, &Announcement)| (!own.unanswered.is_empty()).then_some(at);
        let due = own.announcements.iter().enumerate().filter_map(unanswered);
        let due: SmallVec<[usize; 2]> = due.collect();
        for at in due {
            self.answer(binding, at, now);
        }
    }

    /// The answer to a message that is not valid (R17).
    pub(super) fn reject(&mut self, client: ClientId, message: &AssignedIps, why: Rejection) {
        self.counters.rejected += 1;
        let mut status = DomainStatus::plain(message.resource, &message.domain, Status::Inactive);
        status.id = message.id;
        status.reason = (why == Rejection::Access).then(|| DomainStatus::REASON_ACCESS.to_owned());
        self.send(client, status);
    }

    fn send(&mut self, client: ClientId, status: DomainStatus) {
        self.counters.statuses += 1;
        self.transmits.push_back((client, status));
    }

    /// A look-up of the name has ended. `gone`: it took the last address away, which all Clients of
    /// the name are told.
    pub(super) fn answer_waiting(
        &mut self,
        name: NameId,
        family: Family,
        gone: bool,
        now: Instant,
    ) {
        let Some(slot) = self.names.get_mut(name) else { return };
        let waiting = std::mem::take(&mut slot.waiting);
        let idle = if gone { slot.users.clone() } else { Vec::new() };
        for &binding in &waiting {
            self.answer_one(binding, family, now);
        }
        for binding in idle.into_iter().filter(|binding| !waiting.contains(binding)) {
            self.answer_again(binding, family, now);
        }
    }

    fn answer_one(&mut self, binding: usize, family: Family, now: Instant) {
        let Some(own) = self.table.bindings.get_mut(binding) else { return };
        own.waiting = false;
        let Some(slot) = self.names.get(own.name) else { return };
        let pending = slot.records[family.index()].pending.is_some();
        let good = !slot.records[family.index()].usable(self.config.last_good, now).is_empty();
        let mut due: SmallVec<[usize; 2]> = SmallVec::new();
        for (at, announcement) in own.announcements.iter_mut().enumerate() {
            if !std::mem::replace(&mut announcement.awaiting[family.index()], false) {
                continue;
            }
            announcement.awaiting[family.index()] = pending;
            if announcement.unanswered.is_empty() || announcement.awaiting == [false; 2] {
                due.push(at);
            } else if good {
                announcement.deadline.get_or_insert(now + PATIENCE);
            }
        }
        for at in due {
            self.answer(binding, at, now);
        }
        self.await_lookups(binding);
        self.reset_timer(binding);
    }

    /// One more status for each resource that has had one.
    fn answer_again(&mut self, binding: usize, family: Family, now: Instant) {
        let Some(own) = self.table.bindings.get(binding) else { return };
        let told = |announcement: &Announcement| {
            announcement.families[family.index()] && announcement.unanswered.is_empty()
        };
        let due =
            own.announcements.iter().enumerate().filter(|(_, announcement)| told(announcement));
        let due: SmallVec<[usize; 2]> = due.map(|(at, _)| at).collect();
        for at in due {
            self.answer(binding, at, now);
        }
    }

    /// The 50 ms are over.
    pub(super) fn handle_announce_due(&mut self, binding: usize, now: Instant) {
        let Some(own) = self.table.bindings.get_mut(binding) else { return };
        own.timer = None;
        let over = |announcement: &Announcement| announcement.deadline.is_some_and(|at| at <= now);
        let due = own.announcements.iter().enumerate();
        let due = due.filter(|(_, announcement)| over(announcement)).map(|(at, _)| at);
        let due: SmallVec<[usize; 2]> = due.collect();
        for at in due {
            self.answer(binding, at, now);
        }
        self.reset_timer(binding);
    }

    /// Sends what is known now to whoever has had no answer, or else once more with the newest id
    /// (R19). A former process is not answered: its ids may be those of the process that came after
    /// it.
    fn answer(&mut self, binding: usize, at: usize, now: Instant) {
        let Some(own) = self.table.bindings.get_mut(binding) else { return };
        let Some(slot) = self.names.get(own.name) else { return };
        let Some(client) = self.table.clients.get(own.client) else { return };
        let (client, current) = (client.id, client.epoch == own.epoch);
        let last_good = self.config.last_good;
        own.translated |= has_address(slot, own.announcements[at].families, last_good, now);
        let announcement = &mut own.announcements[at];
        announcement.deadline = None;
        let mut ids = std::mem::take(&mut announcement.unanswered);
        if !current {
            return;
        }
        if ids.is_empty() {
            ids.push(announcement.id);
        }
        let status = status(own, at, slot, last_good, now);
        for id in ids {
            self.send(client, DomainStatus { id, ..status.clone() });
        }
    }

    /// Puts a binding into the list of those that wait, if it does.
    fn await_lookups(&mut self, binding: usize) {
        let Some(own) = self.table.bindings.get_mut(binding) else { return };
        let waits =
            own.announcements.iter().any(|announcement| announcement.awaiting != [false; 2]);
        if waits && !std::mem::replace(&mut own.waiting, true) {
            let slot = self.names.get_mut(own.name);
            slot.into_iter().for_each(|slot| slot.waiting.push(binding));
        }
    }

    pub(super) fn reset_timer(&mut self, binding: usize) {
        let Some(own) = self.table.bindings.get_mut(binding) else { return };
        let next = own.announcements.iter().filter_map(|announcement| announcement.deadline).min();
        let former = std::mem::replace(&mut own.timer, next);
        if former != next {
            former.into_iter().for_each(|at| {
                self.timers.remove(&(at, Timer::Announce(binding)));
            });
            self.timers.extend(next.map(|at| (at, Timer::Announce(binding))));
        }
    }
}

/// The place of the resource's newest message, which is now this one.
fn note(
    announcements: &mut SmallVec<[Announcement; 1]>,
    message: &AssignedIps,
    now: Instant,
) -> usize {
    let same = announcements.iter().position(|own| own.resource == message.resource);
    let at = same.unwrap_or_else(|| {
        announcements.push(Announcement::new(message.resource, now));
        announcements.len() - 1
    });
    let own = &mut announcements[at];
    if own.unanswered.is_empty() {
        (own.at, own.deadline) = (now, None);
    }
    (own.id, own.domain) = (message.id, message.domain.clone());
    if !own.unanswered.contains(&message.id) && own.unanswered.len() < MAX_UNANSWERED {
        own.unanswered.push(message.id);
    }
    at
}

/// Whether an address of one of `families` serves new flows.
fn has_address(slot: &NameSlot, families: [bool; 2], last_good: Duration, now: Instant) -> bool {
    let mut records = slot.records.iter().zip(families);
    records.any(|(records, announced)| announced && !records.usable(last_good, now).is_empty())
}

/// What is known of a name, told for one announcement.
fn status(
    binding: &Binding,
    at: usize,
    slot: &NameSlot,
    last_good: Duration,
    now: Instant,
) -> DomainStatus {
    let announcement = &binding.announcements[at];
    let word = if binding.translated { Status::Active } else { Status::Inactive };
    let mut status = DomainStatus::plain(announcement.resource, &announcement.domain, word);
    let mut stale = false;
    let mut ttl: Option<u64> = None;
    for family in Family::ALL.into_iter().filter(|family| announcement.families[family.index()]) {
        let records = &slot.records[family.index()];
        let count = records.usable(last_good, now).len();
        let known = records.outcome != Outcome::Never;
        let count_member = known.then(|| u32::try_from(count).unwrap_or(u32::MAX));
        match family {
            Family::Ipv4 => status.ipv4 = count_member,
            Family::Ipv6 => status.ipv6 = count_member,
        }
        if count > 0 && records.fresh(announcement.at, now) {
            let left = records.remaining(now).as_secs().min(TTL_LIMIT);
            ttl = Some(ttl.map_or(left, |ttl| ttl.min(left)));
        } else if count > 0 {
            stale = true;
        }
    }
    if word == Status::Active {
        // Without any address only a confirmed negative answer is not stale (R25).
        let nothing = [status.ipv4, status.ipv6].iter().all(|count| count.unwrap_or(0) == 0);
        let unsure = |records: &Records| records.outcome != Outcome::Negative;
        let announced = slot.records.iter().zip(announcement.families);
        let mut announced = announced.filter(|(_, announced)| *announced);
        stale |= nothing && announced.any(|(records, _)| unsure(records));
        status.stale = stale.then_some(true);
        status.ttl = ttl.filter(|_| !stale).and_then(|ttl| u32::try_from(ttl).ok());
    }
    status
}
