//! One direction of a path between two peers.

use packet::{Class, Instant, MAX_RUN_BYTES, Run};

use crate::config::LinkConfig;
use crate::flight::Flight;
use crate::line::{Fate, Line};

/// Datagrams of one class, by what became of them. `sent + duplicated` is the sum of `delivered`,
/// `lost`, `tail_dropped` and what is under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Handed to [`Link::send`].
    pub sent: u64,
    /// Handed out, copies included.
    pub delivered: u64,
    /// Lost behind the queue.
    pub lost: u64,
    /// Copies made of those that were not lost.
    pub duplicated: u64,
    /// Held back while others could pass.
    pub reordered: u64,
    /// Refused by a full queue.
    pub tail_dropped: u64,
}

/// One direction of a path between two peers.
///
/// The contract of the other state machines holds: after any call, [`Self::receive`] until it gives
/// nothing, then come again at [`Self::poll_timeout`]. `now` must not go back.
#[derive(Debug)]
pub struct Link {
    control: (Line, Counters),
    data: (Line, Counters),
    flight: Flight,
}

impl Link {
    /// An idle link. The two directions of a path need different seeds.
    pub fn new(config: LinkConfig, seed: u64) -> Self {
        let line = |impairment, class| (Line::new(impairment, seed, class), Counters::default());
        Self {
            control: line(config.control, Class::Control),
            data: line(config.data, Class::Data),
            flight: Flight::default(),
        }
    }

    /// Takes one datagram, copied.
    pub fn send(&mut self, datagram: &[u8], class: Class, now: Instant) {
        let (line, counters) = match class {
            Class::Control => &mut self.control,
            Class::Data => &mut self.data,
        };
        counters.sent += 1;
        match line.admit(datagram.len(), now) {
            Fate::TailDropped => counters.tail_dropped += 1,
            Fate::Lost => counters.lost += 1,
            Fate::Arrives { at, copies, is_reordered } => {
                counters.duplicated += u64::from(copies - 1);
                counters.reordered += u64::from(is_reordered);
                for _ in 0..copies {
                    self.flight.push(datagram, class, at);
                }
            }
        }
    }

    /// Takes the datagrams of a run as a [`packet::SendBuffer`] holds it, wherever they go.
    pub fn send_run(&mut self, run: &Run, bytes: &[u8], now: Instant) {
        for datagram in bytes.chunks(run.datagram_size.max(1)) {
            self.send(datagram, run.class, now);
        }
    }

    /// When the next datagram arrives.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.flight.next_at()
    }

    /// The next datagram that has arrived by `now`: `into` holds it and nothing else afterwards. Its
    /// class and its length are returned.
    pub fn receive(&mut self, now: Instant, into: &mut Vec<u8>) -> Option<(Class, usize)> {
        into.clear();
        self.take(now, into)
    }

    /// As many datagrams as one GRO receive would give: consecutive ones of one class and one size,
    /// of which the last may be shorter, one behind the other in `into`. Their class and the size of
    /// all but the last are returned.
    pub fn receive_run(&mut self, now: Instant, into: &mut Vec<u8>) -> Option<(Class, usize)> {
        let (class, size) = self.receive(now, into)?;
        let mut len = size;
        while let Some((next, bytes)) = self.flight.peek(now) {
            let fits = !bytes.is_empty() && bytes.len() <= size;
            if next != class || len < size || !fits || into.len() + bytes.len() > MAX_RUN_BYTES {
                break;
            }
            len = self.take(now, into)?.1;
        }
        Some((class, size))
    }

    /// What became of the datagrams of `class`.
    pub fn counters(&self, class: Class) -> Counters {
        match class {
            Class::Control => self.control.1,
            Class::Data => self.data.1,
        }
    }

    /// Datagrams and copies under way.
    pub fn in_flight(&self) -> usize {
        self.flight.len()
    }

    /// Moves the next datagram behind what `into` holds.
    fn take(&mut self, now: Instant, into: &mut Vec<u8>) -> Option<(Class, usize)> {
        let (class, bytes) = self.flight.peek(now)?;
        let len = bytes.len();
        into.extend_from_slice(bytes);
        self.flight.pop();
        match class {
            Class::Control => self.control.1.delivered += 1,
            Class::Data => self.data.1.delivered += 1,
        }
        Some((class, len))
    }
}
