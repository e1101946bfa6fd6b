//! Where entries are kept: by handle, by key, by name, and by when something is due.

use std::collections::BTreeSet;
use std::hash::BuildHasher;

use dns::NameId;
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use packet::Instant;
use slab::Slab;
use smallvec::SmallVec;

use super::entry::Entry;
use super::{EntryId, EntryKey};

/// Handles of the entries of a name: mostly one.
type Indices = SmallVec<[usize; 4]>;

/// What the entries of a name share.
struct NameUse {
    name: NameId,
    entries: Indices,
    /// A packet or a query for the name (R02).
    last_used: Instant,
}

pub(super) struct Table {
    hasher: FixedState,
    entries: Slab<Entry>,
    by_key: HashTable<usize>,
    names: Slab<NameUse>,
    by_name: HashTable<usize>,
    timers: BTreeSet<(Instant, usize)>,
    generation: u32,
}

impl Table {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            hasher: FixedState::with_seed(seed),
            entries: Slab::new(),
            by_key: HashTable::new(),
            names: Slab::new(),
            by_name: HashTable::new(),
            timers: BTreeSet::new(),
            generation: 0,
        }
    }

    /// The place of an entry; O(1).
    pub(super) fn find(&self, key: &EntryKey) -> Option<usize> {
        let same = |&index: &usize| self.entries.get(index).is_some_and(|entry| entry.key == *key);
        self.by_key.find(self.hasher.hash_one(key), same).copied()
    }

    pub(super) fn get(&self, index: usize) -> Option<&Entry> {
        self.entries.get(index)
    }

    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut Entry> {
        self.entries.get_mut(index)
    }

    /// The entry at `index`, marked as used by a packet.
    pub(super) fn mark(&mut self, index: usize, now: Instant) -> Option<&mut Entry> {
        let entry = self.entries.get_mut(index)?;
        entry.last_used = now;
        if let Some(name) = self.names.get_mut(entry.name_slot) {
            name.last_used = now;
        }
        Some(entry)
    }

    fn slot_of(&self, name: NameId) -> Option<usize> {
        let same = |&slot: &usize| self.names.get(slot).is_some_and(|used| used.name == name);
        self.by_name.find(self.hasher.hash_one(name), same).copied()
    }

    /// Marks a name as used by a query; the places of its entries, in the order in which they were made.
    pub(super) fn mark_name(&mut self, name: NameId, now: Instant) -> Indices {
        let slot = self.slot_of(name);
        let Some(used) = slot.and_then(|slot| self.names.get_mut(slot)) else {
            return Indices::new();
        };
        used.last_used = now;
        used.entries.clone()
    }

    /// When the name of an entry was used last.
    pub(super) fn name_used(&self, index: usize) -> Instant {
        let slot = self.entries.get(index).map(|entry| entry.name_slot);
        slot.and_then(|slot| self.names.get(slot)).map_or(Instant::ZERO, |used| used.last_used)
    }

    /// The places of a name's entries, in the order in which they were made.
    pub(super) fn of_name(&self, name: NameId) -> Indices {
        let used = self.slot_of(name).and_then(|slot| self.names.get(slot));
        used.map(|used| used.entries.clone()).unwrap_or_default()
    }

    pub(super) fn entries_of(&self, name: NameId) -> impl Iterator<Item = &Entry> {
        let used = self.slot_of(name).and_then(|slot| self.names.get(slot));
        let indices = used.map_or(&[][..], |used| &used.entries);
        indices.iter().filter_map(|&index| self.entries.get(index))
    }

    /// All entries, by place.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &Entry)> {
        self.entries.iter()
    }

    /// Puts in the entry that `make` builds from its handle and the place of its name.
    pub(super) fn insert(
        &mut self,
        key: EntryKey,
        make: impl FnOnce(EntryId, usize) -> Entry,
    ) -> usize {
        let slot = self.slot_of(key.name).unwrap_or_else(|| self.add_name(key.name));
        self.generation = self.generation.wrapping_add(1);
        let place = self.entries.vacant_entry();
        let index = place.key();
        let id = EntryId {
            index: u32::try_from(index).unwrap_or(u32::MAX),
            generation: self.generation,
        };
        let entry = make(id, slot);
        if let Some(used) = self.names.get_mut(slot) {
            used.last_used = entry.last_used;
            used.entries.push(index);
        }
        place.insert(entry);
        let (entries, hasher) = (&self.entries, &self.hasher);
        self.by_key.insert_unique(hasher.hash_one(key), index, |&other| {
            entries.get(other).map_or(0, |entry| hasher.hash_one(entry.key))
        });
        index
    }

    fn add_name(&mut self, name: NameId) -> usize {
        let used = NameUse { name, entries: SmallVec::new(), last_used: Instant::ZERO };
        let slot = self.names.insert(used);
        let (names, hasher) = (&self.names, &self.hasher);
        self.by_name.insert_unique(hasher.hash_one(name), slot, |&other| {
            names.get(other).map_or(0, |used| hasher.hash_one(used.name))
        });
        slot
    }

    pub(super) fn remove(&mut self, index: usize) -> Option<Entry> {
        let entry = self.entries.try_remove(index)?;
        if let Some(timer) = entry.timer {
            self.timers.remove(&(timer, index));
        }
        let hash = self.hasher.hash_one(entry.key);
        if let Ok(found) = self.by_key.find_entry(hash, |&other| other == index) {
            found.remove();
        }
        if let Some(used) = self.names.get_mut(entry.name_slot) {
            used.entries.retain(|&mut other| other != index);
            if used.entries.is_empty() {
                self.remove_name(entry.key.name, entry.name_slot);
            }
        }
        Some(entry)
    }

    fn remove_name(&mut self, name: NameId, slot: usize) {
        let hash = self.hasher.hash_one(name);
        if let Ok(found) = self.by_name.find_entry(hash, |&other| other == slot) {
            found.remove();
        }
        self.names.try_remove(slot);
    }

    /// Sets the timer of an entry to when something is due for it.
    pub(super) fn schedule(&mut self, index: usize) {
        let Some(entry) = self.entries.get_mut(index) else { return };
        let due = entry.due().0;
        let former = entry.timer.replace(due);
        if former == Some(due) {
            return;
        }
        if let Some(former) = former {
            self.timers.remove(&(former, index));
        }
        self.timers.insert((due, index));
    }

    /// Takes the timer that fires first, if it has by `now`.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<usize> {
        let &(due, index) = self.timers.first()?;
        if due > now {
            return None;
        }
        self.timers.pop_first();
        if let Some(entry) = self.entries.get_mut(index) {
            entry.timer = None;
        }
        Some(index)
    }

    pub(super) fn next_due(&self) -> Option<(Instant, &'static str)> {
        let &(due, index) = self.timers.first()?;
        Some((due, self.entries.get(index).map_or("", |entry| entry.due().1)))
    }
}
