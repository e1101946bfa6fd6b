//! Where packets lie: blocks of one size, used again, with what is known of each beside it.

use packet::{Instant, MAX_PACKET};

use super::identity::{FlowKey, Mark};
use super::types::Behaviour;
use crate::flow_table::pool::{Chunks, Pool};
use crate::wheel::{Links, List, NONE};

/// What is known of a packet that is held.
pub(super) struct Slot {
    pub(super) len: usize,
    pub(super) flow: u32,
    pub(super) arrival: Instant,
    /// What it is filed under, if it is a TCP segment.
    pub(super) mark: Option<Mark>,
    previous: u32,
    next: u32,
}

/// Bytes and packets of a flow, a queue or all queues.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) bytes: usize,
    pub(super) packets: usize,
}

impl Share {
    pub(super) fn add(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.packets += 1;
    }

    pub(super) fn subtract(&mut self, bytes: usize) {
        self.bytes -= bytes;
        self.packets -= 1;
    }
}

/// A flow with packets in a queue.
pub(super) struct Flow {
    pub(super) queue: u32,
    pub(super) key: FlowKey,
    pub(super) share: Share,
    pub(super) newest: u32,
    /// Packets that are filed by all of their bytes.
    pub(super) alike: u32,
    /// Whether it was told that packets of it were given up.
    pub(super) is_refused: bool,
    previous: u32,
    next: u32,
}

impl Flow {
    pub(super) fn new(queue: u32, key: FlowKey) -> Self {
        Self {
            queue,
            key,
            share: Share::default(),
            newest: NONE,
            alike: 0,
            is_refused: false,
            previous: NONE,
            next: NONE,
        }
    }

    /// The flow behind this one in its queue.
    pub(super) fn next(&self) -> u32 {
        self.next
    }
}

/// A queue.
pub(super) struct Queue {
    pub(super) generation: u32,
    pub(super) behaviour: Behaviour,
    pub(super) opened: Instant,
    pub(super) share: Share,
    /// In the order of arrival.
    pub(super) packets: List,
    pub(super) flows: List,
    pub(super) flow_count: usize,
    /// Whether the wheel has it.
    pub(super) is_filed: bool,
    /// Whether it waits to be polled for its age.
    pub(super) is_expired: bool,
    previous: u32,
    next: u32,
}

impl Queue {
    pub(super) fn new(generation: u32, behaviour: Behaviour, opened: Instant) -> Self {
        Self {
            generation,
            behaviour,
            opened,
            share: Share::default(),
            packets: List::EMPTY,
            flows: List::EMPTY,
            flow_count: 0,
            is_filed: false,
            is_expired: false,
            previous: NONE,
            next: NONE,
        }
    }
}

/// A pool's elements as entries of a list.
pub(super) struct Linked<'a, T>(pub(super) &'a mut Pool<T>);

macro_rules! links {
    ($element:ty) => {
        impl Links for Linked<'_, $element> {
            fn previous(&self, entry: u32) -> u32 {
                self.0[entry].previous
            }

            fn next(&self, entry: u32) -> u32 {
                self.0[entry].next
            }

            fn set_previous(&mut self, entry: u32, previous: u32) {
                self.0[entry].previous = previous;
            }

            fn set_next(&mut self, entry: u32, next: u32) {
                self.0[entry].next = next;
            }
        }
    };
}

links!(Slot);
links!(Flow);
links!(Queue);

/// The packets. Memory is never given back, and used again before there is more.
pub(super) struct Store {
    pub(super) slots: Pool<Slot>,
    blocks: Chunks<[u8; MAX_PACKET], 64>,
}

impl Store {
    pub(super) fn new() -> Self {
        Self { slots: Pool::new(), blocks: Chunks::new() }
    }

    /// Copies a packet of at most [`MAX_PACKET`] bytes.
    pub(super) fn insert(
        &mut self,
        packet: &[u8],
        flow: u32,
        mark: Option<Mark>,
        arrival: Instant,
    ) -> u32 {
        let len = packet.len();
        let slot = Slot { len, flow, arrival, mark, previous: NONE, next: NONE };
        let place = self.slots.insert(slot);
        while place >= self.blocks.capacity() {
            self.blocks.grow(|| [0; MAX_PACKET]);
        }
        self.blocks[place][..len].copy_from_slice(packet);
        place
    }

    /// Puts another packet in a packet's place.
    pub(super) fn replace(&mut self, place: u32, packet: &[u8]) {
        self.slots[place].len = packet.len();
        self.blocks[place][..packet.len()].copy_from_slice(packet);
    }

    pub(super) fn bytes(&self, place: u32) -> &[u8] {
        &self.blocks[place][..self.slots[place].len]
    }

    pub(super) fn bytes_mut(&mut self, place: u32) -> &mut [u8] {
        &mut self.blocks[place][..self.slots[place].len]
    }
}
