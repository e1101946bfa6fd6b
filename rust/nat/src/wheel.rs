//! A hashed timer wheel over links that its user keeps (R31).
//!
//! Owns one list head per slot and nothing per timer: an entry is an index into the user's slab, its
//! two links lie there, reached through [`Links`]. In: entries with a deadline, and the time. Out:
//! entries whose slot has come, one per call, so that the caller bounds the work of a turn.
//!
//! The wheel is lazy: activity moves no entry. When one comes due, its user compares the true
//! deadline and, if that is later, files the entry again.

use std::time::Duration;

use packet::Instant;

/// No entry: the end of a list. Fits three bytes, as all links do.
pub const NONE: u32 = 0xFF_FFFF;
/// The highest index an entry may have; above lie the marks by which a slot's first entry names its
/// slot.
pub const MAX_ENTRY: u32 = 0x7F_FFFF;

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
    tick: u64,
    slots: Box<[u32]>,
}

impl Wheel {
    /// An empty wheel of `slots` slots (rounded up to a power of two, 64 to 65,536), each one `tick`
    /// long. Entries that lie further ahead than the wheel is long come early, and are filed again.
    pub fn new(tick: Duration, slots: usize) -> Self {
        let slots = slots.next_power_of_two().clamp(64, 1 << 16);
        let tick = u64::try_from(tick.as_nanos()).unwrap_or(u64::MAX).max(1);
        Self { tick, slots: vec![NONE; slots].into_boxed_slice() }
    }

    /// Files `entry`, which must not be filed, under `deadline`. O(1).
    pub fn insert(&mut self, links: &mut impl Links, entry: u32, deadline: Instant) {
        let _ = (links, entry, deadline, self.tick, &self.slots);
    }

    /// Takes out `entry`, which must be filed. O(1).
    pub fn remove(&mut self, links: &mut impl Links, entry: u32) {
        let _ = (links, entry);
    }

    /// Takes out one entry whose slot has come. O(1); to be called until `None` or until the work of
    /// this turn is enough.
    pub fn pop_due(&mut self, links: &mut impl Links, now: Instant) -> Option<u32> {
        let _ = (links, now);
        None
    }

    /// When the next slot comes that has an entry. Never later than the earliest deadline rounded up
    /// to a tick.
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}
