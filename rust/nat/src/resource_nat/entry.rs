//! One entry: its state per family, its handshake, and what a status does to it.

use std::net::IpAddr;
use std::time::Duration;

use dns::{Families, Family, IpStack, Name, Proxies};
use packet::Instant;
use smallvec::SmallVec;

use crate::control::{AssignedIps, DomainStatus, Status};

use super::schedule::{
    REFRESH_TRANSMISSIONS, REFUSED_RETRY, SETUP_LIMIT, STALE_RETRY, TTL_LIMIT, offset,
};
use super::types::{EntryId, EntryKey, FamilyState};

/// State of one family.
#[derive(Clone, Copy, Debug)]
pub(super) struct FamilyEntry {
    pub(super) state: FamilyState,
    /// Since when it is in this state; a repeated refusal counts anew.
    pub(super) since: Instant,
    /// How many real addresses the Gateway says there are.
    pub(super) count: Option<u32>,
    /// That it was refused has been told.
    pub(super) refusal_told: bool,
}

impl FamilyEntry {
    fn new(offered: bool, since: Instant) -> Self {
        let state = if offered { FamilyState::Establishing } else { FamilyState::Absent };
        Self { state, since, count: None, refusal_told: false }
    }
}

/// The newest handshake of an entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Handshake {
    pub(super) id: u64,
    pub(super) started: Instant,
    pub(super) sent: u32,
    /// Still sent again: not all is known.
    pub(super) open: bool,
    /// A status has come.
    pub(super) answered: bool,
}

/// ICMP *prohibited* that came for an active entry (R42).
#[derive(Clone, Copy, Debug)]
pub(super) struct Prohibited {
    pub(super) last: Instant,
    pub(super) next: Instant,
    pub(super) delay: Duration,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: EntryKey,
    pub(super) id: EntryId,
    /// What is asked for in every message, and nowhere else.
    announcement: Box<Announcement>,
    pub(super) families: [FamilyEntry; 2],
    pub(super) handshake: Handshake,
    /// No refresh by a query before this (R06).
    pub(super) floor_until: Instant,
    /// It was confirmed once.
    pub(super) worked: bool,
    pub(super) stale: bool,
    pub(super) stale_reported: bool,
    pub(super) retry: Option<Instant>,
    pub(super) retry_delay: Duration,
    /// The next use announces it: it is stale but was not used (R02), or has a new connection
    /// (R42).
    pub(super) announce_on_use: bool,
    pub(super) prohibited: Option<Prohibited>,
    pub(super) last_used: Instant,
    pub(super) transmit_queued: bool,
}

/// The name and its proxy addresses.
#[derive(Debug)]
struct Announcement {
    domain: Name,
    proxies: SmallVec<[IpAddr; 8]>,
}

/// What a status means for an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Weight {
    /// Of the newest handshake: everything in it applies.
    Newest,
    /// Of an older handshake, which only ever confirms.
    Older,
    /// Of a peer that does not echo ids.
    Uncorrelated,
    /// Of no handshake of ours.
    Foreign,
}

/// What a status did to a family.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Change {
    Confirmed(Family),
    Refused(Family),
}

impl Entry {
    pub(super) fn new(
        key: EntryKey,
        id: EntryId,
        domain: Name,
        proxies: &Proxies,
        stack: IpStack,
        now: Instant,
    ) -> Self {
        let v4 = proxies.ipv4.iter().map(|&address| address.into());
        let v6 = proxies.ipv6.iter().map(|&address| address.into());
        let mut announced = SmallVec::new();
        announced.extend(v4.filter(|_| stack.contains(Family::Ipv4)));
        announced.extend(v6.filter(|_| stack.contains(Family::Ipv6)));
        let families = Family::ALL.map(|family| FamilyEntry::new(stack.contains(family), now));
        Self {
            key,
            id,
            announcement: Box::new(Announcement { domain, proxies: announced }),
            families,
            handshake: Handshake { id: 0, started: now, sent: 0, open: false, answered: false },
            floor_until: now,
            worked: false,
            stale: false,
            stale_reported: false,
            retry: None,
            retry_delay: STALE_RETRY,
            announce_on_use: false,
            prohibited: None,
            last_used: now,
            transmit_queued: false,
        }
    }

    pub(super) fn family(&self, family: Family) -> &FamilyEntry {
        &self.families[family.index()]
    }

    pub(super) fn family_mut(&mut self, family: Family) -> &mut FamilyEntry {
        &mut self.families[family.index()]
    }

    fn any(&self, state: FamilyState) -> bool {
        self.families.iter().any(|family| family.state == state)
    }

    /// Whether a family was never confirmed: R03's schedule of a first set-up holds.
    pub(super) fn establishing(&self) -> bool {
        self.any(FamilyState::Establishing)
    }

    /// Whether a family works.
    pub(super) fn active(&self) -> bool {
        self.any(FamilyState::Active)
    }

    /// Whether a handshake waits for its first answer (R06).
    pub(super) fn in_flight(&self) -> bool {
        self.handshake.open && !self.handshake.answered
    }

    /// Puts a refused family back into its first set-up, if R07 lets it.
    pub(super) fn revive(&mut self, family: Family, now: Instant) -> bool {
        let entry = self.family_mut(family);
        let due = now >= entry.since + REFUSED_RETRY;
        if entry.state != FamilyState::Refused || !due {
            return false;
        }
        (entry.state, entry.since) = (FamilyState::Establishing, now);
        true
    }

    /// Puts every family of the resource into its first set-up.
    pub(super) fn restart(&mut self, now: Instant) {
        for family in &mut self.families {
            if family.state != FamilyState::Absent {
                *family = FamilyEntry::new(true, now);
            }
        }
    }

    /// Begins a handshake; the caller sends it.
    pub(super) fn begin(&mut self, id: u64, now: Instant) {
        self.handshake = Handshake { id, started: now, sent: 1, open: true, answered: false };
        self.announce_on_use = false;
    }

    /// When the open handshake is sent again or comes to its end.
    pub(super) fn handshake_due(&self) -> Option<Instant> {
        if !self.handshake.open {
            return None;
        }
        let next = self.handshake.started + offset(self.handshake.sent);
        let given_up = self.families.iter().filter(|one| one.state == FamilyState::Establishing);
        let given_up = given_up.map(|one| one.since + SETUP_LIMIT).min();
        Some(given_up.map_or(next, |end| next.min(end)))
    }

    /// Whether the open handshake has been sent as often as R03 allows.
    pub(super) fn handshake_spent(&self, now: Instant) -> bool {
        let elapsed = now - self.handshake.started;
        !self.establishing()
            && (self.handshake.sent >= REFRESH_TRANSMISSIONS
                || elapsed >= offset(REFRESH_TRANSMISSIONS))
    }

    /// Counts a repeated transmission; those that were missed in a time jump are not made up for.
    pub(super) fn repeat(&mut self, now: Instant) {
        self.handshake.sent += 1;
        while self.handshake.started + offset(self.handshake.sent) <= now {
            self.handshake.sent += 1;
        }
    }

    /// When a handshake or a retry is due.
    pub(super) fn soon(&self) -> Option<Instant> {
        match (self.handshake_due(), self.retry) {
            (Some(handshake), Some(retry)) => Some(handshake.min(retry)),
            (handshake, retry) => handshake.or(retry),
        }
    }

    pub(super) fn message(&self, run: Option<u64>) -> AssignedIps {
        AssignedIps {
            resource: self.key.resource,
            domain: self.announcement.domain.as_str().to_owned(),
            proxy_ips: self.announcement.proxies.to_vec(),
            id: run.map(|_| self.handshake.id),
            run,
        }
    }

    /// How much a status counts (R04).
    pub(super) fn weigh(&self, status: &DomainStatus) -> Weight {
        match status.id {
            None => Weight::Uncorrelated,
            Some(id) if id == self.handshake.id => Weight::Newest,
            Some(id) if id < self.handshake.id => Weight::Older,
            Some(_) => Weight::Foreign,
        }
    }

    /// The state of each family after `status` (R01, R04, R08).
    pub(super) fn apply(
        &mut self,
        status: &DomainStatus,
        weight: Weight,
        now: Instant,
    ) -> SmallVec<[Change; 2]> {
        let counts = [status.ipv4, status.ipv6];
        let mut changes = SmallVec::new();
        for family in Family::ALL {
            let verdict = verdict(status.status, counts[family.index()], weight, self.in_flight());
            let Some(confirmed) = verdict else { continue };
            let entry = self.family_mut(family);
            if entry.state == FamilyState::Absent {
                continue;
            }
            if weight != Weight::Older && status.status == Status::Active {
                entry.count = counts[family.index()];
            }
            match (confirmed, entry.state) {
                (_, FamilyState::Active) => continue,
                (true, _) => {
                    entry.state = FamilyState::Active;
                    entry.refusal_told = false;
                    self.worked = true;
                    changes.push(Change::Confirmed(family));
                }
                (false, FamilyState::Establishing) => {
                    entry.state = FamilyState::Refused;
                    changes.push(Change::Refused(family));
                }
                (false, _) => {}
            }
            self.family_mut(family).since = now;
        }
        changes
    }

    /// Whether a positive status says that no active family has an address left (R02: comes back
    /// empty).
    pub(super) fn empty(&self) -> bool {
        let mut active = self.families.iter().filter(|one| one.state == FamilyState::Active);
        active.all(|one| one.count == Some(0))
    }

    /// Sets the floor of R06 after an answer.
    pub(super) fn set_floor(&mut self, floor: Duration, ttl: Option<u32>, now: Instant) {
        let ttl = Duration::from_secs(u64::from(ttl.unwrap_or(0).min(TTL_LIMIT)));
        let length = if floor.is_zero() { floor } else { floor.max(ttl) };
        self.floor_until = now + length;
    }

    /// A fresh answer: nothing is stale any more.
    pub(super) fn set_fresh(&mut self) {
        self.stale = false;
        self.stale_reported = false;
        self.retry = None;
        self.retry_delay = STALE_RETRY;
    }

    /// The families of which the entry says that they have no address (R08).
    pub(super) fn without_address(&self) -> Families {
        let says = |family: Family| {
            let entry = self.family(family);
            entry.state != FamilyState::Absent && entry.count == Some(0)
        };
        Families { ipv4: says(Family::Ipv4), ipv6: says(Family::Ipv6) }
    }
}

/// Whether a status confirms a family (`true`), denies it, or says nothing about it.
fn verdict(status: Status, count: Option<u32>, weight: Weight, in_flight: bool) -> Option<bool> {
    match (status, weight) {
        (_, Weight::Foreign) => None,
        (Status::Active, Weight::Uncorrelated) => Some(true),
        (Status::Active, Weight::Newest) => count.map(|count| count > 0),
        (Status::Active, Weight::Older) => count.filter(|count| *count > 0).map(|_| true),
        (Status::Inactive, Weight::Newest) => Some(false),
        (Status::Inactive, Weight::Uncorrelated) => in_flight.then_some(false),
        (Status::Inactive, Weight::Older) => None,
    }
}
