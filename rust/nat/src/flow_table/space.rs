//! Port spaces: all flows and resting ports of one peer towards one real address and port, in one
//! protocol and one class of ports. Within a space no outside port is used twice (R29), and in it R33
//! looks for what gives way when none is left.

use super::index::Index;
use super::key::{Ends, Hash, Kind};
use super::pool::Pool;
use super::ports::{PortClass, PortMap};
use super::record::{Chain, Record, Records};
use super::state::Class;
use crate::wheel::List;

/// What makes a space. The address is as [`super::address::Addresses`] keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SpaceKey {
    peer: u32,
    kind: Kind,
    real: u32,
    remote: u16,
    ports: PortClass,
}

impl SpaceKey {
    /// Of a tuple whose address is kept as `real`.
    pub(super) fn new(ends: Ends, real: u32, ports: PortClass) -> Self {
        Self { peer: ends.peer(), kind: ends.kind(), real, remote: ends.remote(), ports }
    }

    pub(super) fn of(record: &Record) -> Self {
        Self::new(record.ends, record.real, PortClass::of(record.outside_port()))
    }

    fn hash(&self, hash: &Hash) -> u64 {
        let low = u64::from(self.ports == PortClass::Low);
        let second = u64::from(self.remote) | u64::from(self.kind.bits()) << 16 | low << 24;
        hash.numbers(u64::from(self.real) | u64::from(self.peer) << 32, second)
    }
}

/// Part of the ports in use from which on a space has a map: 1 in 4, so that a random port is free with
/// more than one half as long as it has none that is whole.
const MAP_FROM: u32 = 4;
/// Part below which it is given up.
const MAP_UNTIL: u32 = 8;

struct Space {
    key: SpaceKey,
    used: u32,
    /// By [`Class::yields`], oldest in front.
    lists: [List; 3],
    map: Option<Box<PortMap>>,
}

impl Space {
    fn list(&mut self, class: Class) -> Option<&mut List> {
        class.yields().map(|rank| &mut self.lists[rank])
    }

    fn push(&mut self, records: &mut Records, place: u32, class: Class) {
        if let Some(list) = self.list(class) {
            list.push_back(&mut records.chain(Chain::Space), place);
        }
    }

    fn unlink(&mut self, records: &mut Records, place: u32) {
        if let Some(list) = self.list(records[place].state().class()) {
            list.remove(&mut records.chain(Chain::Space), place);
        }
    }
}

/// The spaces in use.
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
        let place = self.pool.insert(Space { key, used: 0, lists: [List::EMPTY; 3], map: None });
        let pool = &self.pool;
        self.index.insert(key.hash(hash), place, |place| pool[place].key.hash(hash));
        place
    }

    /// Puts a record into its space and takes its outside port.
    pub(super) fn enter(&mut self, records: &mut Records, space: u32, place: u32) {
        let (state, outside_port) = (records[place].state(), records[place].outside_port());
        let space = &mut self.pool[space];
        space.push(records, place, state.class());
        space.used += 1;
        if let Some(map) = &mut space.map {
            map.set_used(outside_port);
        } else if space.used >= space.key.ports.size() / MAP_FROM {
            space.map = Some(Box::new(PortMap::new(space.key.ports)));
        }
    }

    /// Takes a record out of its space and frees its outside port. True if it was the last: the space
    /// is gone then, and so is its reference to the address.
    pub(super) fn leave(&mut self, hash: &Hash, records: &mut Records, place: u32) -> bool {
        let record = records[place];
        let key = SpaceKey::of(&record);
        let Some(at) = self.find(hash, &key) else { return false };
        let space = &mut self.pool[at];
        space.unlink(records, place);
        space.used -= 1;
        if space.used > 0 {
            if space.used < space.key.ports.size() / MAP_UNTIL {
                space.map = None;
            } else if let Some(map) = &mut space.map {
                map.set_free(record.outside_port());
            }
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
            space.unlink(records, place);
            space.push(records, place, class);
        }
    }

    /// The next port that the space's map wants to know of.
    pub(super) fn unknown_port(&self, space: u32) -> Option<u16> {
        self.pool[space].map.as_ref()?.unknown()
    }

    /// Tells the map whether that port is free.
    pub(super) fn learn(&mut self, space: u32, is_free: bool) {
        if let Some(map) = &mut self.pool[space].map {
            map.learn(is_free);
        }
    }

    /// The map of free ports, if the space needs one and it knows all.
    pub(super) fn map(&self, space: u32) -> Option<&PortMap> {
        self.pool[space].map.as_deref().filter(|map| map.unknown().is_none())
    }

    /// The record of a class that has been in it longest.
    pub(super) fn oldest(&self, space: u32, class: Class) -> Option<u32> {
        class.yields().and_then(|rank| self.pool[space].lists[rank].front())
    }
}
