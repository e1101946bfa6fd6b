//! What makes packets one flow, and what makes two packets the same (R14).

use std::hash::Hasher;
use std::net::IpAddr;

use packet::{Summary, TcpFlags, Transport};

use crate::flow_table::seeded::Seeded;

/// The flow of a packet, in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FlowKey {
    source: IpAddr,
    destination: IpAddr,
    /// 0 to 3 for TCP, UDP, echo and ICMP errors; others by their number in the IP header, plus 4.
    protocol: u16,
    source_port: u16,
    destination_port: u16,
}

impl FlowKey {
    pub(super) fn of(summary: &Summary) -> Self {
        let (protocol, source_port, destination_port) = match summary.transport {
            Transport::Tcp { source, destination, .. } => (0, source, destination),
            Transport::Udp { source, destination } => (1, source, destination),
            Transport::Echo { identifier, request } => (2, identifier, request.into()),
            Transport::IcmpError => (3, 0, 0),
            Transport::Other { protocol } => (4 + u16::from(protocol), 0, 0),
        };
        let (source, destination) = (summary.source, summary.destination);
        Self { source, destination, protocol, source_port, destination_port }
    }
}

/// How a TCP segment is recognised when it comes again: an opening SYN by its flow and sequence number,
/// any other by all of its bytes. Those need not be hashed for it: headers differ where segments of a
/// connection do, and the checksum in them tells of the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Twin {
    /// An opening SYN with its sequence number.
    Syn(u32),
    /// Filed by its headers: the only one of its flow that is.
    Headers,
    /// Filed by all of its bytes, because another of its flow had the same headers.
    Bytes,
}

impl Twin {
    /// `None` for datagrams, which are kept as sent.
    pub(super) fn of(summary: &Summary) -> Option<Self> {
        let Transport::Tcp { sequence, flags, .. } = summary.transport else { return None };
        let opens = flags.contains(TcpFlags::SYN) && !flags.contains(TcpFlags::ACK);
        Some(if opens { Self::Syn(sequence) } else { Self::Headers })
    }
}

/// Under what a segment is filed: how it is recognised, with the hash of that.
pub(super) type Mark = (Twin, u64);

/// Hashes of what the buffer's indexes are searched for.
pub(super) struct Hash(Seeded);

impl Hash {
    pub(super) fn new(seed: u64) -> Self {
        Self(Seeded::new(seed))
    }

    pub(super) fn flow(&self, queue: u32, key: &FlowKey) -> u64 {
        let mut hasher = self.0.hasher(0);
        for address in [key.source, key.destination] {
            match address {
                IpAddr::V4(address) => hasher.write_u32(address.to_bits()),
                IpAddr::V6(address) => hasher.write_u128(address.to_bits()),
            }
        }
        hasher.write_u32(u32::from(key.source_port) << 16 | u32::from(key.destination_port));
        hasher.write_u16(key.protocol);
        hasher.write_u32(queue);
        hasher.finish()
    }

    /// The mark of a segment, whose transport header is at `offset`. `flow` is the hash of its flow.
    pub(super) fn mark(&self, flow: u64, twin: Twin, packet: &[u8], offset: u16) -> Mark {
        let mut hasher = self.0.hasher(flow);
        match twin {
            Twin::Syn(sequence) => hasher.write_u32(sequence),
            Twin::Headers => {
                let transport = packet.get(usize::from(offset)..).unwrap_or_default();
                // Length and identification; then both numbers, flags, window and checksum.
                for word in [word(packet, 0), word(transport, 4), word(transport, 12)] {
                    hasher.write_u64(word);
                }
            }
            Twin::Bytes => hasher.write(packet),
        }
        (twin, hasher.finish())
    }
}

/// Eight bytes from `at` on, which every TCP segment has.
fn word(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |word| u64::from_ne_bytes(*word))
}
