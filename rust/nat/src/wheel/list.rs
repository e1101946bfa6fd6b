//! A doubly linked list over links that its user keeps.

use super::{Links, NONE};

/// First and last entry; an empty list has neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct List {
    first: u32,
    last: u32,
}

impl List {
    pub(crate) const EMPTY: Self = Self { first: NONE, last: NONE };

    /// The entry that has been in the list longest.
    pub(crate) fn front(&self) -> Option<u32> {
        (self.first != NONE).then_some(self.first)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first == NONE
    }

    pub(crate) fn push_back(&mut self, links: &mut impl Links, entry: u32) {
        links.set_previous(entry, self.last);
        links.set_next(entry, NONE);
        match self.last {
            NONE => self.first = entry,
            last => links.set_next(last, entry),
        }
        self.last = entry;
    }

    /// Takes out `entry`, which must be in this list.
    pub(crate) fn remove(&mut self, links: &mut impl Links, entry: u32) {
        let (previous, next) = (links.previous(entry), links.next(entry));
        match previous {
            NONE => self.first = next,
            previous => links.set_next(previous, next),
        }
        match next {
            NONE => self.last = previous,
            next => links.set_previous(next, previous),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Table([(u32, u32); 4]);

    impl Links for Table {
        fn previous(&self, entry: u32) -> u32 {
            self.0[entry as usize].0
        }
        fn next(&self, entry: u32) -> u32 {
            self.0[entry as usize].1
        }
        fn set_previous(&mut self, entry: u32, previous: u32) {
            self.0[entry as usize].0 = previous;
        }
        fn set_next(&mut self, entry: u32, next: u32) {
            self.0[entry as usize].1 = next;
        }
    }

    #[test]
    fn entries_leave_from_anywhere_and_the_order_stays() {
        let (mut links, mut list) = (Table([(NONE, NONE); 4]), List::EMPTY);
        for entry in 0..4 {
            list.push_back(&mut links, entry);
        }
        list.remove(&mut links, 1);
        list.remove(&mut links, 3);
        list.push_back(&mut links, 1);
        let mut order = Vec::new();
        while let Some(entry) = list.front() {
            list.remove(&mut links, entry);
            order.push(entry);
        }
        assert_eq!(order, [0, 2, 1]);
        assert!(list.is_empty());
    }
}
