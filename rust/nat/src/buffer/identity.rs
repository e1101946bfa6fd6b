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

/// How a TCP segment is recognised when it comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Twin {
    /// An opening SYN: by its flow and sequence number.
    Syn(u32),
    /// Any other: by all of its bytes.
    Bytes,
}

impl Twin {
    /// `None` for datagrams, which are kept as sent.
    pub(super) fn of(summary: &Summary) -> Option<Self> {
        let Transport::Tcp { sequence, flags, .. } = summary.transport else { return None };
        let opens = flags.contains(TcpFlags::SYN) && !flags.contains(TcpFlags::ACK);
        Some(if opens { Self::Syn(sequence) } else { Self::Bytes })
    }
}

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

    /// `flow` is the hash of the packet's flow.
    pub(super) fn twin(&self, flow: u64, twin: Twin, packet: &[u8]) -> u64 {
        let mut hasher = self.0.hasher(flow);
        match twin {
            Twin::Syn(sequence) => hasher.write_u32(sequence),
            Twin::Bytes => hasher.write(packet),
        }
        hasher.finish()
    }
}
