//! The Gateway's side of the DNS resource NAT (R17-R25): which real address stands behind a proxy
//! address of a Client, and the look-ups by which that is known.
//!
//! In: AssignedIps of Clients, results of look-ups. Out: look-ups to make, statuses, and the
//! translation of a new flow. Live flows are in the [`flow_table`](crate::flow_table): nothing here
//! ever touches one but [`Event::EndProxy`].

mod announce;
mod apply;
mod deal;
mod find;
mod forbidden;
mod handover;
mod lookups;
mod names;
mod records;
mod table;
mod types;
mod validate;

use std::collections::{BTreeSet, VecDeque};

use dns::{Family, Name, NameId, ResourceId};
use packet::Instant;

use crate::control::{ClientId, DomainStatus};

use lookups::Lookups;
use names::NameTable;
use table::Table;

pub use deal::deal;
pub use forbidden::RealFilter;
pub(crate) use handover::Saved;
pub use types::{
    Access, Announced, Config, Counters, Denied, Event, Fresh, LookupError, LookupId, NameView,
    RecordsView, Translation, TranslationState, TranslationView, UserView,
};

/// What a timer is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Timer {
    /// A status is due to a binding.
    Announce(usize),
    /// A look-up has had its time.
    Lookup(NameId, Family),
    /// A negative answer is to be confirmed.
    Confirm(NameId, Family),
}

/// Translations of all Clients of a shard.
pub struct Translations {
    config: Config,
    real: RealFilter,
    table: Table,
    names: NameTable,
    lookups: Lookups,
    timers: BTreeSet<(Instant, Timer)>,
    transmits: VecDeque<(ClientId, DomainStatus)>,
    events: VecDeque<Event>,
    counters: Counters,
}

impl Translations {
    /// Without any translation.
    pub fn new(config: Config) -> Self {
        Self {
            real: RealFilter::of_names(&config),
            table: Table::new(config.seed),
            names: NameTable::new(config.seed),
            lookups: Lookups::new(),
            timers: BTreeSet::new(),
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            counters: Counters::default(),
            config,
        }
    }

    /// The name of a handle.
    pub fn name(&self, name: NameId) -> Option<&Name> {
        self.names.name(name)
    }

    /// Forgets a Client.
    pub fn remove_client(&mut self, client: ClientId) {
        let Some(index) = self.table.client(client) else { return };
        for binding in self.table.bindings_of(index) {
            self.remove_binding(binding);
        }
        self.table.remove_client(client);
    }

    /// Forgets a resource of a Client; names that no other resource announced go with it. Not for
    /// access that merely expires: an upstream Client to whom it is granted anew does not announce
    /// again.
    pub fn remove_resource(&mut self, client: ClientId, resource: ResourceId) {
        let Some(index) = self.table.client(client) else { return };
        for binding in self.table.bindings_of(index) {
            let Some(own) = self.table.bindings.get_mut(binding) else { continue };
            own.announcements.retain(|announcement| announcement.resource != resource);
            let resources = own.announced().resources;
            if resources.iter().all(|other| *other == resource) {
                self.remove_binding(binding);
                continue;
            }
            if resources.contains(&resource) {
                self.table.change_resources(binding, |own| own.retain(|other| *other != resource));
            }
            self.reset_timer(binding);
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(&(due, timer)) = self.timers.first() {
            if due > now {
                break;
            }
            self.timers.pop_first();
            match timer {
                Timer::Announce(binding) => self.handle_announce_due(binding, now),
                Timer::Lookup(name, family) => self.handle_lookup_timeout(name, family, now),
                Timer::Confirm(name, family) => self.handle_confirm_due(name, family, now),
            }
        }
        self.start_wanted(now);
    }

    /// When [`Self::handle_timeout`] is to be called next, and why.
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        let &(due, timer) = self.timers.first()?;
        let reason = match timer {
            Timer::Announce(_) => "status due",
            Timer::Lookup(..) => "look-up time-out",
            Timer::Confirm(..) => "confirmation of a negative answer",
        };
        Some((due, reason))
    }

    /// Whether a status waits to be sent.
    pub fn has_transmit(&self) -> bool {
        !self.transmits.is_empty()
    }

    /// The next status to a Client.
    pub fn poll_transmit(&mut self) -> Option<(ClientId, DomainStatus)> {
        self.transmits.pop_front()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// What has been done so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}
