//! The records of flows and resting ports: one cache line each for what packets need, and beside it
//! what only changes of state need.

use packet::{Instant, Protocol};

use super::key::Kind;
use super::pool::Chunks;
use super::state::State;
use super::types::Traffic;
use crate::wheel::{Link, Links, NONE, Packed};

const NANOS_PER_MILLI: u64 = 1_000_000;

/// What a packet needs: a cache line.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(super) struct Record {
    peer: Packed<3>,
    pub(super) kind: Kind,
    pub(super) state: State,
    pub(super) generation: u8,
    pub(super) client_port: u16,
    pub(super) remote_port: u16,
    pub(super) outside_port: u16,
    pub(super) proxy: u32,
    pub(super) real: u32,
    pub(super) epoch: u32,
    pub(super) tag: u32,
    bytes: [Packed<6>; 2],
    packets: [Packed<5>; 2],
    /// Milliseconds: the last packet, or when the rest began.
    last_seen: Packed<5>,
    wheel: Link,
    proxy_next: Packed<3>,
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
        peer: Packed::zero(),
        kind: Kind::ZERO,
        state: State::FREE,
        generation: 0,
        client_port: 0,
        remote_port: 0,
        outside_port: 0,
        proxy: 0,
        real: 0,
        epoch: 0,
        tag: 0,
        bytes: [Packed::zero(); 2],
        packets: [Packed::zero(); 2],
        last_seen: Packed::zero(),
        wheel: Link::LOOSE,
        proxy_next: Link::LOOSE.next,
    };

    /// A record that stands for nothing yet.
    pub(super) fn new(peer: u32, kind: Kind, state: State) -> Self {
        Self { peer: Packed::saturating(peer.into()), kind, state, ..Self::FREE }
    }

    #[inline]
    pub(super) fn peer(&self) -> u32 {
        self.peer.get() as u32
    }

    #[inline]
    pub(super) fn protocol(&self) -> Protocol {
        self.kind.protocol()
    }

    /// Counts a train; `way` is 0 for outbound, 1 for inbound.
    #[inline]
    pub(super) fn count(&mut self, way: usize, bytes: u64, packets: u32) {
        self.bytes[way].set(self.bytes[way].get().saturating_add(bytes));
        self.packets[way].set(self.packets[way].get().saturating_add(packets.into()));
    }

    pub(super) fn traffic(&self, way: usize) -> Traffic {
        Traffic { bytes: self.bytes[way].get(), packets: self.packets[way].get() }
    }

    pub(super) fn set_traffic(&mut self, traffic: [Traffic; 2]) {
        for (way, counted) in traffic.into_iter().enumerate() {
            self.bytes[way].set(counted.bytes);
            self.packets[way].set(counted.packets);
        }
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
        self.last_seen.set(millis_up(now).max(self.last_seen.get()));
    }

    /// Milliseconds at which the flow times out or the rest ends.
    #[inline]
    pub(super) fn deadline(&self) -> u64 {
        self.last_seen.get() + self.state.lifetime(self.protocol())
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

    pub(super) fn insert(&mut self, record: Record, opened: Instant) -> u32 {
        if self.free == NONE {
            self.grow();
        }
        let place = self.free;
        self.free = self.hot[place].proxy;
        let generation = self.hot[place].generation;
        self.hot[place] = Record { generation, ..record };
        self.cold[place] = Cold { opened: Packed::saturating(millis_up(opened)), ..LOOSE };
        place
    }

    /// Gives a place back. Its generation has changed by then, so that handles are void.
    pub(super) fn remove(&mut self, place: u32) {
        let record = &mut self.hot[place];
        record.state = State::FREE;
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

impl Chained<'_> {
    fn previous_mut(&mut self, place: u32) -> &mut Packed<3> {
        let Records { hot, cold, .. } = &mut *self.records;
        match self.chain {
            Chain::Wheel => &mut hot[place].wheel.previous,
            Chain::Peer => &mut cold[place].peer.previous,
            Chain::Space => &mut cold[place].space.previous,
            Chain::Proxy => &mut cold[place].proxy_previous,
        }
    }

    fn next_mut(&mut self, place: u32) -> &mut Packed<3> {
        let Records { hot, cold, .. } = &mut *self.records;
        match self.chain {
            Chain::Wheel => &mut hot[place].wheel.next,
            Chain::Peer => &mut cold[place].peer.next,
            Chain::Space => &mut cold[place].space.next,
            Chain::Proxy => &mut hot[place].proxy_next,
        }
    }
}

impl Links for Chained<'_> {
    fn previous(&self, place: u32) -> u32 {
        let Records { hot, cold, .. } = &*self.records;
        let link = match self.chain {
            Chain::Wheel => hot[place].wheel.previous,
            Chain::Peer => cold[place].peer.previous,
            Chain::Space => cold[place].space.previous,
            Chain::Proxy => cold[place].proxy_previous,
        };
        link.get() as u32
    }

    fn next(&self, place: u32) -> u32 {
        let Records { hot, cold, .. } = &*self.records;
        let link = match self.chain {
            Chain::Wheel => hot[place].wheel.next,
            Chain::Peer => cold[place].peer.next,
            Chain::Space => cold[place].space.next,
            Chain::Proxy => hot[place].proxy_next,
        };
        link.get() as u32
    }

    fn set_previous(&mut self, place: u32, previous: u32) {
        self.previous_mut(place).set(previous.into());
    }

    fn set_next(&mut self, place: u32, next: u32) {
        self.next_mut(place).set(next.into());
    }
}
