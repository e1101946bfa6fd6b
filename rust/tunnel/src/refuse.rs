//! What becomes of packets that are not forwarded: counted by reason (R39), some answered with ICMP.
//!
//! Whoever cannot forward a packet returns a [`Refusal`]; only this module turns it into ICMP, with
//! the codes of R29 and a limit on the rate.

use std::net::IpAddr;

use packet::icmp::{self, TokenBucket, Unreachable};
use packet::{Instant, MAX_PACKET, Malformed, Train};
use serde::Serialize;

/// ICMP errors per second that an endpoint sends at most (RFC 1812 §4.3.2.8, RFC 4443 §2.4 f).
const ERRORS_PER_SECOND: u32 = 1000;
/// And at once.
const ERROR_BURST: u32 = 200;

/// Why a packet is not forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Not a packet that may be in the tunnel.
    Malformed,
    /// An IP fragment; the first of a datagram is answered (R36).
    Fragment { first: bool },
    /// Longer than the tunnel carries; answered where the sender asked for it (R36).
    TooLong { answer: bool },
    /// To a group.
    Multicast,
    /// Its source is not an address that this tunnel gave out.
    NotTunnelSource,
    /// To one of our own addresses.
    ToSelf,
    /// To a sentinel, but not DNS.
    NotDns,
    /// No resource covers the destination.
    UnknownResource,
    /// The resource's filters forbid it, or access was never given or has ended.
    Prohibited,
    /// An ICMP error by a Client, or of no flow.
    UnrelatedIcmpError,
    /// A protocol that no resource carries.
    UnsupportedProtocol,
    /// The name has no address of this family, or the Gateway said so.
    NoAddress,
    /// Through the Internet resource to what is not the internet.
    NotInternet,
    /// No port is left towards this address, or the Client has too many flows.
    Exhausted,
    /// A late packet of a flow that ended (R34).
    ExpiredFlow,
    /// A connection of a proxy address that stands for another name now (R23).
    FormerConnection,
    /// No peer is at this address, or it is not connected.
    NoPeer,
    /// From a peer, with a source that it may not use.
    NotAllowed,
    /// The packet buffer had no room (R12, R13).
    BufferFull,
    /// It waited too long for a stage of set-up (R15).
    WaitedTooLong,
    /// What it waited for was refused (R15).
    SetUpRefused,
    /// Towards a peer whose session cannot seal.
    NotConnected,
}

impl Refusal {
    fn answer(self) -> Option<Unreachable> {
        match self {
            Self::Fragment { first: true }
            | Self::NoAddress
            | Self::NotInternet
            | Self::Exhausted
            | Self::WaitedTooLong
            | Self::SetUpRefused => Some(Unreachable::Network),
            Self::TooLong { answer: true } => Some(Unreachable::TooBig { mtu: MAX_PACKET as u16 }),
            Self::Prohibited => Some(Unreachable::Prohibited),
            Self::Malformed
            | Self::Fragment { first: false }
            | Self::TooLong { answer: false }
            | Self::Multicast
            | Self::NotTunnelSource
            | Self::ToSelf
            | Self::NotDns
            | Self::UnknownResource
            | Self::UnrelatedIcmpError
            | Self::UnsupportedProtocol
            | Self::ExpiredFlow
            | Self::FormerConnection
            | Self::NoPeer
            | Self::NotAllowed
            | Self::BufferFull
            | Self::NotConnected => None,
        }
    }
}

/// Packets that were not forwarded, by reason (named as the variants of [`Refusal`]), and what was sent
/// about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Refused {
    pub(crate) malformed: u64,
    pub(crate) fragment: u64,
    pub(crate) too_long: u64,
    pub(crate) multicast: u64,
    pub(crate) not_tunnel_source: u64,
    pub(crate) to_self: u64,
    pub(crate) not_dns: u64,
    pub(crate) unknown_resource: u64,
    pub(crate) prohibited: u64,
    pub(crate) unrelated_icmp_error: u64,
    pub(crate) unsupported_protocol: u64,
    pub(crate) no_address: u64,
    pub(crate) not_internet: u64,
    pub(crate) exhausted: u64,
    pub(crate) expired_flow: u64,
    pub(crate) former_connection: u64,
    pub(crate) no_peer: u64,
    pub(crate) not_allowed: u64,
    pub(crate) buffer_full: u64,
    pub(crate) waited_too_long: u64,
    pub(crate) set_up_refused: u64,
    pub(crate) not_connected: u64,
    /// ICMP errors sent.
    pub(crate) errors_sent: u64,
    /// ICMP errors that the limit on their rate held back.
    pub(crate) errors_limited: u64,
}

impl Refused {
    fn count(&mut self, refusal: Refusal, packets: u64) {
        let counter = match refusal {
            Refusal::Malformed => &mut self.malformed,
            Refusal::Fragment { .. } => &mut self.fragment,
            Refusal::TooLong { .. } => &mut self.too_long,
            Refusal::Multicast => &mut self.multicast,
            Refusal::NotTunnelSource => &mut self.not_tunnel_source,
            Refusal::ToSelf => &mut self.to_self,
            Refusal::NotDns => &mut self.not_dns,
            Refusal::UnknownResource => &mut self.unknown_resource,
            Refusal::Prohibited => &mut self.prohibited,
            Refusal::UnrelatedIcmpError => &mut self.unrelated_icmp_error,
            Refusal::UnsupportedProtocol => &mut self.unsupported_protocol,
            Refusal::NoAddress => &mut self.no_address,
            Refusal::NotInternet => &mut self.not_internet,
            Refusal::Exhausted => &mut self.exhausted,
            Refusal::ExpiredFlow => &mut self.expired_flow,
            Refusal::FormerConnection => &mut self.former_connection,
            Refusal::NoPeer => &mut self.no_peer,
            Refusal::NotAllowed => &mut self.not_allowed,
            Refusal::BufferFull => &mut self.buffer_full,
            Refusal::WaitedTooLong => &mut self.waited_too_long,
            Refusal::SetUpRefused => &mut self.set_up_refused,
            Refusal::NotConnected => &mut self.not_connected,
        };
        *counter += packets;
    }
}

/// Counts refusals and builds the ICMP errors about them.
#[derive(Debug)]
pub(crate) struct Refuser {
    bucket: TokenBucket,
    counters: Refused,
    original: Box<[u8; MAX_PACKET]>,
    error: Box<[u8; MAX_PACKET]>,
}

impl Default for Refuser {
    fn default() -> Self {
        Self {
            bucket: TokenBucket::new(ERRORS_PER_SECOND, ERROR_BURST),
            counters: Refused::default(),
            original: Box::new([0; MAX_PACKET]),
            error: Box::new([0; MAX_PACKET]),
        }
    }
}

impl Refuser {
    pub(crate) fn counters(&self) -> Refused {
        self.counters
    }

    /// Counts a refused train. Returns the ICMP error to send back to its source, if there is one.
    pub(crate) fn train(
        &mut self,
        train: &Train<'_>,
        refusal: Refusal,
        now: Instant,
    ) -> Option<Train<'_>> {
        self.counters.count(refusal, train.segments() as u64);
        let kind = refusal.answer()?;
        let len = train.write_segment(0, &mut self.original[..]);
        self.build(len, kind, now)
    }

    /// The same for one packet, which need not be well formed.
    pub(crate) fn packet(
        &mut self,
        packet: &[u8],
        refusal: Refusal,
        now: Instant,
    ) -> Option<Train<'_>> {
        self.counters.count(refusal, 1);
        let kind = refusal.answer()?;
        let len = packet.len().min(self.original.len());
        self.original[..len].copy_from_slice(&packet[..len]);
        self.build(len, kind, now)
    }

    /// Counts packets that nobody is told about, for instance beyond the first of a flow.
    pub(crate) fn silently(&mut self, refusal: Refusal, packets: u64) {
        self.counters.count(refusal, packets);
    }

    fn build(&mut self, original: usize, kind: Unreachable, now: Instant) -> Option<Train<'_>> {
        if !self.bucket.take(now) {
            self.counters.errors_limited += 1;
            return None;
        }
        let len = icmp::unreachable(&self.original[..original], kind, &mut self.error[..])?;
        self.counters.errors_sent += 1;
        Train::single(&mut self.error[..len]).ok()
    }
}

/// What a parse error means for the sender.
pub(crate) fn malformed(why: Malformed, packet: &[u8]) -> Refusal {
    match why {
        Malformed::Fragment { first } => Refusal::Fragment { first },
        Malformed::TooLong => Refusal::TooLong { answer: forbids_fragments(packet) },
        Malformed::Truncated
        | Malformed::Version
        | Malformed::HeaderLength
        | Malformed::LengthMismatch
        | Malformed::UdpLength
        | Malformed::IcmpFamily
        | Malformed::ExtensionHeaders
        | Malformed::NotSegmentable
        | Malformed::NotIcmpError
        | Malformed::Checksum
        | Malformed::Quote => Refusal::Malformed,
    }
}

/// Whether the sender of a packet wants to be told that it is too long: IPv4 with DF, and all IPv6.
fn forbids_fragments(packet: &[u8]) -> bool {
    match packet.first().map(|byte| byte >> 4) {
        Some(6) => true,
        Some(4) => packet.get(6).is_some_and(|flags| flags & 0x40 != 0),
        _ => false,
    }
}

/// Whether an address is a group or everybody.
pub(crate) fn is_multicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_multicast() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_multicast(),
    }
}
