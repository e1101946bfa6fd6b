//! Compiled rules of the names that many resources announced, a bounded number of them.

use std::collections::VecDeque;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::verdicts::Verdicts;

/// Lists of resources whose rules are kept.
const MOST: usize = 256;

/// Rules by the version of the list of resources they are of, in one epoch of the grants.
#[derive(Default)]
pub(crate) struct Compiled {
    epoch: u32,
    by_version: HashMap<u64, Verdicts, FixedState>,
    /// In the order in which they were compiled.
    versions: VecDeque<u64>,
}

impl Compiled {
    /// The rules of a list, which `compile` makes unless they are kept. Those of another epoch are
    /// forgotten, and the oldest if they are too many.
    pub(crate) fn get(
        &mut self,
        epoch: u32,
        version: u64,
        compile: impl FnOnce() -> Verdicts,
    ) -> &Verdicts {
        if self.epoch != epoch {
            *self = Self { epoch, ..Self::default() };
        }
        if !self.by_version.contains_key(&version) {
            if self.versions.len() >= MOST
                && let Some(oldest) = self.versions.pop_front()
            {
                self.by_version.remove(&oldest);
            }
            self.versions.push_back(version);
        }
        self.by_version.entry(version).or_insert_with(compile)
    }
}

#[cfg(test)]
mod tests {
    use std::iter::empty;

    use super::*;

    /// Asks for a list; tells whether it was compiled.
    fn is_compiled(compiled: &mut Compiled, epoch: u32, version: u64) -> bool {
        let mut asked = false;
        compiled.get(epoch, version, || {
            asked = true;
            Verdicts::new(empty())
        });
        asked
    }

    #[test]
    fn one_more_than_are_kept_costs_the_oldest_alone() {
        let mut compiled = Compiled::default();
        let most = MOST as u64;
        assert!((0..most).all(|version| is_compiled(&mut compiled, 0, version)));
        assert!(!(0..most).any(|version| is_compiled(&mut compiled, 0, version)), "all are kept");
        assert!(is_compiled(&mut compiled, 0, most));
        assert!(!(1..=most).any(|version| is_compiled(&mut compiled, 0, version)));
        assert!(is_compiled(&mut compiled, 0, 0), "the oldest made room");
        assert_eq!(compiled.by_version.len(), MOST);
    }

    #[test]
    fn another_epoch_compiles_anew() {
        let mut compiled = Compiled::default();
        assert!(is_compiled(&mut compiled, 0, 7));
        assert!(is_compiled(&mut compiled, 1, 7));
        assert!(!is_compiled(&mut compiled, 1, 7));
        assert_eq!(compiled.versions.len(), 1);
    }
}
