//! One class of a link: when a datagram has left, when it arrives, and whether at all.

use std::time::Duration;

use packet::{Class, Instant};

use crate::config::Impairment;
use crate::random::Dice;

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// What becomes of one datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    TailDropped,
    Lost,
    Arrives { at: Instant, copies: u8, is_reordered: bool },
}

/// The state of one class. Instants of arrival depend on sizes, instants of sending and the jitter
/// stream; what is lost, doubled or reordered moves nothing else.
#[derive(Debug)]
pub(crate) struct Line {
    impairment: Impairment,
    dice: Dice,
    /// When the last bit of everything accepted has left.
    free_at: Instant,
    /// What `free_at` is rounded down by, in nanoseconds times the bandwidth: rates are exact.
    remainder: u128,
    /// No later datagram arrives before this, but for those held back.
    last_arrival: Instant,
}

impl Line {
    pub(crate) fn new(impairment: Impairment, seed: u64, class: Class) -> Self {
        Self {
            impairment,
            dice: Dice::new(seed, class),
            free_at: Instant::ZERO,
            remainder: 0,
            last_arrival: Instant::ZERO,
        }
    }

    /// Decides about a datagram of `len` bytes that is sent at `now`.
    pub(crate) fn admit(&mut self, len: usize, now: Instant) -> Fate {
        let decisions = self.dice.throw();
        let Some(left_at) = self.serialise(len, now) else { return Fate::TailDropped };
        let Impairment { latency, jitter, loss, duplicate, reorder, reorder_delay, .. } =
            self.impairment;
        let arrival = left_at + latency + decisions.jitter(jitter);
        self.last_arrival = self.last_arrival.max(arrival);
        if decisions.is_lost(loss) {
            return Fate::Lost;
        }
        let is_reordered = decisions.is_reordered(reorder);
        let held = if is_reordered { reorder_delay } else { Duration::ZERO };
        let copies = if decisions.is_duplicated(duplicate) { 2 } else { 1 };
        Fate::Arrives { at: self.last_arrival + held, copies, is_reordered }
    }

    /// When the last bit has left; `None` if the queue has no room.
    fn serialise(&mut self, len: usize, now: Instant) -> Option<Instant> {
        let Some(bandwidth) = self.impairment.bandwidth else { return Some(now) };
        let bandwidth = u128::from(bandwidth.max(1));
        if self.free_at <= now {
            (self.free_at, self.remainder) = (now, 0);
        } else if self.backlog(now, bandwidth) + len as u128 > self.impairment.queue_bytes as u128 {
            return None;
        }
        let work = len as u128 * 8 * NANOS_PER_SECOND + self.remainder;
        self.remainder = work % bandwidth;
        let nanos = u64::try_from(work / bandwidth).unwrap_or(u64::MAX);
        self.free_at += Duration::from_nanos(nanos);
        Some(self.free_at)
    }

    /// Bytes that have not left yet, a begun one included.
    fn backlog(&self, now: Instant, bandwidth: u128) -> u128 {
        let work = (self.free_at - now).as_nanos() * bandwidth + self.remainder;
        work.div_ceil(8 * NANOS_PER_SECOND)
    }
}
