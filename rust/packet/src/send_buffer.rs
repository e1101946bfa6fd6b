//! Where datagrams are written before they are sent: one allocation, filled front to back, as runs
//! that the kernel can cut up itself (UDP GSO). Owned by `runtime` or a test, handed down.

use std::net::{IpAddr, SocketAddr};

/// Most bytes in one UDP send, also when the kernel cuts it up (65535 - 20 - 8; more: EMSGSIZE).
pub const MAX_RUN_BYTES: usize = 65_507;
/// Most datagrams in one UDP send (Linux `UDP_MAX_SEGMENTS`).
pub const MAX_RUN_SLOTS: usize = 128;

/// What a datagram carries, so that a link or a queue can treat the two apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Handshakes, keep-alives and p2p control messages.
    Control,
    /// Packets of applications.
    Data,
}

/// Between which addresses datagrams travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The other end.
    pub remote: SocketAddr,
    /// The address of this host at this end; `None` leaves it to the kernel.
    pub local: Option<IpAddr>,
}

impl From<SocketAddr> for Route {
    /// To `remote`, from whichever address the kernel chooses.
    fn from(remote: SocketAddr) -> Self {
        Self { remote, local: None }
    }
}

/// Consecutive datagrams to one peer, all of one size but the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Where they go, and from where.
    pub route: Route,
    /// Offset of the first byte in the buffer.
    pub start: usize,
    /// Bytes of all datagrams together.
    pub len: usize,
    /// Bytes of each datagram but the last, which may be shorter.
    pub datagram_size: usize,
    /// ECN bits of the outer IP header.
    pub ecn: u8,
    /// What the datagrams carry.
    pub class: Class,
}

impl Run {
    /// Number of datagrams.
    pub fn datagrams(&self) -> usize {
        self.len.div_ceil(self.datagram_size.max(1))
    }

    /// Whether `next`, written right behind, can be sent with this one.
    fn continues_with(&self, next: &Self) -> bool {
        let alike = (self.route, self.ecn, self.class) == (next.route, next.ecn, next.class);
        let fits = self.len + next.len <= MAX_RUN_BYTES
            && self.datagrams() + next.datagrams() <= MAX_RUN_SLOTS;
        let is_shorter_last = next.len <= self.datagram_size;
        let sizes = next.datagram_size == self.datagram_size || is_shorter_last;
        let is_data = self.class == Class::Data;
        is_data && alike && fits && sizes && self.len.is_multiple_of(self.datagram_size)
    }
}

/// Datagrams waiting to be sent, as runs in one buffer.
#[derive(Debug)]
pub struct SendBuffer {
    bytes: Vec<u8>,
    used: usize,
    runs: Vec<Run>,
    max_runs: usize,
}

impl SendBuffer {
    /// A buffer for `bytes` bytes in at most `runs` runs; nothing is allocated later.
    pub fn new(bytes: usize, runs: usize) -> Self {
        Self { bytes: vec![0; bytes], used: 0, runs: Vec::with_capacity(runs), max_runs: runs }
    }

    /// Bytes that still fit; 0 when all runs are taken.
    pub fn room(&self) -> usize {
        if self.runs.len() < self.max_runs { self.bytes.len() - self.used } else { 0 }
    }

    /// Runs that may still be opened.
    pub fn free_runs(&self) -> usize {
        self.max_runs - self.runs.len()
    }

    /// Bytes that wait to be sent.
    pub fn used(&self) -> usize {
        self.used
    }

    /// How many datagrams of `slot_len` bytes the last run could take in, if any.
    pub fn slots_to_join(
        &self,
        route: Route,
        ecn: u8,
        class: Class,
        slot_len: usize,
    ) -> Option<usize> {
        let last = self.runs.last()?;
        let next =
            Run { route, start: self.used, len: slot_len, datagram_size: slot_len, ecn, class };
        let slots = (MAX_RUN_SLOTS - last.datagrams()).min((MAX_RUN_BYTES - last.len) / slot_len);
        (last.datagram_size == slot_len && last.continues_with(&next)).then_some(slots)
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Forgets all runs; the memory is used again.
    pub fn clear(&mut self) {
        self.used = 0;
        self.runs.clear();
    }

    /// Each run with its bytes, in the order of writing.
    pub fn iter(&self) -> impl Iterator<Item = (&Run, &[u8])> {
        self.runs.iter().map(|run| (run, &self.bytes[run.start..run.start + run.len]))
    }

    /// Room for `slots` datagrams of `slot_len` bytes, the last of `last_len`, to be written in place.
    ///
    /// `None` if the buffer is full (bytes or runs), if the run could not be one send (more than
    /// [`MAX_RUN_BYTES`] or [`MAX_RUN_SLOTS`]), or if `slots` or a length is 0 or the last is longer
    /// than the others.
    pub fn open_run(
        &mut self,
        route: impl Into<Route>,
        ecn: u8,
        class: Class,
        slots: usize,
        slot_len: usize,
        last_len: usize,
    ) -> Option<OpenRun<'_>> {
        if slots == 0 || slots > MAX_RUN_SLOTS || last_len == 0 || last_len > slot_len {
            return None;
        }
        let len = slot_len.checked_mul(slots - 1)?.checked_add(last_len)?;
        if len > MAX_RUN_BYTES || len > self.room() {
            return None;
        }
        let route = route.into();
        let run = Run { route, start: self.used, len, datagram_size: slot_len, ecn, class };
        Some(OpenRun { buffer: self, run, slots })
    }
}

/// A run under construction. Dropping it means that nothing was written.
#[derive(Debug)]
pub struct OpenRun<'a> {
    buffer: &'a mut SendBuffer,
    run: Run,
    slots: usize,
}

impl OpenRun<'_> {
    /// Number of datagrams.
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// Bytes of each slot but the last.
    pub fn slot_len(&self) -> usize {
        self.run.datagram_size
    }

    /// The bytes of slot `i`, with whatever an earlier run left there; empty beyond the last slot.
    pub fn slot(&mut self, i: usize) -> &mut [u8] {
        let size = self.run.datagram_size;
        let bytes = self.bytes();
        let start = i.saturating_mul(size).min(bytes.len());
        let end = (start + size).min(bytes.len());
        &mut bytes[start..end]
    }

    /// All slots as they lie, one after the other, for sealing in one call.
    pub fn bytes(&mut self) -> &mut [u8] {
        &mut self.buffer.bytes[self.run.start..self.run.start + self.run.len]
    }

    /// The slots are complete: they are part of the buffer from now on. They join the run before them
    /// if both could be one send, so that packets that came one by one leave together.
    pub fn commit(self) {
        self.buffer.used += self.run.len;
        match self.buffer.runs.last_mut() {
            Some(last) if last.continues_with(&self.run) => last.len += self.run.len,
            _ => self.buffer.runs.push(self.run),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const REMOTE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9);

    fn open(buffer: &mut SendBuffer, slots: usize, len: usize, last: usize) -> Option<OpenRun<'_>> {
        buffer.open_run(REMOTE, 1, Class::Data, slots, len, last)
    }

    #[test]
    fn committed_runs_lie_one_behind_the_other() {
        let mut buffer = SendBuffer::new(100, 4);
        for (slots, last, fill) in [(3, 5, 1), (1, 10, 2)] {
            let mut run = open(&mut buffer, slots, 10, last).unwrap();
            for i in 0..run.slots() {
                run.slot(i).fill(fill + 10 * i as u8);
            }
            assert!(run.slot(slots).is_empty());
            run.commit();
        }
        let runs: Vec<_> = buffer.iter().map(|(run, bytes)| (*run, bytes.to_vec())).collect();
        let expected = [&[1; 10][..], &[11; 10], &[21; 5]].concat();
        assert_eq!((runs[0].0.start, runs[0].0.len, runs[0].0.datagram_size), (0, 25, 10));
        assert_eq!((&runs[0].1, &runs[1].1), (&expected, &vec![2; 10]));
        assert_eq!((runs[1].0.start, buffer.room()), (25, 65));
        buffer.clear();
        assert_eq!((buffer.is_empty(), buffer.room()), (true, 100));
    }

    #[test]
    fn runs_that_can_be_one_send_become_one() {
        let mut buffer = SendBuffer::new(300_000, 8);
        let mut sizes = |runs: &[(usize, usize, usize, u8)]| {
            buffer.clear();
            for &(slots, len, last, ecn) in runs {
                buffer.open_run(REMOTE, ecn, Class::Data, slots, len, last).unwrap().commit();
            }
            let sizes: Vec<_> = buffer.iter().map(|(r, _)| (r.len, r.datagram_size)).collect();
            sizes
        };

        assert_eq!(sizes(&[(1, 10, 10, 0), (1, 10, 10, 0), (2, 10, 4, 0)]), [(34, 10)]);
        assert_eq!(sizes(&[(2, 10, 10, 0), (1, 3, 3, 0)]), [(23, 10)], "shorter, at the end");
        assert_eq!(sizes(&[(2, 10, 9, 0), (1, 9, 9, 0)]).len(), 2, "that was the last one");
        assert_eq!(sizes(&[(1, 10, 10, 0), (1, 11, 11, 0)]).len(), 2, "it is longer");
        assert_eq!(sizes(&[(1, 10, 10, 0), (1, 10, 10, 1)]).len(), 2, "another mark");
        assert_eq!(sizes(&[(100, 10, 10, 0), (28, 10, 10, 0), (1, 10, 10, 0)]).len(), 2);
        assert_eq!(sizes(&[(50, 1300, 1300, 0), (1, 1300, 1300, 0)]).len(), 2);
        assert_eq!(buffer.room(), 300_000 - 51 * 1300, "no byte is used twice");
    }

    #[test]
    fn a_dropped_run_was_never_there() {
        let mut buffer = SendBuffer::new(100, 4);
        assert!(open(&mut buffer, 2, 10, 10).is_some());
        assert_eq!((buffer.is_empty(), buffer.room()), (true, 100));
    }

    #[test]
    fn what_no_kernel_would_send_is_refused() {
        let mut buffer = SendBuffer::new(200_000, 4);
        assert!(open(&mut buffer, 0, 10, 10).is_none());
        assert!(open(&mut buffer, 129, 10, 10).is_none());
        assert!(open(&mut buffer, 128, 10, 10).is_some());
        assert!(open(&mut buffer, 2, 10, 0).is_none());
        assert!(open(&mut buffer, 2, 0, 0).is_none());
        assert!(open(&mut buffer, 2, 10, 11).is_none());
        assert!(open(&mut buffer, 50, 1311, 1268).is_some());
        assert!(open(&mut buffer, 50, 1311, 1269).is_none());
        assert!(open(&mut buffer, 2, usize::MAX, 1).is_none());
    }

    #[test]
    fn a_full_buffer_says_so() {
        let mut buffer = SendBuffer::new(25, 2);
        assert!(open(&mut buffer, 2, 13, 13).is_none());
        for len in [9, 10] {
            open(&mut buffer, 1, len, len).unwrap().commit();
        }
        assert_eq!(buffer.room(), 0, "no run is left, though bytes are");
        assert!(open(&mut buffer, 1, 1, 1).is_none());
    }
}
