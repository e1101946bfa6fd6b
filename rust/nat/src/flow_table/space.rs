//! Port spaces: all flows and resting ports of one peer towards one real address and port, in one
//! protocol and one class of ports. Within a space no outside port is used twice (R29), and in it R33
//! looks for what gives way when none is left.

use super::index::Index;
use super::key::{Hash, Kind};
use super::pool::Pool;
use super::ports::{PortClass, PortMap};
use super::record::{Chain, Record, Records};
use super::state::Class;
use crate::wheel::List;

/// What makes a space. The address is as [`super::address::Addresses`] keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SpaceKey {
    pub(super) peer: u32,
    pub(super) kind: Kind,
    pub(super) real: u32,
    pub(super) remote: u16,
    pub(super) ports: PortClass,
}

impl SpaceKey {
    pub(super) fn of(record: &Record) -> Self {
        Self {
            peer: record.peer(),
            kind: record.kind,
            real: record.real,
            remote: record.remote_port,
            ports: PortClass::of(record.outside_port),
        }
    }

    fn hash(&self, hash: &Hash) -> u64 {
        let low = u64::from(self.ports == PortClass::Low);
        let second = u64::from(self.remote) | u64::from(self.kind.bits()) << 16 | low << 24;
        hash.numbers(u64::from(self.real) | u64::from(self.peer) << 32, second)
    }
}

#[derive(Debug)]
struct Space {
    key: SpaceKey,
    used: u32,
    /// By class, the oldest in front: answered, unanswered, closed, resting.
    lists: [List; 4],
    map: Option<Box<PortMap>>,
}

impl Space {
    fn list(&mut self, class: Class) -> &mut List {
        &mut self.lists[class as usize - Class::Answered as usize]
    }

    /// Makes the map of free ports, if there is none.
    fn make_map(&mut self, records: &Records) -> &mut PortMap {
        let (key, lists) = (self.key, self.lists);
        self.map.get_or_insert_with(|| {
            let mut map = PortMap::new(key.ports);
            for list in lists {
                let mut next = list.front();
                while let Some(place) = next {
                    map.set_used(records[place].outside_port);
                    next = records.next_of_space(place);
                }
            }
            Box::new(map)
        })
    }
}

/// The spaces in use.
#[derive(Debug)]
pub(super) struct Spaces {
    pool: Pool<Space>,
    index: Index,
}

impl Spaces {
    pub(super) fn new() -> Self {
        Self { pool: Pool::new(), index: Index::new() }
    }

    pub(super) fn find(&self, hash: &Hash, key: &SpaceKey) -> Option<u32> {
        self.index.find(key.hash(hash), |place| self.pool[place].key == *key)
    }

    /// A new, empty space, which must not exist. It holds a reference to the address.
    pub(super) fn insert(&mut self, hash: &Hash, key: SpaceKey) -> u32 {
        let place = self.pool.insert(Space { key, used: 0, lists: [List::EMPTY; 4], map: None });
        let pool = &self.pool;
        self.index.insert(key.hash(hash), place, |place| pool[place].key.hash(hash));
        place
    }

    /// Puts a record into its space and takes its outside port.
    pub(super) fn enter(&mut self, records: &mut Records, space: u32, place: u32) {
        let Record { state, outside_port, .. } = records[place];
        let space = &mut self.pool[space];
        space.list(state.class()).push_back(&mut records.chain(Chain::Space), place);
        space.used += 1;
        if let Some(map) = &mut space.map {
            map.set_used(outside_port);
        } else if space.used >= space.key.ports.map_threshold() {
            space.make_map(records);
        }
    }

    /// Takes a record out of its space and frees its outside port. True if it was the last: the space
    /// is gone then, and so is its reference to the address.
    pub(super) fn leave(&mut self, hash: &Hash, records: &mut Records, place: u32) -> bool {
        let record = records[place];
        let key = SpaceKey::of(&record);
        let Some(at) = self.find(hash, &key) else { return false };
        let space = &mut self.pool[at];
        space.list(record.state.class()).remove(&mut records.chain(Chain::Space), place);
        space.used -= 1;
        if let Some(map) = &mut space.map {
            map.set_free(record.outside_port);
        }
        if space.used > 0 {
            return false;
        }
        self.index.remove(key.hash(hash), at);
        self.pool.remove(at);
        true
    }

    /// Moves a record from the list of its class to that of `class`.
    pub(super) fn change(&mut self, hash: &Hash, records: &mut Records, place: u32, class: Class) {
        let record = records[place];
        if let Some(at) = self.find(hash, &SpaceKey::of(&record)) {
            let space = &mut self.pool[at];
            space.list(record.state.class()).remove(&mut records.chain(Chain::Space), place);
            space.list(class).push_back(&mut records.chain(Chain::Space), place);
        }
    }

    /// Whether ports are few enough that a random one is free more often than not.
    pub(super) fn is_sparse(&self, space: u32) -> bool {
        self.pool[space].map.is_none()
    }

    /// A free port of the space, the first from `start` on. O(1) but for the first call.
    pub(super) fn free_port(&mut self, records: &Records, space: u32, start: u16) -> Option<u16> {
        self.pool[space].make_map(records).free_from(start)
    }

    /// The record of a class that has been in it longest.
    pub(super) fn oldest(&self, space: u32, class: Class) -> Option<u32> {
        self.pool[space].lists[class as usize - Class::Answered as usize].front()
    }
}
