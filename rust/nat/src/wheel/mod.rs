//! A hashed timer wheel, and the lists it stands on, over links that their user keeps (R31).
//!
//! Owns one list head per slot and nothing per timer: an entry is an index into the user's slab, its
//! two links lie there, reached through [`Links`]. In: entries with a deadline, and the time. Out:
//! entries whose slot has come, one per call, so that the caller bounds the work of a turn.
//!
//! The wheel is lazy: activity moves no entry. When one's slot comes, its user compares the true
//! deadline and, if that is later, files the entry again.

mod bitmap;
mod list;
mod packed;

use std::time::Duration;

use packet::Instant;

pub(crate) use bitmap::Bitmap;
pub(crate) use list::List;
pub(crate) use packed::{Link, Packed, Shared};

/// No entry: the end of a list. Fits three bytes, as all links do.
pub const NONE: u32 = 0xFF_FFFF;
/// The highest index an entry may have; above lie the marks by which a slot's first entry names its
/// slot.
pub const MAX_ENTRY: u32 = MARK - 1;
const MARK: u32 = 0x80_0000;

/// Fewest slots: one word of the bitmap.
const MIN_SLOTS: usize = 64;
/// Most slots: all have a mark below [`NONE`].
const MAX_SLOTS: usize = 1 << 16;

/// Where the links of the entries lie. Values are below 2^24, so three bytes hold one.
pub trait Links {
    /// What [`Self::set_previous`] stored for `entry`.
    fn previous(&self, entry: u32) -> u32;
    /// What [`Self::set_next`] stored for `entry`.
    fn next(&self, entry: u32) -> u32;
    /// Stores the entry before `entry`.
    fn set_previous(&mut self, entry: u32, previous: u32);
    /// Stores the entry behind `entry`.
    fn set_next(&mut self, entry: u32, next: u32);
}

/// The wheel. An entry's slot comes at its deadline, rounded up to a tick.
#[derive(Debug)]
pub struct Wheel {
    /// Nanoseconds.
    tick: u64,
    /// First entry of each slot.
    slots: Box<[u32]>,
    occupied: Bitmap,
    /// The tick that is looked at next. Entries lie in this one and the `slots.len() - 1` behind it.
    cursor: u64,
}

impl Wheel {
    /// An empty wheel of `slots` slots (rounded up to a power of two, 64 to 65,536), each one `tick`
    /// long. Entries that lie further ahead than the wheel is long come early, and are filed again.
    pub fn new(tick: Duration, slots: usize) -> Self {
        let slots = slots.clamp(MIN_SLOTS, MAX_SLOTS).next_power_of_two();
        let tick = u64::try_from(tick.as_nanos()).unwrap_or(u64::MAX).max(1);
        let occupied = Bitmap::new(slots);
        Self { tick, slots: vec![NONE; slots].into_boxed_slice(), occupied, cursor: 0 }
    }

    /// Files `entry`, which must not be filed and at most [`MAX_ENTRY`], under `deadline`. O(1).
    pub fn insert(&mut self, links: &mut impl Links, entry: u32, deadline: Instant) {
        debug_assert!(entry <= MAX_ENTRY);
        let last = self.cursor + (self.slots.len() as u64 - 1);
        let tick = deadline.as_nanos().div_ceil(self.tick).clamp(self.cursor, last);
        let slot = self.slot(tick);
        let next = self.slots[slot];
        links.set_previous(entry, MARK | slot as u32);
        links.set_next(entry, next);
        if next != NONE {
            links.set_previous(next, entry);
        }
        self.slots[slot] = entry;
        self.occupied.set(slot);
    }

    /// Takes out `entry`, which must be filed. O(1).
    pub fn remove(&mut self, links: &mut impl Links, entry: u32) {
        let (previous, next) = (links.previous(entry), links.next(entry));
        if next != NONE {
            links.set_previous(next, previous);
        }
        if previous <= MAX_ENTRY {
            links.set_next(previous, next);
            return;
        }
        let slot = (previous & !MARK) as usize;
        self.slots[slot] = next;
        if next == NONE {
            self.occupied.clear(slot);
        }
    }

    /// Takes out one entry whose slot has come, with the time of the slot. O(1); to be called until
    /// `None` or until the work of this turn is enough.
    ///
    /// An entry whose true deadline is later than that time is to be filed again, even if it is due by
    /// now: so entries end in the order of their deadlines also when the clock has leapt.
    pub fn pop_due(&mut self, links: &mut impl Links, now: Instant) -> Option<(u32, Instant)> {
        let now = now.as_nanos() / self.tick;
        match self.next_tick() {
            Some(tick) if tick <= now => {
                self.cursor = tick;
                let entry = self.slots[self.slot(tick)];
                self.remove(links, entry);
                Some((entry, self.time(tick)))
            }
            _ => {
                self.cursor = self.cursor.max(now);
                None
            }
        }
    }

    /// When the next slot comes that has an entry. Never later than the earliest deadline rounded up
    /// to a tick.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.next_tick().map(|tick| self.time(tick))
    }

    fn time(&self, tick: u64) -> Instant {
        Instant::from_nanos(tick.saturating_mul(self.tick))
    }

    fn slot(&self, tick: u64) -> usize {
        tick as usize & (self.slots.len() - 1)
    }

    fn next_tick(&self) -> Option<u64> {
        let start = self.slot(self.cursor);
        let slot = self.occupied.next_from(start).or_else(|| self.occupied.next_from(0))?;
        Some(self.cursor + (slot.wrapping_sub(start) & (self.slots.len() - 1)) as u64)
    }
}
