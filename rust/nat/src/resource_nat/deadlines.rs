//! When which entry is looked at: one wheel for handshakes and retries, a coarse one for entries that
//! nothing uses any more.
//!
//! A query and its answer move an entry in the first alone, and use moves it in neither: an entry whose
//! time in the coarse one comes is filed again if it was used since.

use std::time::Duration;

use packet::Instant;

use crate::wheel::{Links, NONE, Wheel};

/// How much later than its time a handshake or retry is done at most.
const SOON_TICK: Duration = Duration::from_millis(1);
/// Slots of that wheel: 8 s, the distance of most transmissions (R03).
const SOON_SLOTS: usize = 8192;
/// The same for idle entries, which end after a day (R08).
const IDLE_TICK: Duration = Duration::from_secs(10);
const IDLE_SLOTS: usize = 16_384;

/// What is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// A handshake or a retry.
    Soon,
    /// The entry may be idle for too long.
    Idle,
}

pub(super) struct Deadlines {
    soon: Timers,
    idle: Timers,
}

impl Deadlines {
    pub(super) fn new() -> Self {
        Self { soon: Timers::new(SOON_TICK, SOON_SLOTS), idle: Timers::new(IDLE_TICK, IDLE_SLOTS) }
    }

    /// Sets when an entry is looked at for `kind`; never, if `at` is none. O(1).
    pub(super) fn set(&mut self, kind: Kind, index: usize, at: Option<Instant>, now: Instant) {
        let index = u32::try_from(index).unwrap_or(NONE);
        match kind {
            Kind::Soon => self.soon.set(index, at, now),
            Kind::Idle => self.idle.set(index, at, now),
        }
    }

    /// Whether an entry is filed for `kind`.
    pub(super) fn is_set(&self, kind: Kind, index: usize) -> bool {
        let timers = match kind {
            Kind::Soon => &self.soon,
            Kind::Idle => &self.idle,
        };
        timers.places.get(index).is_some_and(|place| place.at.is_some())
    }

    /// Takes out an entry whose time has come, with that time: one that has moved since is to be set
    /// again.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<(usize, Kind, Instant)> {
        let soon = self.soon.pop_due(now).map(|(index, at)| (index, Kind::Soon, at));
        soon.or_else(|| self.idle.pop_due(now).map(|(index, at)| (index, Kind::Idle, at)))
    }

    /// When the next is due, and why.
    pub(super) fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        let soon = self.soon.poll_timeout().map(|at| (at, "handshake or retry"));
        let idle = self.idle.poll_timeout().map(|at| (at, "idle entry"));
        [soon, idle].into_iter().flatten().min_by_key(|(at, _)| *at)
    }
}

/// A wheel with the links of its entries, beside the entries and not in them: a turn of many touches
/// little memory.
struct Timers {
    wheel: Wheel,
    places: Vec<Place>,
    filed: u32,
}

#[derive(Clone, Copy)]
struct Place {
    previous: u32,
    next: u32,
    at: Option<Instant>,
}

const UNFILED: Place = Place { previous: NONE, next: NONE, at: None };

impl Timers {
    fn new(tick: Duration, slots: usize) -> Self {
        Self { wheel: Wheel::new(tick, slots), places: Vec::new(), filed: 0 }
    }

    fn set(&mut self, index: u32, at: Option<Instant>, now: Instant) {
        let former = self.places.get(index as usize).and_then(|place| place.at);
        if former == at {
            return;
        }
        if former.is_some() {
            self.wheel.remove(&mut Linked(&mut self.places), index);
            self.forget(index);
        }
        let Some(at) = at else { return };
        if self.places.len() <= index as usize {
            self.places.resize(index as usize + 1, UNFILED);
        }
        if self.filed == 0 {
            // Nobody has turned it while it was empty.
            let _ = self.wheel.pop_due(&mut Linked(&mut self.places), now);
        }
        self.wheel.insert(&mut Linked(&mut self.places), index, at);
        self.places[index as usize].at = Some(at);
        self.filed += 1;
    }

    fn forget(&mut self, index: u32) {
        self.places[index as usize].at = None;
        self.filed -= 1;
    }

    fn pop_due(&mut self, now: Instant) -> Option<(usize, Instant)> {
        let (index, at) = self.wheel.pop_due(&mut Linked(&mut self.places), now)?;
        self.forget(index);
        Some((index as usize, at))
    }

    fn poll_timeout(&self) -> Option<Instant> {
        if self.filed == 0 { None } else { self.wheel.poll_timeout() }
    }
}

struct Linked<'a>(&'a mut [Place]);

impl Links for Linked<'_> {
    fn previous(&self, entry: u32) -> u32 {
        self.0[entry as usize].previous
    }

    fn next(&self, entry: u32) -> u32 {
        self.0[entry as usize].next
    }

    fn set_previous(&mut self, entry: u32, previous: u32) {
        self.0[entry as usize].previous = previous;
    }

    fn set_next(&mut self, entry: u32, next: u32) {
        self.0[entry as usize].next = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    #[test]
    fn an_entry_comes_at_its_last_time_and_once() {
        let mut deadlines = Deadlines::new();
        deadlines.set(Kind::Soon, 3, Some(at(500)), at(0));
        deadlines.set(Kind::Soon, 3, Some(at(700)), at(0));
        deadlines.set(Kind::Idle, 3, Some(at(20_000)), at(0));
        deadlines.set(Kind::Soon, 5, Some(at(600)), at(0));
        deadlines.set(Kind::Soon, 5, None, at(0));
        assert_eq!(deadlines.poll_timeout(), Some((at(700), "handshake or retry")));
        assert_eq!(deadlines.pop_due(at(699)), None);
        assert_eq!(deadlines.pop_due(at(701)), Some((3, Kind::Soon, at(700))));
        assert_eq!(deadlines.pop_due(at(701)), None);
        assert_eq!(deadlines.poll_timeout(), Some((at(20_000), "idle entry")));
        assert_eq!(deadlines.pop_due(at(30_000)), Some((3, Kind::Idle, at(20_000))));
        assert_eq!(deadlines.poll_timeout(), None);
    }

    #[test]
    fn a_wheel_that_was_empty_for_long_is_not_behind() {
        let mut deadlines = Deadlines::new();
        let day = 86_400_000;
        deadlines.set(Kind::Soon, 0, Some(at(day + 500)), at(day));
        assert_eq!(deadlines.poll_timeout().map(|(when, _)| when), Some(at(day + 500)));
    }
}
