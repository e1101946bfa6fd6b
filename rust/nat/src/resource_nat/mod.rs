//! The Client's side of the DNS resource NAT (R01-R08, R41, R42): whether a packet to a proxy address
//! passes, is held or is refused, and when which name is announced to which Gateway.
//!
//! In: what was queried, what a Gateway says, which packet wants out. Out: verdicts, messages and
//! events. It holds no packet: the owner keeps a queue for each held entry and family, and empties
//! it on [`Event::Release`] or answers it on [`Event::GiveUp`].

mod entry;
mod halt;
mod schedule;
mod status;
mod table;
mod types;

use std::collections::VecDeque;

use dns::{Families, Family, IpStack, Name, NameId, Proxies, ResourceId};
use packet::Instant;
use smallvec::SmallVec;

use crate::control::{AssignedIps, GatewayId};

use entry::{Entry, FamilyEntry, Handshake, Prohibited};
use schedule::{
    IDLE, PROHIBITED_FIRST, PROHIBITED_LIMIT, RECENT, SETUP_LIMIT, STALE_RETRY, STALE_RETRY_LIMIT,
};
use table::Table;

pub use types::{
    Config, Counters, EntryId, EntryKey, EntryView, Event, FamilyState, RefreshPolicy, Verdict,
};

/// All entries of one Client.
pub struct ResourceNat {
    config: Config,
    policy: RefreshPolicy,
    table: Table,
    next_id: u64,
    transmits: VecDeque<EntryId>,
    events: VecDeque<Event>,
    counters: Counters,
}

impl ResourceNat {
    /// Without entries, under the policy that keeps the promise.
    pub fn new(config: Config) -> Self {
        Self::with_policy(config, RefreshPolicy::Keep)
    }

    /// With a policy of choice; for comparison in a laboratory only (R41).
    pub fn with_policy(config: Config, policy: RefreshPolicy) -> Self {
        Self {
            config,
            policy,
            table: Table::new(config.seed),
            next_id: 0,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            counters: Counters::default(),
        }
    }

    /// The policy: under [`RefreshPolicy::Halt`] the owner's queues hold 32 packets and overwrite
    /// the oldest.
    pub fn policy(&self) -> RefreshPolicy {
        self.policy
    }

    /// Makes an entry and announces it; nothing happens if there is one.
    pub fn establish(
        &mut self,
        key: EntryKey,
        domain: &Name,
        proxies: &Proxies,
        stack: IpStack,
        now: Instant,
    ) {
        if self.table.find(&key).is_some() {
            return;
        }
        let v4 = proxies.ipv4.iter().map(|&address| address.into());
        let v6 = proxies.ipv6.iter().map(|&address| address.into());
        let mut announced = SmallVec::new();
        announced.extend(v4.filter(|_| stack.contains(Family::Ipv4)));
        announced.extend(v6.filter(|_| stack.contains(Family::Ipv6)));
        let families = Family::ALL.map(|family| FamilyEntry {
            state: match stack.contains(family) {
                true => FamilyState::Establishing,
                false => FamilyState::Absent,
            },
            since: now,
            count: None,
        });
        let index = self.table.insert(key, |id, name_slot| Entry {
            key,
            id,
            domain: domain.clone(),
            announced,
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
            name_slot,
            transmit_queued: false,
            timer: None,
        });
        self.begin(index, now);
    }

    /// An A or AAAA query for a matched name was answered: refreshes its entries (R05-R07).
    pub fn handle_query(&mut self, name: NameId, now: Instant) {
        self.counters.queries += 1;
        self.table.mark_name(name, now);
        for index in self.table.of_name(name) {
            self.counters.touched_entries += 1;
            match self.policy {
                RefreshPolicy::Keep => self.refresh(index, now),
                RefreshPolicy::Halt => self.forget(index, now),
            }
        }
    }

    /// Refreshes one entry because its name was asked for.
    fn refresh(&mut self, index: usize, now: Instant) {
        let Some(entry) = self.table.get_mut(index) else { return };
        entry.last_used = now;
        let mut revived = false;
        for family in Family::ALL {
            revived |= entry.revive(family, now);
        }
        let wanted = entry.active() && now >= entry.floor_until;
        let announce = entry.announce_on_use && (entry.active() || entry.establishing());
        if announce || (!entry.in_flight() && (revived || wanted)) {
            self.begin(index, now);
        }
    }

    /// What becomes of a packet to a proxy address of `name`; O(1), without allocation. Marks the name
    /// as used, and asks a Gateway again where R07 or R42 say so.
    pub fn decide(
        &mut self,
        gateway: GatewayId,
        resource: ResourceId,
        name: NameId,
        family: Family,
        now: Instant,
    ) -> Verdict {
        let Some(index) = self.table.find(&EntryKey { gateway, name, resource }) else {
            return Verdict::Unknown;
        };
        let Some(entry) = self.table.mark(index, now) else { return Verdict::Unknown };
        let (id, state) = (entry.id, entry.family(family).state);
        let announce = entry.announce_on_use;
        if announce {
            self.begin(index, now);
        }
        match state {
            FamilyState::Active => Verdict::Pass,
            FamilyState::Establishing => Verdict::Hold(id),
            FamilyState::Absent => Verdict::Refuse,
            FamilyState::Refused => self.decide_refused(index, family, now),
        }
    }

    /// A packet for a refused family: a new first set-up, if R07 lets it.
    fn decide_refused(&mut self, index: usize, family: Family, now: Instant) -> Verdict {
        if self.policy == RefreshPolicy::Halt {
            // Upstream lets such packets go, and its Gateway drops them (dataplane §3.6).
            return Verdict::Pass;
        }
        let Some(entry) = self.table.get_mut(index) else { return Verdict::Unknown };
        if !entry.revive(family, now) {
            return Verdict::Refuse;
        }
        let (id, in_flight) = (entry.id, entry.in_flight());
        if in_flight {
            self.table.schedule(index);
        } else {
            self.begin(index, now);
        }
        Verdict::Hold(id)
    }

    /// The families that may be offered for `name`: all but those of which every active entry says that it
    /// has no address (R08).
    pub fn families(&self, name: NameId) -> Families {
        let mut said = [(false, true); 2];
        for entry in self.table.entries_of(name).filter(|entry| entry.active()) {
            let without = entry.without_address();
            for family in Family::ALL {
                if entry.family(family).state != FamilyState::Absent {
                    let (any, all) = &mut said[family.index()];
                    (*any, *all) = (true, *all && without.contains(family));
                }
            }
        }
        let offered = said.map(|(any, all)| !(any && all));
        Families { ipv4: offered[0], ipv6: offered[1] }
    }

    /// The resource is lost: its entries end, what they hold is given up.
    pub fn remove_resource(&mut self, resource: ResourceId) {
        self.remove_where(|key| key.resource == resource);
    }

    /// The Gateway is lost: its entries end, what they hold is given up.
    pub fn remove_gateway(&mut self, gateway: GatewayId) {
        self.remove_where(|key| key.gateway == gateway);
    }

    /// The addresses of the name stand for another one now: its entries end.
    pub fn remove_name(&mut self, name: NameId) {
        for index in self.table.of_name(name) {
            self.end(index);
        }
    }

    fn remove_where(&mut self, gone: impl Fn(&EntryKey) -> bool) {
        let mut indices = Vec::new();
        let found = self.table.iter().filter(|(_, entry)| gone(&entry.key));
        indices.extend(found.map(|(index, _)| index));
        for index in indices {
            self.end(index);
        }
    }

    /// A connection to `gateway` was made (R42): with the key it had, or with another.
    pub fn connection_made(&mut self, gateway: GatewayId, same_key: bool, now: Instant) {
        let of_gateway = self.table.iter().filter(|(_, entry)| entry.key.gateway == gateway);
        let indices: Vec<usize> = of_gateway.map(|(index, _)| index).collect();
        for index in indices {
            let Some(entry) = self.table.get_mut(index) else { continue };
            let recent = now - entry.last_used <= RECENT;
            if !same_key && !recent {
                // Nothing is held by it: its next packet makes it anew.
                self.end(index);
                continue;
            }
            if !same_key {
                entry.restart(now);
            }
            if recent {
                self.begin(index, now);
            } else {
                entry.announce_on_use = true;
            }
        }
    }

    /// ICMP *prohibited* came from a proxy address of an active entry, quoting a packet of ours (R42).
    pub fn handle_prohibited(
        &mut self,
        gateway: GatewayId,
        resource: ResourceId,
        name: NameId,
        now: Instant,
    ) {
        let Some(index) = self.table.find(&EntryKey { gateway, name, resource }) else { return };
        let Some(entry) = self.table.get_mut(index).filter(|entry| entry.active()) else { return };
        let known = entry.prohibited.filter(|seen| now - seen.last < PROHIBITED_LIMIT);
        let fresh = Prohibited { last: now, next: now, delay: PROHIBITED_FIRST };
        let mut seen = known.unwrap_or(fresh);
        seen.last = now;
        let due = now >= seen.next;
        if due {
            seen.next = now + seen.delay;
            seen.delay = (seen.delay * 2).min(PROHIBITED_LIMIT);
        }
        entry.prohibited = Some(seen);
        if due {
            self.begin(index, now);
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(index) = self.table.take_due(now) {
            self.handle_due(index, now);
            self.table.schedule(index);
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
            && entry.handshake.started + schedule::offset(entry.handshake.sent) <= now
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

    /// The next message to a Gateway.
    pub fn poll_transmit(&mut self) -> Option<(GatewayId, AssignedIps)> {
        let run = (self.policy == RefreshPolicy::Keep).then_some(self.config.run);
        while let Some(id) = self.transmits.pop_front() {
            let Some(entry) = self.table.get_mut(id.index()).filter(|entry| entry.id == id) else {
                continue;
            };
            entry.transmit_queued = false;
            self.counters.transmissions += 1;
            return Some((entry.key.gateway, entry.message(run)));
        }
        None
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// What has been done so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// One entry as it stands.
    pub fn entry(&self, key: &EntryKey) -> Option<EntryView> {
        self.table.find(key).and_then(|index| self.table.get(index)).map(view)
    }

    /// The state of an entry's family.
    pub fn state(&self, key: &EntryKey, family: Family) -> Option<FamilyState> {
        self.entry(key).map(|entry| entry.states[family.index()])
    }

    /// The entries from place `cursor` on, each with the cursor behind it; in a stable order.
    pub fn inspect(&self, cursor: usize) -> impl Iterator<Item = (usize, EntryView)> {
        let entries = self.table.iter().skip_while(move |(index, _)| *index < cursor);
        entries.map(|(index, entry)| (index + 1, view(entry)))
    }

    /// Starts a handshake with an id of its own and sends it.
    fn begin(&mut self, index: usize, now: Instant) {
        let Some(entry) = self.table.get_mut(index) else { return };
        self.next_id += 1;
        self.counters.handshakes += 1;
        entry.begin(self.next_id, now);
        self.transmit(index);
        self.table.schedule(index);
    }

    fn transmit(&mut self, index: usize) {
        let Some(entry) = self.table.get_mut(index) else { return };
        if !std::mem::replace(&mut entry.transmit_queued, true) {
            self.transmits.push_back(entry.id);
        }
    }

    /// The entry ends; what it holds is given up.
    fn end(&mut self, index: usize) {
        let Some(entry) = self.table.remove(index) else { return };
        let silent = self.policy == RefreshPolicy::Halt;
        let held = Family::ALL.into_iter();
        let held = held.filter(|&family| entry.family(family).state == FamilyState::Establishing);
        let entry = entry.id;
        self.events.extend(held.map(|family| Event::GiveUp { entry, family, silent }));
    }
}

/// A family is refused: what is held for it is answered.
fn refusal(entry: &Entry, family: Family) -> [Event; 2] {
    [
        Event::GiveUp { entry: entry.id, family, silent: false },
        Event::Refused { key: entry.key, family },
    ]
}

fn view(entry: &Entry) -> EntryView {
    EntryView {
        id: entry.id,
        key: entry.key,
        states: entry.families.map(|family| family.state),
        counts: entry.families.map(|family| family.count),
        stale: entry.stale,
        in_flight: entry.in_flight(),
        last_used: entry.last_used,
    }
}
