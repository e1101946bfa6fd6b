//! Which outside ports there are, and the choice of one that nobody can foretell (R29).

use std::ops::RangeInclusive;

use blake2::{Blake2s256, Digest};

use crate::wheel::Bitmap;

/// A class of ports: one is only exchanged for another of its class (R29, RFC 4787 REQ-3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PortClass {
    /// 1 to 1023; 0 may be kept, but is given to nobody.
    Low,
    /// 1024 to 65535.
    High,
}

impl PortClass {
    pub(super) fn of(port: u16) -> Self {
        if port < 1024 { Self::Low } else { Self::High }
    }

    /// What may be given to a flow that cannot have its own port.
    pub(super) fn ports(self) -> RangeInclusive<u16> {
        match self {
            Self::Low => 1..=1023,
            Self::High => 1024..=u16::MAX,
        }
    }

    /// How many [`Self::ports`] are.
    pub(super) fn size(self) -> u32 {
        u32::from(*self.ports().end()) - u32::from(*self.ports().start()) + 1
    }
}

/// The free ports of a space. It is made when a quarter of the ports are in use, and learns of them a
/// few at a time; it is of use once it knows all.
pub(super) struct PortMap {
    free: Bitmap,
    /// The first port that was not looked at.
    unknown: u32,
    end: u32,
}

impl PortMap {
    pub(super) fn new(class: PortClass) -> Self {
        let (unknown, last) = (u32::from(*class.ports().start()), u32::from(*class.ports().end()));
        Self { free: Bitmap::new(last as usize + 1), unknown, end: last + 1 }
    }

    /// The next port to look at, if any is unknown.
    pub(super) fn unknown(&self) -> Option<u16> {
        if self.unknown < self.end { u16::try_from(self.unknown).ok() } else { None }
    }

    /// Notes whether the next unknown port is free.
    pub(super) fn learn(&mut self, is_free: bool) {
        if is_free {
            self.free.set(self.unknown as usize);
        }
        self.unknown += 1;
    }

    pub(super) fn set_free(&mut self, port: u16) {
        if port != 0 && u32::from(port) < self.unknown {
            self.free.set(port.into());
        }
    }

    pub(super) fn set_used(&mut self, port: u16) {
        self.free.clear(port.into());
    }

    /// The first free port from `start` on, cyclically. O(1).
    pub(super) fn free_from(&self, start: u16) -> Option<u16> {
        let found = self.free.next_from(start.into()).or_else(|| self.free.next_from(0))?;
        u16::try_from(found).ok()
    }
}

/// Random ports: BLAKE2s over the seed and a counter, sixteen to a block, so that who sees some cannot
/// foretell others.
pub(super) struct PortSource {
    seed: u64,
    block: [u8; 32],
    counter: u64,
    used: usize,
}

impl PortSource {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, block: [0; 32], counter: 0, used: 32 }
    }

    /// A random port of the class.
    pub(super) fn draw(&mut self, class: PortClass) -> u16 {
        if self.used == self.block.len() {
            let hash = Blake2s256::new()
                .chain_update(b"outside ports")
                .chain_update(self.seed.to_le_bytes())
                .chain_update(self.counter.to_le_bytes());
            self.block.copy_from_slice(&hash.finalize());
            (self.counter, self.used) = (self.counter + 1, 0);
        }
        let bytes = [self.block[self.used], self.block[self.used + 1]];
        self.used += 2;
        let (first, last) = (u32::from(*class.ports().start()), u32::from(*class.ports().end()));
        // Multiplied and shifted rather than divided: each port comes for one or two of 65,536 values.
        let offset = (u32::from(u16::from_le_bytes(bytes)) * (last - first + 1)) >> 16;
        (first + offset) as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r29_drawn_ports_are_of_their_class_and_spread() {
        let mut source = PortSource::new(1);
        for class in [PortClass::Low, PortClass::High] {
            let drawn: Vec<u16> = (0..2000).map(|_| source.draw(class)).collect();
            assert!(drawn.iter().all(|port| class.ports().contains(port)));
            let middle = class.ports().start().midpoint(*class.ports().end());
            let low = drawn.iter().filter(|port| **port < middle).count();
            assert!((850..1150).contains(&low), "{low}");
        }
    }

    #[test]
    fn r29_the_last_free_port_is_found_from_anywhere() {
        let mut map = PortMap::new(PortClass::High);
        while let Some(port) = map.unknown() {
            map.learn(port == 5000);
        }
        assert_eq!(map.free_from(5001), Some(5000));
        assert_eq!(map.free_from(1024), Some(5000));
        map.set_used(5000);
        assert_eq!(map.free_from(1024), None);
        map.set_free(60_000);
        assert_eq!(map.free_from(1024), Some(60_000));
    }
}
