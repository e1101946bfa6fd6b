//! Which packets in a row form one train.

use crate::checksum::verify;
use crate::wire::{Ipv4Header, Ipv6Header, field, word};
use crate::{Summary, TcpFlags, Transport};

/// Most bytes of a super-packet: what the length field of IPv4 can tell.
const MAX_BYTES: usize = 65_535;
/// Most datagrams in a super-packet: what every kernel with USO takes (Linux `UDP_GRO_CNT_MAX`).
const MAX_DATAGRAMS: usize = 64;
/// Most packets in a run, so that whoever gathers their payloads can say for how many there is room.
pub const MAX_RUN_PACKETS: usize = 126;

/// The packets of a run so far, seen from the first.
pub(super) struct Joined<'b> {
    first: &'b [u8],
    summary: &'b Summary,
    segment_size: usize,
    count: usize,
    bytes: usize,
}

/// The number of `packets` (ranges into `buffer`) that form one train, at least 1. `first` is the
/// first packet, which parsed as `summary`.
pub(super) fn prefix(
    buffer: &[u8],
    packets: &[(u32, u32)],
    first: &[u8],
    summary: &Summary,
) -> usize {
    let mut run = Joined {
        first,
        summary,
        segment_size: first.len() - usize::from(summary.header_len),
        count: 1,
        bytes: first.len(),
    };
    if !run.may_begin() {
        return 1;
    }
    let mut end = range(packets[0]).end;
    for &packet in &packets[1..] {
        let next = range(packet);
        // Overlapping ranges would let the rewritten header show up in a payload.
        let Some(bytes) = buffer.get(next.clone()).filter(|_| next.start >= end) else { break };
        if !run.continues(bytes) || !run.is_right(bytes) {
            break;
        }
        end = next.end;
        run.count += 1;
        run.bytes += bytes.len() - usize::from(summary.header_len);
        if run.ends(bytes) {
            break;
        }
    }
    run.count
}

pub(super) fn range((start, len): (u32, u32)) -> std::ops::Range<usize> {
    start as usize..(start as usize).saturating_add(len as usize)
}

impl Joined<'_> {
    /// Whether another packet could join the first at all: TCP or UDP without IP options or extension
    /// headers (dataplane 7.3), with payload, and TCP flags that a row of segments may have.
    fn may_begin(&self) -> bool {
        let plain = match self.summary.source.is_ipv4() {
            true => usize::from(self.summary.transport_offset) == Ipv4Header::LEN,
            false => usize::from(self.summary.transport_offset) == Ipv6Header::LEN,
        };
        let flags = match self.summary.transport {
            Transport::Tcp { flags, .. } => flags.without(TcpFlags::ECE) == TcpFlags::ACK,
            Transport::Udp { .. } => true,
            Transport::Echo { .. } | Transport::IcmpError | Transport::Other { .. } => false,
        };
        plain && flags && self.segment_size > 0
    }

    /// Whether `next` comes behind the packets so far and differs only where it may.
    fn continues(&self, next: &[u8]) -> bool {
        let header_len = usize::from(self.summary.header_len);
        let Some((header, payload)) = next.split_at_checked(header_len) else { return false };
        let fits = !payload.is_empty()
            && self.count < MAX_RUN_PACKETS
            && payload.len() <= self.segment_size
            && self.bytes + payload.len() <= MAX_BYTES;
        let (network, segment) = header.split_at(usize::from(self.summary.transport_offset));
        fits && self.network_continues(network, next.len())
            && self.transport_continues(segment, next.len() - network.len())
    }

    fn network_continues(&self, header: &[u8], len: usize) -> bool {
        if !self.summary.source.is_ipv4() {
            // All but the payload length.
            return header[..4] == self.first[..4]
                && header[6..] == self.first[6..Ipv6Header::LEN]
                && usize::from(word(header, 4)) + Ipv6Header::LEN == len;
        }
        // All but total length, identification and checksum.
        let same = header[..2] == self.first[..2]
            && header[6..10] == self.first[6..10]
            && header[12..] == self.first[12..Ipv4Header::LEN];
        // RFC 6864 §4.1: with DF the identification means nothing. Without, a kernel that cuts the
        // super-packet counts up from the first.
        let dont_fragment = word(header, 6) & Ipv4Header::DONT_FRAGMENT != 0;
        let expected = word(self.first, 4).wrapping_add(self.count as u16);
        same && usize::from(word(header, 2)) == len
            && (dont_fragment || word(header, 4) == expected)
    }

    fn transport_continues(&self, header: &[u8], len: usize) -> bool {
        let first = &self.first[usize::from(self.summary.transport_offset)..];
        match self.summary.transport {
            Transport::Tcp { sequence, flags, .. } => {
                let expected = sequence.wrapping_add((self.count * self.segment_size) as u32);
                let own = TcpFlags(header[field::TCP_FLAGS]).without(TcpFlags::PSH | TcpFlags::FIN);
                // All but sequence number, flags and checksum.
                header[..4] == first[..4]
                    && header[4..8] == expected.to_be_bytes()
                    && header[8..field::TCP_FLAGS] == first[8..field::TCP_FLAGS]
                    && own == flags
                    && header[14..field::TCP_CHECKSUM] == first[14..field::TCP_CHECKSUM]
                    && header[18..] == first[18..header.len()]
            }
            Transport::Udp { .. } => {
                self.count < MAX_DATAGRAMS
                    && header[..4] == first[..4]
                    && usize::from(word(header, 4)) == len
            }
            Transport::Echo { .. } | Transport::IcmpError | Transport::Other { .. } => false,
        }
    }

    /// R35: whether the checksums are right in `next`, and in the first packet before it is joined.
    fn is_right(&self, next: &[u8]) -> bool {
        (self.count > 1 || self.is_canonical(self.first)) && self.is_canonical(next)
    }

    /// Right, and the value that a recomputation gives: not the other of the two zeros, and not UDP's
    /// *no checksum*.
    fn is_canonical(&self, packet: &[u8]) -> bool {
        let segment = &packet[usize::from(self.summary.transport_offset)..];
        let network =
            !self.summary.source.is_ipv4() || word(packet, field::IPV4_CHECKSUM) != 0xffff;
        let transport = match self.summary.transport {
            Transport::Udp { .. } => word(segment, field::UDP_CHECKSUM) != 0,
            Transport::Tcp { .. } => word(segment, field::TCP_CHECKSUM) != 0xffff,
            Transport::Echo { .. } | Transport::IcmpError | Transport::Other { .. } => true,
        };
        network && transport && verify(packet, self.summary)
    }

    /// Whether nothing may follow `last`: it is shorter, or it has PSH or FIN.
    fn ends(&self, last: &[u8]) -> bool {
        let is_shorter = last.len() - usize::from(self.summary.header_len) < self.segment_size;
        let segment = &last[usize::from(self.summary.transport_offset)..];
        let is_final = matches!(self.summary.transport, Transport::Tcp { .. })
            && TcpFlags(segment[field::TCP_FLAGS]).intersects(TcpFlags::PSH | TcpFlags::FIN);
        is_shorter || is_final
    }
}
