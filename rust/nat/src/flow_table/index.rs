//! A hash index from keys to slab places that grows without a pause.
//!
//! In: hashes, and closures that compare a place with the key sought or hash a place anew. Out:
//! places. It keeps no keys, only 24 bits of place and 8 of hash per entry, 15 to a cache line, less
//! than 6 bytes in all.
//!
//! The bucket of a hash is the hash scaled to the number of buckets. When that number grows, by an
//! eighth, no entry moves down; so the buckets are dealt anew in place, from the last to the first, one
//! with each insertion. Who does not know the seed of the hash cannot fill a bucket; overfull ones go on
//! in small nodes.

use smallvec::SmallVec;

use super::pool::Chunks;
use crate::processor::{prefetch, with_highest_byte};
use crate::wheel::NONE;

/// Entries per bucket, which with [`Bucket::meta`] is a cache line.
const ENTRIES: usize = 15;
/// Entries per overflow node.
const NODE_ENTRIES: usize = 3;
/// Entries per bucket, on average, at which the table grows: a third of the buckets overflow then, but
/// only one entry in twelve lies outside its bucket.
const FILL: u32 = 14;
/// Buckets at first.
const FIRST_BUCKETS: u32 = 4;
/// Part by which the table grows: dealing one bucket anew per insertion, it is done with all before the
/// buckets that were added are full.
const GROWTH: u32 = 8;

const PLACE: u32 = 0xFF_FFFF;

#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Bucket {
    entries: [u32; ENTRIES],
    meta: Meta,
}

impl Bucket {
    /// Which entries have the tag of a hash, a bit for each. All are compared, so that no jump depends
    /// on where it stands.
    #[inline]
    fn alike(&self, hash: u64) -> u32 {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o] = self.entries;
        let entries = [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, self.meta.0];
        with_highest_byte(&entries, hash as u32) & !(!0 << self.meta.count())
    }
}

#[derive(Clone, Copy, Debug)]
#[repr(C, align(16))]
struct Node {
    entries: [u32; NODE_ENTRIES],
    meta: Meta,
}

/// Number of entries (8 bits) and first node behind them (24 bits).
#[derive(Clone, Copy, Debug)]
struct Meta(u32);

impl Meta {
    const EMPTY: Self = Self(NONE);

    #[inline]
    fn count(self) -> usize {
        (self.0 >> 24) as usize
    }

    #[inline]
    fn node(self) -> u32 {
        self.0 & PLACE
    }

    fn set_count(&mut self, count: usize) {
        self.0 = (self.0 & PLACE) | (count as u32) << 24;
    }

    fn set_node(&mut self, node: u32) {
        self.0 = (self.0 & !PLACE) | node;
    }
}

/// Where a group of entries lies.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Group {
    Bucket(u32),
    Node(u32),
}

/// The index.
pub(crate) struct Index {
    buckets: Chunks<Bucket, 256>,
    nodes: Chunks<Node, 256>,
    free_node: u32,
    /// Number of buckets before growth and after; the same when there is none.
    old: u32,
    new: u32,
    /// Buckets below this one are still dealt by the old number.
    boundary: u32,
    len: u32,
}

impl Index {
    pub(crate) fn new() -> Self {
        Self {
            buckets: Chunks::new(),
            nodes: Chunks::new(),
            free_node: NONE,
            old: FIRST_BUCKETS,
            new: FIRST_BUCKETS,
            boundary: 0,
            len: 0,
        }
    }

    /// The place whose key has `hash` and that `is` accepts.
    #[inline]
    pub(crate) fn find(&self, hash: u64, mut is: impl FnMut(u32) -> bool) -> Option<u32> {
        if self.len == 0 {
            return None;
        }
        let bucket = &self.buckets[self.bucket(hash)];
        let mut alike = bucket.alike(hash);
        while alike != 0 {
            let place = bucket.entries[alike.trailing_zeros() as usize % ENTRIES] & PLACE;
            if is(place) {
                return Some(place);
            }
            alike &= alike - 1;
        }
        if bucket.meta.node() == NONE { None } else { self.find_behind(bucket.meta, hash, is) }
    }

    /// The same in the nodes behind a bucket.
    fn find_behind(
        &self,
        mut meta: Meta,
        hash: u64,
        mut is: impl FnMut(u32) -> bool,
    ) -> Option<u32> {
        while meta.node() != NONE {
            let node = &self.nodes[meta.node()];
            for &entry in &node.entries[..node.meta.count()] {
                if entry >> 24 == tag(hash) && is(entry & PLACE) {
                    return Some(entry & PLACE);
                }
            }
            meta = node.meta;
        }
        None
    }

    /// Begins to fetch what [`Self::guess`] reads: the bucket of `hash`, which is returned.
    #[inline]
    pub(crate) fn prefetch(&self, hash: u64) -> u32 {
        let bucket = self.bucket(hash);
        if let Some(bucket) = self.buckets.get(bucket) {
            prefetch(bucket);
        }
        bucket
    }

    /// The first place in a bucket whose hash is alike, which most often is the one sought; [`NONE`] if
    /// there is none.
    #[inline]
    pub(crate) fn guess(&self, bucket: u32, hash: u64) -> u32 {
        let Some(bucket) = self.buckets.get(bucket) else { return NONE };
        match bucket.alike(hash) {
            0 => NONE,
            alike => bucket.entries[alike.trailing_zeros() as usize % ENTRIES] & PLACE,
        }
    }

    /// Adds `place`, whose key has `hash` and must not be in the index. `rehash` gives the hash of any
    /// place in it.
    pub(crate) fn insert(&mut self, hash: u64, place: u32, rehash: impl Fn(u32) -> u64) {
        if self.buckets.capacity() == 0 {
            self.buckets.grow(|| EMPTY_BUCKET);
        }
        self.len += 1;
        self.grow(rehash);
        self.put(hash, place);
    }

    /// Takes out `place`, whose key has `hash`; nothing happens if it is not there.
    pub(crate) fn remove(&mut self, hash: u64, place: u32) {
        if self.len == 0 {
            return;
        }
        let entry = tag(hash) << 24 | place;
        let mut found = None;
        let mut previous = None;
        let mut last = Group::Bucket(self.bucket(hash));
        loop {
            let (entries, meta) = self.group(last);
            if let Some(at) = entries[..meta.count()].iter().position(|held| *held == entry) {
                found = Some((last, at));
            }
            if meta.node() == NONE {
                break;
            }
            (previous, last) = (Some(last), Group::Node(meta.node()));
        }
        let Some((group, at)) = found else { return };
        self.len -= 1;
        self.fill_hole(group, at, last, previous);
    }

    /// Moves the last entry of a chain into a hole, and gives an emptied node back.
    fn fill_hole(&mut self, group: Group, at: usize, last: Group, previous: Option<Group>) {
        let (entries, meta) = self.group_mut(last);
        let count = meta.count() - 1;
        let moved = entries[count];
        meta.set_count(count);
        self.group_mut(group).0[at] = moved;
        if let (0, Group::Node(node), Some(previous)) = (count, last, previous) {
            self.group_mut(previous).1.set_node(NONE);
            self.nodes[node].meta.set_node(self.free_node);
            self.free_node = node;
        }
    }

    #[inline]
    fn bucket(&self, hash: u64) -> u32 {
        let bucket = scale(hash, self.old);
        if bucket < self.boundary { bucket } else { scale(hash, self.new) }
    }

    fn group(&self, group: Group) -> (&[u32], Meta) {
        match group {
            Group::Bucket(at) => (&self.buckets[at].entries, self.buckets[at].meta),
            Group::Node(at) => (&self.nodes[at].entries, self.nodes[at].meta),
        }
    }

    fn group_mut(&mut self, group: Group) -> (&mut [u32], &mut Meta) {
        match group {
            Group::Bucket(at) => {
                let bucket = &mut self.buckets[at];
                (&mut bucket.entries, &mut bucket.meta)
            }
            Group::Node(at) => {
                let node = &mut self.nodes[at];
                (&mut node.entries, &mut node.meta)
            }
        }
    }

    fn put(&mut self, hash: u64, place: u32) {
        let mut group = Group::Bucket(self.bucket(hash));
        loop {
            let (entries, meta) = self.group_mut(group);
            let count = meta.count();
            if let Some(entry) = entries.get_mut(count) {
                *entry = tag(hash) << 24 | place;
                meta.set_count(count + 1);
                return;
            }
            let next = match meta.node() {
                NONE => self.new_node(),
                node => node,
            };
            self.group_mut(group).1.set_node(next);
            group = Group::Node(next);
        }
    }

    fn new_node(&mut self) -> u32 {
        if self.free_node == NONE {
            let start = self.nodes.capacity();
            self.nodes.grow(|| EMPTY_NODE);
            for node in (start..self.nodes.capacity()).rev() {
                self.nodes[node].meta.set_node(self.free_node);
                self.free_node = node;
            }
        }
        let node = self.free_node;
        self.free_node = self.nodes[node].meta.node();
        self.nodes[node] = EMPTY_NODE;
        node
    }

    /// One step of growth, if there is any: one more piece of memory, or one bucket dealt anew.
    fn grow(&mut self, rehash: impl Fn(u32) -> u64) {
        if self.boundary == 0 {
            self.old = self.new;
            if self.len <= FILL * self.new {
                return;
            }
            let grown = self.new + (self.new / GROWTH).max(1);
            if self.buckets.capacity() < grown {
                self.buckets.grow(|| EMPTY_BUCKET);
                return;
            }
            (self.new, self.boundary) = (grown, self.old);
        }
        self.boundary -= 1;
        // All hashes first: each reads a record, and the processor fetches several at once.
        let hashes: SmallVec<[(u64, u32); 32]> = self
            .take_chain(self.boundary)
            .into_iter()
            .map(|entry| (rehash(entry & PLACE), entry & PLACE))
            .collect();
        for (hash, place) in hashes {
            self.put(hash, place);
        }
    }

    /// Empties a bucket and gives its nodes back.
    fn take_chain(&mut self, bucket: u32) -> SmallVec<[u32; 32]> {
        let Bucket { entries, meta } = std::mem::replace(&mut self.buckets[bucket], EMPTY_BUCKET);
        let mut taken = SmallVec::from_slice(&entries[..meta.count()]);
        let mut next = meta.node();
        while next != NONE {
            let Node { entries, meta } = self.nodes[next];
            taken.extend_from_slice(&entries[..meta.count()]);
            self.nodes[next].meta.set_node(self.free_node);
            (self.free_node, next) = (next, meta.node());
        }
        taken
    }
}

const EMPTY_BUCKET: Bucket = Bucket { entries: [0; ENTRIES], meta: Meta::EMPTY };
const EMPTY_NODE: Node = Node { entries: [0; NODE_ENTRIES], meta: Meta::EMPTY };

const _: () = assert!(size_of::<Bucket>() == 64 && size_of::<Node>() == 16);

#[inline]
fn tag(hash: u64) -> u32 {
    hash as u32 >> 24
}

/// A number below `buckets`, by the upper half of the hash; it never falls when `buckets` grows.
#[inline]
fn scale(hash: u64, buckets: u32) -> u32 {
    (((hash >> 32) * u64::from(buckets)) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SplitMix64's finisher: hashes spread as a good hash's do.
    fn hash(place: u32) -> u64 {
        let mut z = u64::from(place).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn longest_chain(index: &Index) -> usize {
        (0..index.new)
            .map(|bucket| {
                let (mut length, mut next) = (1, index.buckets[bucket].meta.node());
                while next != NONE {
                    (length, next) = (length + 1, index.nodes[next].meta.node());
                }
                length
            })
            .max()
            .unwrap_or(0)
    }

    #[test]
    fn every_place_is_found_while_the_table_grows_and_shrinks() {
        let mut index = Index::new();
        for place in 0..20_000 {
            index.insert(hash(place), place, hash);
            assert_eq!(index.find(hash(place / 2), |found| found == place / 2), Some(place / 2));
        }
        assert!(longest_chain(&index) <= 6, "{}", longest_chain(&index));
        for place in (0..20_000).step_by(2) {
            index.remove(hash(place), place);
        }
        for place in 0..20_000 {
            let expected = (place % 2 == 1).then_some(place);
            assert_eq!(index.find(hash(place), |found| found == place), expected);
        }
        assert_eq!(index.len, 10_000);
    }

    #[test]
    fn equal_hashes_are_told_apart_by_the_caller() {
        let mut index = Index::new();
        for place in 0..100 {
            index.insert(7, place, |_| 7);
        }
        for place in 0..100 {
            assert_eq!(index.find(7, |found| found == place), Some(place));
        }
        index.remove(7, 50);
        index.remove(7, 50);
        assert_eq!(index.find(7, |found| found == 50), None);
        assert_eq!(index.len, 99);
    }
}
