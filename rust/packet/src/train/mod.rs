//! The unit that travels through `tunnel` and `nat`: consecutive packets of one flow and direction,
//! decided on once, by their first header. It borrows the buffer that the packets were read into.

mod run;
mod segment;
mod write;

pub use run::MAX_RUN_PACKETS;

use std::ops::Range;

use crate::parse::parse_up_to;
use crate::wire::{Ipv6Header, field};
use crate::{MAX_PACKET, Malformed, Rewrite, Summary, TcpFlags, Transport};

/// Longest super-packet: what the length field of IPv6 can tell, and the header in front.
const MAX_SUPER_PACKET: usize = 65_535 + Ipv6Header::LEN;

/// How the checksums of a train's packets stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// Each packet has its own, complete one.
    Whole,
    /// The field holds the sum of the pseudo-header, not complemented, as virtio-net's
    /// `NEEDS_CSUM` has it; [`Train::write_segment`] completes it.
    Partial,
}

/// Consecutive packets of one flow and direction that differ only in length (the last may be
/// shorter), IPv4 identification, sequence number, checksum, and PSH or FIN on the last.
/// A lone packet is a train of one.
#[derive(Debug)]
pub struct Train<'a> {
    buffer: &'a mut [u8],
    /// The first packet, or the whole super-packet, within `buffer`.
    first: Range<usize>,
    /// All packets of a run of more than one; else empty.
    packets: &'a [(u32, u32)],
    summary: Summary,
    checksum: Checksum,
    segment_size: usize,
    segments: usize,
}

impl<'a> Train<'a> {
    /// One whole packet with whole checksums, right or wrong.
    ///
    /// # Errors
    /// As [`crate::parse()`].
    pub fn single(bytes: &'a mut [u8]) -> Result<Self, Malformed> {
        let summary = crate::parse(bytes)?;
        let first = 0..bytes.len();
        Ok(Self::new(bytes, first, summary))
    }

    /// One TCP or UDP header in front of the payload of many packets (TSO, USO), as virtio-net hands
    /// it: the checksum is partial. `segment_size` is the payload bytes per packet; 0 means a lone
    /// packet with a partial checksum.
    ///
    /// # Errors
    /// As [`crate::parse()`]; [`Malformed::TooLong`] if a segment would be, and
    /// [`Malformed::NotSegmentable`] for other protocols and for flags that only one packet may have.
    pub fn super_packet(bytes: &'a mut [u8], segment_size: u16) -> Result<Self, Malformed> {
        let summary = parse_up_to(bytes, MAX_SUPER_PACKET)?;
        let first = 0..bytes.len();
        let mut train = Self::new(bytes, first, summary);
        train.checksum = Checksum::Partial;
        let (payload, segment_size) = (train.segment_size, usize::from(segment_size));
        if segment_size > 0 && segment_size < payload {
            train.segment_size = segment_size;
            train.segments = payload.div_ceil(segment_size);
        }
        let only_one = TcpFlags::SYN | TcpFlags::RST | TcpFlags::URG;
        let may_be_cut = match summary.transport {
            Transport::Tcp { flags, .. } => train.segments == 1 || !flags.intersects(only_one),
            Transport::Udp { .. } => true,
            Transport::Echo { .. } | Transport::IcmpError | Transport::Other { .. } => false,
        };
        if !may_be_cut {
            return Err(Malformed::NotSegmentable);
        }
        if train.header_len() + train.segment_size > MAX_PACKET {
            return Err(Malformed::TooLong);
        }
        Ok(train)
    }

    /// The longest prefix of `packets` that forms one train, and how many packets that are.
    ///
    /// `packets` are (start, length) ranges into `buffer`, ascending; they must not be empty. Packets
    /// join if they are of the same flow and differ only as [`Train`] says. Each one's checksums are
    /// verified before it joins (R35): a bad one travels alone, as does a UDP packet without one.
    ///
    /// # Errors
    /// As [`crate::parse()`], about the first packet; the others are looked at by the next call.
    pub fn run(
        buffer: &'a mut [u8],
        packets: &'a [(u32, u32)],
    ) -> Result<(Self, usize), Malformed> {
        let first = run::range(*packets.first().ok_or(Malformed::Truncated)?);
        let bytes = buffer.get(first.clone()).ok_or(Malformed::Truncated)?;
        let summary = crate::parse(bytes)?;
        let taken = run::prefix(buffer, packets, bytes, &summary);
        let mut train = Self::new(buffer, first, summary);
        if taken > 1 {
            train.packets = &packets[..taken];
            train.segments = taken;
            train.take_last_flags();
        }
        Ok((train, taken))
    }

    fn new(buffer: &'a mut [u8], first: Range<usize>, summary: Summary) -> Self {
        let segment_size = first.len() - usize::from(summary.header_len);
        let checksum = Checksum::Whole;
        Self { buffer, first, packets: &[], summary, checksum, segment_size, segments: 1 }
    }

    /// A run is closed by what its last packet says: the summary has the flags of all.
    fn take_last_flags(&mut self) {
        let Some(&last) = self.packets.last() else { return };
        let last = &self.buffer[run::range(last)];
        let at = usize::from(self.summary.transport_offset) + field::TCP_FLAGS;
        if let (Transport::Tcp { flags, .. }, Some(own)) =
            (&mut self.summary.transport, last.get(at))
        {
            *flags = *flags | TcpFlags(*own);
        }
    }

    /// What is decided on, with the TCP flags of all packets; kept current by [`Self::rewrite`].
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Number of packets, at least 1.
    pub fn segments(&self) -> usize {
        self.segments
    }

    /// Bytes of packet `i`, headers included; 0 beyond the last.
    pub fn segment_len(&self, i: usize) -> usize {
        if i < self.segments { self.header_len() + self.payload_range(i).len() } else { 0 }
    }

    /// Bytes of all packets, headers included.
    pub fn total_bytes(&self) -> usize {
        let full = self.header_len() + self.segment_size;
        full * (self.segments - 1) + self.segment_len(self.segments - 1)
    }

    /// Payload bytes of each packet but the last.
    pub fn segment_size(&self) -> usize {
        self.segment_size
    }

    /// Headers of the first packet, IP and transport.
    pub fn header(&self) -> &[u8] {
        &self.buffer[self.first.start..self.first.start + self.header_len()]
    }

    /// Payload of packet `i`; empty beyond the last.
    pub fn payload(&self, i: usize) -> &[u8] {
        if i < self.segments { &self.buffer[self.payload_range(i)] } else { &[] }
    }

    /// The payloads of all packets in as few pieces as they lie in memory.
    pub fn payloads(&self) -> impl Iterator<Item = &[u8]> {
        // A super-packet's lie one behind the other.
        let whole = self.first.start + self.header_len()..self.first.end;
        let pieces = if self.packets.is_empty() { 1 } else { self.segments };
        (0..pieces).map(move |i| match self.packets {
            [] => &self.buffer[whole.clone()],
            _ => self.payload(i),
        })
    }

    /// How the checksums stand.
    pub fn checksum(&self) -> Checksum {
        self.checksum
    }

    /// Translates all packets, in O(1): only the first header is touched.
    pub fn rewrite(&mut self, rewrite: &Rewrite) {
        let header_len = self.header_len();
        let header = &mut self.buffer[self.first.start..][..header_len];
        rewrite.apply(header, &mut self.summary, self.checksum);
    }

    fn header_len(&self) -> usize {
        usize::from(self.summary.header_len)
    }

    /// Where the payload of packet `i` lies; `i` must be a packet.
    fn payload_range(&self, i: usize) -> Range<usize> {
        if let Some(&packet) = self.packets.get(i) {
            let packet = run::range(packet);
            return packet.start + self.header_len()..packet.end;
        }
        let start = self.first.start + self.header_len() + i * self.segment_size;
        start..(start + self.segment_size).min(self.first.end)
    }
}
