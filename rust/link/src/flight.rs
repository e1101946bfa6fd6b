//! The datagrams under way, in order of arrival. Their memory is used again.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use packet::{Class, Instant};

/// Room of a fresh slot: any datagram of the tunnel fits, so that no slot ever grows.
const SLOT: usize = 2048;

/// When something arrives; of two at one instant the one sent first.
type Due = Reverse<(Instant, u64, usize)>;

#[derive(Debug, Default)]
pub(crate) struct Flight {
    due: BinaryHeap<Due>,
    slots: Vec<(Class, Vec<u8>)>,
    free: Vec<usize>,
    /// Datagrams ever put in.
    count: u64,
}

impl Flight {
    pub(crate) fn push(&mut self, datagram: &[u8], class: Class, at: Instant) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push((class, Vec::with_capacity(SLOT)));
            self.slots.len() - 1
        });
        let (of, bytes) = &mut self.slots[slot];
        *of = class;
        bytes.clear();
        bytes.extend_from_slice(datagram);
        self.due.push(Reverse((at, self.count, slot)));
        self.count += 1;
    }

    /// When the next one arrives.
    pub(crate) fn next_at(&self) -> Option<Instant> {
        self.due.peek().map(|Reverse((at, ..))| *at)
    }

    /// The next one, if it has arrived by `now`.
    pub(crate) fn peek(&self, now: Instant) -> Option<(Class, &[u8])> {
        let Reverse((at, _, slot)) = self.due.peek()?;
        let (class, bytes) = &self.slots[*slot];
        (*at <= now).then_some((*class, bytes))
    }

    /// Takes the next one away.
    pub(crate) fn pop(&mut self) {
        if let Some(Reverse((.., slot))) = self.due.pop() {
            self.free.push(slot);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.due.len()
    }
}
