//! The unit that travels through `tunnel` and `nat`: consecutive packets of one flow and direction,
//! decided on once, by their first header.

use crate::{Malformed, Rewrite, Summary};

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
    /// As [`crate::parse`].
    pub fn single(bytes: &'a mut [u8]) -> Result<Self, Malformed> {
        let summary = crate::parse(bytes)?;
        let segment_size = bytes.len() - usize::from(summary.header_len);
        Ok(Self {
            buffer: bytes,
            packets: &[],
            summary,
            checksum: Checksum::Whole,
            segment_size,
            segments: 1,
        })
    }

    /// One TCP or UDP header in front of the payload of many packets (TSO, USO), as virtio-net hands
    /// it: the checksum is partial. `segment_size` is the payload bytes per packet; 0 means a lone
    /// packet with a partial checksum.
    ///
    /// # Errors
    /// As [`crate::parse`]; [`Malformed::TooLong`] if a segment would be, and
    /// [`Malformed::NotSegmentable`] for other protocols and for flags that only one packet may have.
    pub fn super_packet(bytes: &'a mut [u8], segment_size: u16) -> Result<Self, Malformed> {
        let mut train = Self::single(bytes)?;
        train.segment_size = usize::from(segment_size);
        train.checksum = Checksum::Partial;
        Ok(train)
    }

    /// The longest prefix of `packets` that forms one train, and how many packets that are.
    ///
    /// `packets` are (start, length) ranges into `buffer`, ascending; they must not be empty. Packets
    /// join if they are of the same flow and differ only as [`Train`] says. Each one's checksums are
    /// verified before it joins (R35): a bad one travels alone, as does a UDP packet without one.
    ///
    /// # Errors
    /// As [`crate::parse`], about the first packet; the others are looked at by the next call.
    pub fn run(
        buffer: &'a mut [u8],
        packets: &'a [(u32, u32)],
    ) -> Result<(Self, usize), Malformed> {
        let &(start, len) = packets.first().ok_or(Malformed::Truncated)?;
        let end = (start as usize).saturating_add(len as usize);
        let bytes = buffer.get_mut(start as usize..end).ok_or(Malformed::Truncated)?;
        Ok((Self::single(bytes)?, 1))
    }

    /// What is decided on; kept current by [`Self::rewrite`].
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Number of packets, at least 1.
    pub fn segments(&self) -> usize {
        self.segments
    }

    /// Bytes of packet `i`, headers included; 0 beyond the last.
    pub fn segment_len(&self, i: usize) -> usize {
        if i < self.segments { self.header().len() + self.payload(i).len() } else { 0 }
    }

    /// Bytes of all packets, headers included.
    pub fn total_bytes(&self) -> usize {
        (0..self.segments).map(|i| self.segment_len(i)).sum()
    }

    /// Payload bytes of each packet but the last.
    pub fn segment_size(&self) -> usize {
        self.segment_size
    }

    /// Headers of the first packet, IP and transport.
    pub fn header(&self) -> &[u8] {
        &self.buffer[..usize::from(self.summary.header_len)]
    }

    /// Payload of packet `i`; empty beyond the last.
    pub fn payload(&self, i: usize) -> &[u8] {
        let _ = self.packets;
        if i == 0 { &self.buffer[usize::from(self.summary.header_len)..] } else { &[] }
    }

    /// How the checksums stand.
    pub fn checksum(&self) -> Checksum {
        self.checksum
    }

    /// Translates all packets, in O(1): only the first header is touched.
    pub fn rewrite(&mut self, rewrite: &Rewrite) {
        let _ = rewrite;
    }

    /// Marks the packets *congestion experienced* if they are of a flow that can be told so
    /// (dataplane 7.5, RFC 6040 §4.2).
    pub fn mark_congested(&mut self) {}

    /// Copies packet `i` as one complete packet (lengths, identification, sequence number, flags and
    /// checksums) into `into` and returns its length, or 0 if there is no such packet or no room for
    /// it. A lone packet with a whole checksum is copied as it is: a wrong checksum stays wrong (R35).
    pub fn write_segment(&self, i: usize, into: &mut [u8]) -> usize {
        let (header, payload) = (self.header(), self.payload(i));
        let len = header.len() + payload.len();
        match into.get_mut(..len) {
            Some(packet) => {
                packet[..header.len()].copy_from_slice(header);
                packet[header.len()..].copy_from_slice(payload);
                len
            }
            None => 0,
        }
    }

    /// Writes the header that all packets together have as one super-packet (lengths, flags, partial
    /// checksum) and returns its length, or 0 without room. A lone packet's header is copied as it
    /// is, and [`Self::checksum`] says what its checksum is.
    pub fn write_super_header(&self, into: &mut [u8]) -> usize {
        let header = self.header();
        match into.get_mut(..header.len()) {
            Some(place) => {
                place.copy_from_slice(header);
                header.len()
            }
            None => 0,
        }
    }
}
