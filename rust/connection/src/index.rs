//! Receiver indices: what stands in a datagram to tell whose it is.
//!
//! 32 bits, as in WireGuard: the upper 24 name a connection of this node (shard bits at their top,
//! design §3 "the unit of scale is the shard"), the lower 8 count its sessions. A peer must treat the
//! whole as opaque.

use std::fmt;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

/// Bits at the top of the connection part that name the shard. One shard exists today.
pub(crate) const SHARD_BITS: u32 = 4;

/// A receiver index: 24 bits of connection (shard included) and 8 bits of session.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReceiverIndex(u32);

impl ReceiverIndex {
    /// Composes an index. `shard` has 4 bits, `connection` the rest of 24.
    pub const fn new(shard: u8, connection: u32, session: u8) -> Self {
        let shard = (shard as u32) & ((1 << SHARD_BITS) - 1);
        let connection = connection & ((1 << (24 - SHARD_BITS)) - 1);
        Self((shard << (32 - SHARD_BITS)) | (connection << 8) | session as u32)
    }

    /// The first index of a connection, shard included.
    pub(crate) const fn of(connection: u32) -> Self {
        Self(connection << 8)
    }

    /// Wraps an index read from a datagram.
    pub const fn from_wire(value: u32) -> Self {
        Self(value)
    }

    /// The index as it stands in a datagram.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The part that names the connection, shard included.
    pub const fn connection(self) -> u32 {
        self.0 >> 8
    }

    /// The shard that owns the connection.
    pub const fn shard(self) -> u8 {
        (self.0 >> (32 - SHARD_BITS)) as u8
    }
}

impl fmt::Debug for ReceiverIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReceiverIndex({:08x})", self.0)
    }
}

/// Connection part of an index → slot of the peer.
///
/// The keys are this node's own random choice, not a peer's, so a fixed hash is safe.
#[derive(Debug, Default)]
pub struct IndexTable {
    slots: HashMap<u32, u32, FixedState>,
}

impl IndexTable {
    /// The slot stored for the connection of `index`.
    pub fn find(&self, index: ReceiverIndex) -> Option<u32> {
        self.slots.get(&index.connection()).copied()
    }

    /// Stores `slot`; returns `false`, changing nothing, if the connection is taken.
    pub fn insert(&mut self, index: ReceiverIndex, slot: u32) -> bool {
        self.slots.try_insert(index.connection(), slot).is_ok()
    }

    /// Removes the connection of `index`.
    pub fn remove(&mut self, index: ReceiverIndex) {
        self.slots.remove(&index.connection());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_shards_never_share_an_index() {
        let a = ReceiverIndex::new(0, 7, 1);
        let b = ReceiverIndex::new(1, 7, 1);

        assert_ne!(a.connection(), b.connection());
        assert_eq!((a.shard(), b.shard()), (0, 1));
    }

    #[test]
    fn table_finds_what_was_stored_after_removal() {
        let mut table = IndexTable::default();
        for i in 0..1000 {
            assert!(table.insert(ReceiverIndex::new(0, i * 37, 0), i));
        }
        assert!(!table.insert(ReceiverIndex::new(0, 37, 9), 5), "a taken connection is refused");

        table.remove(ReceiverIndex::new(0, 37 * 500, 0));

        assert_eq!(table.find(ReceiverIndex::new(0, 37 * 500, 0)), None);
        for i in (0..1000).filter(|i| *i != 500) {
            assert_eq!(table.find(ReceiverIndex::new(0, i * 37, 200)), Some(i));
        }
    }
}
