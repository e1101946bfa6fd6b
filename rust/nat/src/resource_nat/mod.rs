//! The Client's side of the DNS resource NAT (R01-R08, R41, R42): whether a packet to a proxy
//! address passes, is held or is refused, and when which name is announced to which Gateway.
//!
//! In: what was queried, what a Gateway says, which packet wants out. Out: verdicts, messages and
//! events. It holds no packet: the owner keeps a queue for each held entry and family, and empties
//! it on [`Event::Release`] or answers it on [`Event::GiveUp`].

mod deadlines;
mod entry;
mod halt;
mod loss;
mod schedule;
mod status;
mod table;
mod timers;
mod types;

use std::collections::VecDeque;

use dns::{Families, Family, IpStack, Name, NameId, Proxies, ResourceId};
use packet::Instant;

use crate::control::{AssignedIps, GatewayId};

use entry::Entry;
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
        let index =
            self.table.insert(key, |id| Entry::new(key, id, domain.clone(), proxies, stack, now));
        self.begin(index, now);
    }

    /// An A or AAAA query for a matched name was answered: refreshes its entries (R05-R07).
    pub fn handle_query(&mut self, name: NameId, now: Instant) {
        self.counters.queries += 1;
        for index in self.table.mark_name(name, now) {
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

    /// What becomes of a packet to a proxy address of `name`; O(1), without allocation. Marks the
    /// name as used, and asks a Gateway again where R07 or R42 say so.
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
            self.table.schedule(index, now);
        } else {
            self.begin(index, now);
        }
        Verdict::Hold(id)
    }

    /// The families that may be offered for `name`: all but those of which every active entry says
    /// that it has no address (R08).
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

    /// Whether a message may wait to be sent.
    pub fn has_transmit(&self) -> bool {
        !self.transmits.is_empty()
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
        // The baseline has no timer (R41).
        entry.handshake.open &= self.policy == RefreshPolicy::Keep;
        self.transmit(index);
        self.table.schedule(index, now);
    }

    fn transmit(&mut self, index: usize) {
        let Some(entry) = self.table.get_mut(index) else { return };
        if !std::mem::replace(&mut entry.transmit_queued, true) {
            self.transmits.push_back(entry.id);
        }
    }
}

/// A family is refused: what is held for it is answered. A name of one family has the other refused
/// at every retry, which is told once.
fn refusal(entry: &mut Entry, family: Family) -> impl Iterator<Item = Event> + use<> {
    let (id, key, works) = (entry.id, entry.key, entry.active());
    let known = std::mem::replace(&mut entry.family_mut(family).refusal_told, true);
    let told = (!known || !works).then_some(Event::Refused { key, family });
    [Event::GiveUp { entry: id, family, silent: false }].into_iter().chain(told)
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
