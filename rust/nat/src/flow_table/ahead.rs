//! The look-up of a batch: what each train needs is fetched before the first one is handled.
//!
//! A look-up among a million flows waits for memory twice, at the index and at the record. Of several
//! look-ups these waits run at the same time if all of them are begun before one is ended. What is
//! found ahead is a guess: whatever the batch has changed until its turn comes, a train meets the flow
//! that it would have met alone.

use packet::Summary;

use super::key::{Side, Tuple};
use super::lookup::{inside_ends, outside_ends};
use super::{Direction, FlowTable, PeerIndex};
use crate::processor::prefetch;
use crate::wheel::NONE;

/// Trains whose records are fetched at a time: several times as many as a core has reads under way, for
/// some are of the same flow.
const AT_A_TIME: usize = 64;

/// Where the flow of a train lies, as it was when [`FlowTable::look_ahead`] looked. The default knows
/// nothing.
#[derive(Clone, Copy, Debug)]
pub struct Hint(pub(super) u32);

impl Default for Hint {
    fn default() -> Self {
        Self(NONE)
    }
}

/// A look-up that has been begun.
#[derive(Clone, Copy)]
struct Begun {
    /// The bucket that is on the way; [`KNOWN`] if the place is, [`SAME`] if it is that of the train
    /// before.
    bucket: u32,
    place: u32,
    hash: u64,
}

const KNOWN: u32 = u32::MAX;
const SAME: u32 = u32::MAX - 1;

fn inside_tuple(peer: PeerIndex, train: &Summary) -> Option<Tuple> {
    Some(Tuple::new(inside_ends(peer, train)?, train.destination))
}

fn outside_tuple(peer: PeerIndex, train: &Summary) -> Option<Tuple> {
    Some(Tuple::new(outside_ends(peer, train)?, train.source))
}

impl FlowTable {
    /// Looks the flows of trains up, all at a time; `hints[i]` is for that of `trains[i]` and goes to
    /// [`Self::outbound_at`] or [`Self::inbound_at`]. Trains without a hint left for them are skipped.
    /// Changes nothing, allocates nothing.
    pub fn look_ahead<'s>(
        &self,
        direction: Direction,
        trains: impl IntoIterator<Item = (PeerIndex, &'s Summary)>,
        hints: &mut [Hint],
    ) {
        let mut trains = trains.into_iter();
        for hints in hints.chunks_mut(AT_A_TIME) {
            match direction {
                Direction::Outbound => {
                    let tuples = trains.by_ref().map(|(peer, train)| inside_tuple(peer, train));
                    self.look_up(Side::Inside, tuples, hints);
                }
                Direction::Inbound => {
                    let tuples = trains.by_ref().map(|(peer, train)| outside_tuple(peer, train));
                    self.look_up(Side::Outside, tuples, hints);
                }
            }
        }
    }

    #[inline]
    fn look_up(&self, side: Side, tuples: impl Iterator<Item = Option<Tuple>>, hints: &mut [Hint]) {
        let mut begun = [Begun { bucket: KNOWN, place: NONE, hash: 0 }; AT_A_TIME];
        let (mut before, mut count) = (Tuple::NONE, 0);
        for (begun, tuple) in begun.iter_mut().zip(tuples.take(hints.len())) {
            count += 1;
            let Some(tuple) = tuple else { continue };
            if tuple == before {
                begun.bucket = SAME;
            } else if before == Tuple::NONE {
                *begun = self.begin_first(side, &tuple);
            } else {
                *begun = self.begin(side, &tuple);
            }
            before = tuple;
        }
        let (index, mut place) = (self.index(side), NONE);
        for (begun, hint) in begun.iter().zip(hints).take(count) {
            place = match begun.bucket {
                KNOWN => begun.place,
                SAME => place,
                bucket => self.fetch(index.guess(bucket, begun.hash)),
            };
            *hint = Hint(place);
        }
    }

    /// The first of a batch may go on where the batch before ended.
    #[inline]
    fn begin_first(&self, side: Side, tuple: &Tuple) -> Begun {
        let last = self.last[side as usize];
        if self.is_at(side, last, tuple) {
            return Begun { bucket: KNOWN, place: last, hash: 0 };
        }
        self.begin(side, tuple)
    }

    #[inline]
    fn begin(&self, side: Side, tuple: &Tuple) -> Begun {
        let hash = self.hash.tuple(side, tuple);
        Begun { bucket: self.index(side).prefetch(hash), place: NONE, hash }
    }

    /// A place, with its record on the way.
    #[inline]
    fn fetch(&self, place: u32) -> u32 {
        if let Some(record) = self.records.get(place) {
            prefetch(record);
        }
        place
    }
}
