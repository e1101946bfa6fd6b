//! The records of flows and resting ports: one cache line each for what packets need, and beside it
//! what only changes of state need.

use packet::{Instant, Protocol, Summary};

use super::key::{Ends, Kind};
use super::pool::Chunks;
use super::state::State;
use super::types::{Direction, Traffic};
use crate::wheel::{Link, Links, NONE, Packed, Shared};

const NANOS_PER_MILLI: u64 = 1_000_000;

/// What a packet needs: a cache line. Numbers that packets change share words with what stands still.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(super) struct Record {
    /// Of its inside tuple; the outside one has another port.
    pub(super) ends: Ends,
    pub(super) proxy: u32,
    pub(super) real: u32,
    pub(super) epoch: u32,
    pub(super) tag: u32,
    /// Outbound, and the outside port.
    bytes_out: Shared<16>,
    /// Inbound, and state and generation.
    bytes_in: Shared<16>,
    /// Outbound, and the entry before this one in its slot of the wheel.
    packets_out: Shared<24>,
    /// Inbound, and the entry behind.
    packets_in: Shared<24>,
    /// Milliseconds: the last packet, or when the rest began. And the next one to its proxy address.
    last_seen: Shared<24>,
}

/// What only changes of state need.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cold {
    proxy_previous: Packed<3>,
    peer: Link,
    space: Link,
    /// Milliseconds.
    opened: Packed<5>,
}

const _: () = assert!(size_of::<Record>() == 64 && size_of::<Cold>() == 20);

impl Record {
    const FREE: Self = Self {
        ends: Ends::ZERO,
        proxy: 0,
        real: 0,
        epoch: 0,
        tag: 0,
        bytes_out: Shared::over(0),
        bytes_in: Shared::over(0),
        packets_out: Shared::over(NONE as u64),
        packets_in: Shared::over(NONE as u64),
        last_seen: Shared::over(NONE as u64),
    };

    /// A record that stands for nothing yet.
    pub(super) fn new(ends: Ends, state: State) -> Self {
        let mut record = Self { ends, ..Self::FREE };
        record.set_state(state);
        record
    }

    #[inline]
    pub(super) fn state(&self) -> State {
        State::from_byte(self.bytes_in.low() as u8)
    }

    #[inline]
    pub(super) fn set_state(&mut self, state: State) {
        self.bytes_in.set_low(self.bytes_in.low() & !0xFF | u64::from(state.bits()));
    }

    #[inline]
    pub(super) fn generation(&self) -> u8 {
        (self.bytes_in.low() >> 8) as u8
    }

    pub(super) fn set_generation(&mut self, generation: u8) {
        self.bytes_in.set_low(self.bytes_in.low() & 0xFF | u64::from(generation) << 8);
    }

    /// Makes all handles void.
    pub(super) fn next_generation(&mut self) {
        self.set_generation(self.generation().wrapping_add(1));
    }

    #[inline]
    pub(super) fn outside_port(&self) -> u16 {
        self.bytes_out.low() as u16
    }

    pub(super) fn set_outside_port(&mut self, port: u16) {
        self.bytes_out.set_low(port.into());
    }

    #[inline]
    pub(super) fn peer(&self) -> u32 {
        self.ends.peer()
    }

    #[inline]
    pub(super) fn kind(&self) -> Kind {
        self.ends.kind()
    }

    #[inline]
    pub(super) fn is_ipv6(&self) -> bool {
        self.ends.kind().is_ipv6()
    }

    #[inline]
    pub(super) fn client_port(&self) -> u16 {
        self.ends.port()
    }

    #[inline]
    pub(super) fn remote_port(&self) -> u16 {
        self.ends.remote()
    }

    #[inline]
    pub(super) fn protocol(&self) -> Protocol {
        self.kind().protocol()
    }

    /// Counts a train.
    #[inline]
    pub(super) fn count(&mut self, direction: Direction, bytes: u64, packets: u32) {
        let (counted, number) = match direction {
            Direction::Outbound => (&mut self.bytes_out, &mut self.packets_out),
            Direction::Inbound => (&mut self.bytes_in, &mut self.packets_in),
        };
        counted.add(bytes);
        number.add(packets.into());
    }

    /// Notes a train of a live flow: counts it, and what it shows. Returns the state, if it is of another
    /// class: then the lists have to know first.
    #[inline(always)]
    pub(super) fn note(
        &mut self,
        direction: Direction,
        summary: &Summary,
        (bytes, packets): (u64, u32),
        now: Instant,
    ) -> Option<State> {
        self.count(direction, bytes, packets);
        self.touch(now);
        let before = self.state();
        let state = before.after(&summary.transport, direction);
        if state == before {
            return None;
        }
        if state.class() != before.class() {
            return Some(state);
        }
        self.set_state(state);
        None
    }

    /// From the Client, and to it.
    pub(super) fn traffic(&self) -> [Traffic; 2] {
        [
            Traffic { bytes: self.bytes_out.get(), packets: self.packets_out.get() },
            Traffic { bytes: self.bytes_in.get(), packets: self.packets_in.get() },
        ]
    }

    pub(super) fn set_traffic(&mut self, [outbound, inbound]: [Traffic; 2]) {
        self.bytes_out.set(outbound.bytes);
        self.packets_out.set(outbound.packets);
        self.bytes_in.set(inbound.bytes);
        self.packets_in.set(inbound.packets);
    }

    /// Milliseconds of the last packet, or of the beginning of the rest.
    #[inline]
    pub(super) fn last_seen(&self) -> u64 {
        self.last_seen.get()
    }

    pub(super) fn set_last_seen(&mut self, millis: u64) {
        self.last_seen.set(millis);
    }

    /// Notes a packet. The time is rounded up, so that no time-out comes early.
    #[inline]
    pub(super) fn touch(&mut self, now: Instant) {
        let now = millis_up(now);
        if now > self.last_seen.get() {
            self.last_seen.set(now);
        }
    }

    /// Milliseconds at which the flow times out or the rest ends.
    #[inline]
    pub(super) fn deadline(&self) -> u64 {
        self.last_seen.get() + self.state().lifetime(self.kind())
    }

    #[inline]
    pub(super) fn is_due(&self, now: Instant) -> bool {
        now.as_nanos() / NANOS_PER_MILLI >= self.deadline()
    }
}

/// Milliseconds on the clock, rounded up.
#[inline]
pub(super) fn millis_up(now: Instant) -> u64 {
    now.as_nanos().div_ceil(NANOS_PER_MILLI)
}

pub(super) fn instant(millis: u64) -> Instant {
    Instant::from_nanos(millis.saturating_mul(NANOS_PER_MILLI))
}

/// The lists that a record can be in.
#[derive(Clone, Copy)]
pub(super) enum Chain {
    /// A slot of the timer wheel.
    Wheel,
    /// Its peer's unanswered, closed or resting ones.
    Peer,
    /// The same of its port space, and the answered ones.
    Space,
    /// Those to its proxy address.
    Proxy,
}

/// The slab.
pub(super) struct Records {
    hot: Chunks<Record, 1024>,
    cold: Chunks<Cold, 1024>,
    free: u32,
}

impl Records {
    pub(super) fn new() -> Self {
        Self { hot: Chunks::new(), cold: Chunks::new(), free: NONE }
    }

    /// Places there are, used or not.
    pub(super) fn capacity(&self) -> u32 {
        self.hot.capacity()
    }

    /// A record, if there is such a place.
    #[inline]
    pub(super) fn get(&self, place: u32) -> Option<&Record> {
        self.hot.get(place)
    }

    pub(super) fn insert(&mut self, record: Record, opened: Instant) -> u32 {
        if self.free == NONE {
            self.grow();
        }
        let place = self.free;
        self.free = self.hot[place].proxy;
        let generation = self.hot[place].generation();
        self.hot[place] = record;
        self.hot[place].set_generation(generation);
        self.cold[place] = Cold { opened: Packed::saturating(millis_up(opened)), ..LOOSE };
        place
    }

    /// Gives a place back. Its generation has changed by then, so that handles are void.
    pub(super) fn remove(&mut self, place: u32) {
        let record = &mut self.hot[place];
        record.set_state(State::FREE);
        record.proxy = self.free;
        self.free = place;
    }

    pub(super) fn opened(&self, place: u32) -> Instant {
        instant(self.cold[place].opened.get())
    }

    /// The record behind one in the list of its peer.
    pub(super) fn behind_in_peer(&self, place: u32) -> u32 {
        self.cold[place].peer.next.get() as u32
    }

    /// The links of one kind of list.
    pub(super) fn chain(&mut self, chain: Chain) -> Chained<'_> {
        Chained { records: self, chain }
    }

    fn grow(&mut self) {
        let start = self.capacity();
        self.hot.grow(|| Record::FREE);
        self.cold.grow(|| LOOSE);
        for place in (start..self.capacity()).rev() {
            self.hot[place].proxy = self.free;
            self.free = place;
        }
    }
}

const LOOSE: Cold = Cold {
    proxy_previous: Link::LOOSE.previous,
    peer: Link::LOOSE,
    space: Link::LOOSE,
    opened: Packed::zero(),
};

impl std::ops::Index<u32> for Records {
    type Output = Record;

    #[inline]
    fn index(&self, place: u32) -> &Record {
        &self.hot[place]
    }
}

impl std::ops::IndexMut<u32> for Records {
    #[inline]
    fn index_mut(&mut self, place: u32) -> &mut Record {
        &mut self.hot[place]
    }
}

/// The records seen as entries of lists of one kind.
pub(super) struct Chained<'a> {
    records: &'a mut Records,
    chain: Chain,
}

impl Links for Chained<'_> {
    fn previous(&self, place: u32) -> u32 {
        let Records { hot, cold, .. } = &*self.records;
        let link = match self.chain {
            Chain::Wheel => hot[place].packets_out.low(),
            Chain::Peer => cold[place].peer.previous.get(),
            Chain::Space => cold[place].space.previous.get(),
            Chain::Proxy => cold[place].proxy_previous.get(),
        };
        link as u32
    }

    fn next(&self, place: u32) -> u32 {
        let Records { hot, cold, .. } = &*self.records;
        let link = match self.chain {
            Chain::Wheel => hot[place].packets_in.low(),
            Chain::Peer => cold[place].peer.next.get(),
            Chain::Space => cold[place].space.next.get(),
            Chain::Proxy => hot[place].last_seen.low(),
        };
        link as u32
    }

    fn set_previous(&mut self, place: u32, previous: u32) {
        let Records { hot, cold, .. } = &mut *self.records;
        match self.chain {
            Chain::Wheel => hot[place].packets_out.set_low(previous.into()),
            Chain::Peer => cold[place].peer.previous.set(previous.into()),
            Chain::Space => cold[place].space.previous.set(previous.into()),
            Chain::Proxy => cold[place].proxy_previous.set(previous.into()),
        }
    }

    fn set_next(&mut self, place: u32, next: u32) {
        let Records { hot, cold, .. } = &mut *self.records;
        match self.chain {
            Chain::Wheel => hot[place].packets_in.set_low(next.into()),
            Chain::Peer => cold[place].peer.next.set(next.into()),
            Chain::Space => cold[place].space.next.set(next.into()),
            Chain::Proxy => hot[place].last_seen.set_low(next.into()),
        }
    }
}
