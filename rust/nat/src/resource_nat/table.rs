//! Where entries are kept: by handle, by key, by name, and by when something is due.

use std::hash::BuildHasher;

use dns::NameId;
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use packet::Instant;
use slab::Slab;
use smallvec::SmallVec;

use super::deadlines::{Deadlines, Kind};
use super::entry::Entry;
use super::schedule::IDLE;
use super::{EntryId, EntryKey};

/// A name has mostly one entry; up to so many are compared one by one.
const FEW: usize = 4;

/// Places of the entries of a name.
type Indices = SmallVec<[usize; FEW]>;

/// What the entries of a name share.
#[derive(Default)]
struct NameUse {
    entries: Indices,
    /// A packet or a query for the name (R02).
    last_used: Instant,
}

pub(super) struct Table {
    hasher: FixedState,
    entries: Slab<Entry>,
    by_key: HashTable<usize>,
    /// By the number of the name.
    names: Vec<NameUse>,
    deadlines: Deadlines,
    generation: u32,
}

impl Table {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            hasher: FixedState::with_seed(seed),
            entries: Slab::new(),
            by_key: HashTable::new(),
            names: Vec::new(),
            deadlines: Deadlines::new(),
            generation: 0,
        }
    }

    /// The place of an entry; O(1).
    pub(super) fn find(&self, key: &EntryKey) -> Option<usize> {
        let same = |&index: &usize| self.entries.get(index).is_some_and(|entry| entry.key == *key);
        let of_name = &self.names.get(key.name.index())?.entries;
        if of_name.len() <= FEW {
            return of_name.iter().copied().find(|index| same(index));
        }
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
        if let Some(name) = self.names.get_mut(entry.key.name.index()) {
            name.last_used = now;
        }
        Some(entry)
    }

    /// Marks a name as used by a query; the places of its entries, in the order in which they were made.
    pub(super) fn mark_name(&mut self, name: NameId, now: Instant) -> Indices {
        let Some(used) = self.names.get_mut(name.index()) else { return Indices::new() };
        used.last_used = now;
        Indices::from_slice(&used.entries)
    }

    /// When the name of an entry was used last.
    pub(super) fn name_used(&self, index: usize) -> Instant {
        let name = self.entries.get(index).map(|entry| entry.key.name.index());
        name.and_then(|name| self.names.get(name)).map_or(Instant::ZERO, |used| used.last_used)
    }

    /// The places of a name's entries, in the order in which they were made.
    pub(super) fn of_name(&self, name: NameId) -> Indices {
        self.names.get(name.index()).map(|used| used.entries.clone()).unwrap_or_default()
    }

    pub(super) fn entries_of(&self, name: NameId) -> impl Iterator<Item = &Entry> {
        let indices = self.names.get(name.index()).map_or(&[][..], |used| &used.entries);
        indices.iter().filter_map(|&index| self.entries.get(index))
    }

    /// All entries, by place.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &Entry)> {
        self.entries.iter()
    }

    /// Puts in the entry that `make` builds from its handle.
    pub(super) fn insert(&mut self, key: EntryKey, make: impl FnOnce(EntryId) -> Entry) -> usize {
        self.generation = self.generation.wrapping_add(1);
        let place = self.entries.vacant_entry();
        let index = place.key();
        let id = EntryId {
            index: u32::try_from(index).unwrap_or(u32::MAX),
            generation: self.generation,
        };
        let entry = make(id);
        if self.names.len() <= key.name.index() {
            self.names.resize_with(key.name.index() + 1, NameUse::default);
        }
        let used = &mut self.names[key.name.index()];
        used.last_used = entry.last_used;
        used.entries.push(index);
        place.insert(entry);
        let (entries, hasher) = (&self.entries, &self.hasher);
        self.by_key.insert_unique(hasher.hash_one(key), index, |&other| {
            entries.get(other).map_or(0, |entry| hasher.hash_one(entry.key))
        });
        index
    }

    pub(super) fn remove(&mut self, index: usize) -> Option<Entry> {
        let entry = self.entries.try_remove(index)?;
        for kind in [Kind::Soon, Kind::Idle] {
            self.deadlines.set(kind, index, None, Instant::ZERO);
        }
        let hash = self.hasher.hash_one(entry.key);
        if let Ok(found) = self.by_key.find_entry(hash, |&other| other == index) {
            found.remove();
        }
        if let Some(used) = self.names.get_mut(entry.key.name.index()) {
            used.entries.retain(|&mut other| other != index);
        }
        Some(entry)
    }

    /// Sets the timers of an entry to when something is due for it. O(1).
    pub(super) fn schedule(&mut self, index: usize, now: Instant) {
        let Some(entry) = self.entries.get(index) else { return };
        self.deadlines.set(Kind::Soon, index, entry.soon(), now);
        if !self.deadlines.is_set(Kind::Idle, index) {
            self.deadlines.set(Kind::Idle, index, Some(entry.last_used + IDLE), now);
        }
    }

    /// Takes the timer of an entry for which something is due by `now`.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<usize> {
        while let Some((index, kind, at)) = self.deadlines.pop_due(now) {
            let Some(entry) = self.entries.get(index) else { continue };
            let due = match kind {
                Kind::Soon => entry.soon(),
                Kind::Idle => Some(entry.last_used + IDLE),
            };
            if due.is_some_and(|due| due <= at) {
                return Some(index);
            }
            self.deadlines.set(kind, index, due, now);
        }
        None
    }

    pub(super) fn next_due(&self) -> Option<(Instant, &'static str)> {
        self.deadlines.poll_timeout()
    }
}
