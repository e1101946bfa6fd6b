//! When which peer wants to be woken.

use std::collections::BTreeSet;

use packet::Instant;

/// Wake-ups of peers, at most one each.
///
/// A peer whose timer moved to a later time keeps its entry: it is woken once in vain and enters
/// anew. So a packet, which moves timers back, costs a comparison and no change of the set.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    due: BTreeSet<(Instant, u32)>,
}

impl Timers {
    /// Sees to it that `slot` is woken at `wanted` or earlier; `entry` is the peer's own note of when
    /// it is in the set.
    pub(crate) fn set(&mut self, slot: u32, entry: &mut Option<Instant>, wanted: Option<Instant>) {
        let Some(wanted) = wanted else { return };
        if entry.is_some_and(|at| at <= wanted) {
            return;
        }
        self.clear(slot, entry);
        self.due.insert((wanted, slot));
        *entry = Some(wanted);
    }

    /// Takes a peer out of the set.
    pub(crate) fn clear(&mut self, slot: u32, entry: &mut Option<Instant>) {
        if let Some(at) = entry.take() {
            self.due.remove(&(at, slot));
        }
    }

    /// The next peer that is due. It is no longer in the set.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<u32> {
        let &(at, slot) = self.due.first()?;
        if at > now {
            return None;
        }
        self.due.pop_first();
        Some(slot)
    }

    /// The earliest wake-up.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn a_later_wish_changes_nothing_and_an_earlier_one_counts() {
        let (mut timers, mut entry) = (Timers::default(), None);
        timers.set(7, &mut entry, Some(at(10)));
        timers.set(7, &mut entry, Some(at(20)));
        timers.set(7, &mut entry, None);
        assert_eq!(timers.next(), Some(at(10)));

        timers.set(7, &mut entry, Some(at(5)));

        assert_eq!(timers.next(), Some(at(5)));
        assert_eq!(timers.take_due(at(4)), None);
        assert_eq!(timers.take_due(at(5)), Some(7));
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn a_peer_that_is_gone_is_not_woken() {
        let (mut timers, mut entry) = (Timers::default(), None);
        timers.set(7, &mut entry, Some(at(10)));

        timers.clear(7, &mut entry);

        assert_eq!((timers.next(), entry), (None, None));
    }
}
