//! Packets between the TUN device and the tunnel: whoever sends little is not kept waiting by whoever
//! sends much.
//!
//! The device's own queue is one behind the other: what an upload puts there stands in front of a key
//! press. So the device is read ahead, and what was read is served by flow, as fq_codel does it
//! (RFC 8290 §4.1 without its control of delay): flows that have just begun to send first, the others
//! in turn, a train's worth of bytes each. Nothing is dropped: when there is no room, the device is not
//! read, and its queue holds the rest.

use std::ops::Range;

use crate::tun::{Left, READ_BUFFER, Taken};

/// Flows are told apart by so many numbers; two that share one share their turns.
const FLOWS: usize = 256;
/// Bytes that a flow may send in its turn: one full train.
const QUANTUM: i64 = 65_536;
/// Trains that may wait. A TCP connection has at most about 4 MiB under way (Linux `tcp_wmem`).
const LARGE: usize = 64;
/// Packets that may wait, of at most [`SMALL_BYTES`] each: they must not take the room of a train.
const SMALL: usize = 1024;
const SMALL_BYTES: usize = 2048;
const NONE: u16 = u16::MAX;
/// Packets of a window, and bytes of all of them, up to which a flow counts as one that sends little: no
/// trains, and not what acknowledges them either.
const LITTLE: (u16, u32) = (4, 4096);

/// Trains and packets that wait, by flow.
#[derive(Debug)]
pub(crate) struct TrainQueue {
    bytes: Vec<u8>,
    /// By slot: large ones first.
    waiting: Vec<Waiting>,
    /// Free slots; what was used last is used first, while it is in the processor's cache.
    free_large: Vec<u16>,
    free_small: Vec<u16>,
    flows: Vec<Flow>,
    /// Flows that began to send, and all others that send.
    new: Chain,
    old: Chain,
    len: usize,
    /// The number of the window, and how many flows have sent little in it.
    window: u32,
    little: usize,
}

/// A slot that holds something.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    taken: Taken,
    /// The next one of the flow.
    next: u16,
}

/// A flow that may send.
#[derive(Clone, Copy, Debug)]
struct Flow {
    slots: Chain,
    /// Bytes that are left of its turn.
    credit: i64,
    /// The next flow of the same list.
    next: u16,
    listed: bool,
    /// In which window it sent last, and how many packets and bytes.
    window: u32,
    sent: (u16, u32),
}

impl Flow {
    const IDLE: Self =
        Self { slots: EMPTY, credit: 0, next: NONE, listed: false, window: 0, sent: (0, 0) };

    /// Whether it sent something in its window, and no more than a little.
    fn is_little(&self) -> bool {
        let (packets, bytes) = self.sent;
        (1..=LITTLE.0).contains(&packets) && bytes <= LITTLE.1
    }
}

/// First and last of a list.
#[derive(Clone, Copy, Debug)]
struct Chain {
    first: u16,
    last: u16,
}

const EMPTY: Chain = Chain { first: NONE, last: NONE };

/// What was taken from the queue: its bytes stay until [`TrainQueue::release`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Served {
    slot: u16,
    pub(crate) taken: Taken,
}

impl TrainQueue {
    pub(crate) fn new() -> Self {
        let idle = Waiting { taken: Taken { len: 0, left: Left::Nothing }, next: NONE };
        Self {
            bytes: vec![0; LARGE * READ_BUFFER + SMALL * SMALL_BYTES],
            waiting: vec![idle; LARGE + SMALL],
            free_large: (0..LARGE as u16).rev().collect(),
            free_small: (LARGE as u16..(LARGE + SMALL) as u16).rev().collect(),
            flows: vec![Flow::IDLE; FLOWS],
            new: EMPTY,
            old: EMPTY,
            len: 0,
            window: 1,
            little: 0,
        }
    }

    /// Begins a new window; returns whether a flow sent something in the last one, and no more than a
    /// little.
    pub(crate) fn end_window(&mut self) -> bool {
        self.window = self.window.wrapping_add(1);
        std::mem::take(&mut self.little) > 0
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where the next packet is to be read to; `None` when there is no room.
    pub(crate) fn room(&mut self) -> Option<&mut [u8]> {
        let slot = *self.free_large.last()?;
        let range = range(slot);
        self.bytes.get_mut(range)
    }

    /// Takes what was read to [`Self::room`].
    pub(crate) fn push(&mut self, taken: Taken) {
        let Some(&large) = self.free_large.last() else { return };
        let start = range(large).start;
        let len = taken.len.min(READ_BUFFER);
        let taken = Taken { len, ..taken };
        let flow = flow_of(&self.bytes[start..start + len]);
        self.count(flow, len);
        let small = if len <= SMALL_BYTES { self.free_small.pop() } else { None };
        let slot = match small {
            Some(small) => {
                self.bytes.copy_within(start..start + len, range(small).start);
                small
            }
            None => {
                self.free_large.pop();
                large
            }
        };
        self.enqueue(slot, taken, flow);
    }

    fn count(&mut self, number: u16, len: usize) {
        let flow = &mut self.flows[usize::from(number)];
        if flow.window != self.window {
            (flow.window, flow.sent) = (self.window, (0, 0));
        }
        let was_little = flow.is_little();
        let (packets, bytes) = flow.sent;
        flow.sent = (packets.saturating_add(1), bytes.saturating_add(len as u32));
        match (was_little, flow.is_little()) {
            (false, true) => self.little += 1,
            (true, false) => self.little = self.little.saturating_sub(1),
            _ => {}
        }
    }

    fn enqueue(&mut self, slot: u16, taken: Taken, number: u16) {
        self.waiting[usize::from(slot)] = Waiting { taken, next: NONE };
        let flow = &mut self.flows[usize::from(number)];
        match flow.slots.last {
            NONE => flow.slots.first = slot,
            last => self.waiting[usize::from(last)].next = slot,
        }
        flow.slots.last = slot;
        if !flow.listed {
            (flow.listed, flow.credit) = (true, QUANTUM);
            append(&mut self.new, &mut self.flows, number);
        }
        self.len += 1;
    }

    /// The next one to be sent.
    pub(crate) fn pop(&mut self) -> Option<Served> {
        loop {
            let is_new = self.new.first != NONE;
            let list = if is_new { &mut self.new } else { &mut self.old };
            let number = list.first;
            let flow = self.flows.get_mut(usize::from(number))?;
            if flow.credit <= 0 {
                flow.credit += QUANTUM;
                detach(list, &mut self.flows);
                append(&mut self.old, &mut self.flows, number);
            } else if flow.slots.first == NONE {
                detach(list, &mut self.flows);
                // One that begins anew at once must not overtake the others each time (RFC 8290 §4.2).
                if is_new && self.old.first != NONE {
                    append(&mut self.old, &mut self.flows, number);
                } else {
                    self.flows[usize::from(number)].listed = false;
                }
            } else {
                return Some(self.take(number));
            }
        }
    }

    fn take(&mut self, number: u16) -> Served {
        let flow = &mut self.flows[usize::from(number)];
        let slot = flow.slots.first;
        let Waiting { taken, next } = self.waiting[usize::from(slot)];
        flow.slots.first = next;
        if next == NONE {
            flow.slots.last = NONE;
        }
        flow.credit -= taken.len as i64;
        self.len -= 1;
        Served { slot, taken }
    }

    /// The bytes of what was taken.
    pub(crate) fn bytes(&mut self, served: Served) -> &mut [u8] {
        let start = range(served.slot).start;
        &mut self.bytes[start..start + served.taken.len]
    }

    /// What was taken has been sent: its room is free again.
    pub(crate) fn release(&mut self, served: Served) {
        let is_large = usize::from(served.slot) < LARGE;
        let free = if is_large { &mut self.free_large } else { &mut self.free_small };
        free.push(served.slot);
    }
}

fn append(list: &mut Chain, flows: &mut [Flow], number: u16) {
    flows[usize::from(number)].next = NONE;
    match list.last {
        NONE => list.first = number,
        last => flows[usize::from(last)].next = number,
    }
    list.last = number;
}

/// Takes the first one off the list.
fn detach(list: &mut Chain, flows: &mut [Flow]) {
    list.first = flows[usize::from(list.first)].next;
    if list.first == NONE {
        list.last = NONE;
    }
}

fn range(slot: u16) -> Range<usize> {
    let slot = usize::from(slot);
    let (start, len) = match slot.checked_sub(LARGE) {
        None => (slot * READ_BUFFER, READ_BUFFER),
        Some(small) => (LARGE * READ_BUFFER + small * SMALL_BYTES, SMALL_BYTES),
    };
    start..start + len
}

/// A number for the flow of a packet, by its addresses, protocol and what ports would be. Anything has
/// one: what is malformed is refused by whoever parses it.
fn flow_of(packet: &[u8]) -> u16 {
    let (addresses, protocol, ports) = match packet.first().map(|byte| byte >> 4) {
        Some(4) => (12..20, 9, usize::from(packet[0] & 15) * 4),
        _ => (8..40, 6, 40),
    };
    let mut hash = u64::from(packet.get(protocol).copied().unwrap_or(0));
    let words = packet.get(addresses).unwrap_or_default().as_chunks::<4>().0;
    let ports = packet.get(ports..).and_then(|rest| rest.first_chunk::<4>());
    for word in words.iter().chain(ports) {
        hash = (hash ^ u64::from(u32::from_ne_bytes(*word))).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        hash ^= hash >> 32;
    }
    (hash % FLOWS as u64) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Puts a packet of a flow with `port` into the queue, `len` bytes, its number at the end.
    fn push(queue: &mut TrainQueue, port: u8, len: usize, number: u8) -> bool {
        let Some(room) = queue.room() else { return false };
        room[..len].fill(0);
        room[0] = 0x45;
        room[23] = port;
        room[len - 1] = number;
        queue.push(Taken { len, left: Left::Nothing });
        true
    }

    fn pop(queue: &mut TrainQueue) -> Option<u8> {
        let served = queue.pop()?;
        let number = *queue.bytes(served).last().expect("a packet");
        queue.release(served);
        Some(number)
    }

    #[test]
    fn a_flow_that_begins_is_served_before_one_that_fills_the_queue() {
        let mut queue = TrainQueue::new();
        for number in 0..40 {
            assert!(push(&mut queue, 1, 60_000, number));
        }
        assert_eq!(
            [pop(&mut queue), pop(&mut queue), pop(&mut queue)],
            [Some(0), Some(1), Some(2)]
        );

        push(&mut queue, 2, 84, 100);

        assert_eq!([pop(&mut queue), pop(&mut queue)], [Some(100), Some(3)]);
    }

    #[test]
    fn a_packet_leaves_the_room_of_a_train_free() {
        let mut queue = TrainQueue::new();
        for number in 0..3 {
            push(&mut queue, 1, 84, number);
        }
        while pop(&mut queue).is_some() {}

        assert_eq!(queue.room().map(|room| room.len()), Some(READ_BUFFER));
        assert!(push(&mut queue, 1, 60_000, 9));
        assert_eq!(pop(&mut queue), Some(9));
    }

    #[test]
    fn ports_tell_flows_apart_wherever_they_stand() {
        let with = |words: u8, fill: u8, port: u8| {
            let mut packet = [0; 80];
            packet[0] = 0x40 | words;
            packet[20..usize::from(words) * 4].fill(fill);
            packet[usize::from(words) * 4 + 3] = port;
            flow_of(&packet)
        };
        for words in [5, 6, 15] {
            assert_eq!(with(words, 1, 80), with(words, 2, 80), "{words} words");
            assert_ne!(with(words, 1, 80), with(words, 1, 81), "{words} words");
        }
        let ipv6 = |port: u8| {
            let mut packet = [0; 80];
            (packet[0], packet[43]) = (0x60, port);
            flow_of(&packet)
        };
        assert_ne!(ipv6(80), ipv6(81));
        assert_eq!(flow_of(&[]), flow_of(&[0x60]), "what is cut short has a number, too");
    }

    #[test]
    fn a_flow_that_begins_is_served_before_all_that_have_had_a_turn() {
        for turns in 4..12 {
            let mut queue = TrainQueue::new();
            for number in 0..30 {
                push(&mut queue, 1, 60_000, number);
                push(&mut queue, 2, 60_000, number);
            }
            for _ in 0..turns {
                pop(&mut queue);
            }

            push(&mut queue, 3, 84, 100);

            assert_eq!(pop(&mut queue), Some(100), "after {turns} trains");
        }
    }

    #[test]
    fn flows_that_fill_the_queue_get_equal_parts_each_in_its_order() {
        let mut queue = TrainQueue::new();
        for number in 0..30 {
            push(&mut queue, 1, 60_000, number);
        }
        for number in 100..130 {
            push(&mut queue, 2, 60_000, number);
        }

        let order: Vec<u8> = std::iter::from_fn(|| pop(&mut queue)).take(20).collect();

        let (first, second): (Vec<u8>, Vec<u8>) = order.iter().partition(|number| **number < 100);
        assert!((9..=11).contains(&first.len()), "{order:?}");
        assert!(first.is_sorted() && second.is_sorted(), "{order:?}");
    }

    #[test]
    fn one_that_sends_again_and_again_does_not_keep_the_others_waiting() {
        let mut queue = TrainQueue::new();
        for number in 0..10 {
            push(&mut queue, 1, 60_000, number);
        }
        let mut served = 0;
        for _ in 0..700 {
            push(&mut queue, 2, 1200, 100);
            served += u32::from(pop(&mut queue).is_some_and(|number| number < 100));
        }
        assert_eq!(served, 10, "packets that come one by one share the line, byte by byte");
    }

    #[test]
    fn who_sends_little_is_told_from_who_sends_much() {
        let mut queue = TrainQueue::new();
        let mut window = |flows: &[(u8, u8)]| {
            for &(port, packets) in flows {
                for number in 0..packets {
                    push(&mut queue, port, 1280, number);
                }
            }
            while pop(&mut queue).is_some() {}
            queue.end_window()
        };

        assert!(!window(&[]));
        assert!(window(&[(1, 1)]));
        assert!(!window(&[(1, 5)]), "they are too many");
        assert!(!window(&[(1, 4)]), "and these too long");
        assert!(window(&[(1, 200), (2, 1)]));
        assert!(!window(&[]), "it is silent again");
    }

    #[test]
    fn what_has_no_room_is_not_read_and_nothing_is_lost() {
        let mut queue = TrainQueue::new();
        let trains = (0..=255).take_while(|&number| push(&mut queue, 1, 60_000, number)).count();
        assert_eq!(trains, LARGE);

        let numbers: Vec<u8> = std::iter::from_fn(|| pop(&mut queue)).collect();

        assert_eq!(numbers, (0..LARGE as u8).collect::<Vec<_>>());
        assert!(queue.is_empty() && queue.room().is_some());
        let small = (0..3000).take_while(|_| push(&mut queue, 1, 1280, 1)).count();
        assert_eq!(small, LARGE + SMALL, "what finds no small slot takes a large one");
        assert_eq!(std::iter::from_fn(|| pop(&mut queue)).count(), small);
    }
}
