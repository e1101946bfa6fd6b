//! What a flow's packets have shown of it, and how long it lives for that (R30).

use packet::{TcpFlags, Transport};

use super::Direction;
use super::key::Kind;

/// TCP with both directions seen (RFC 5382 REQ-5): 2 hours 4 minutes, in milliseconds.
const TCP_ESTABLISHED: u64 = 7_440_000;
/// All other TCP (RFC 5382 REQ-5, RFC 7857 §2).
const TCP_TRANSITORY: u64 = 240_000;
/// UDP (RFC 4787 REQ-5).
const UDP: u64 = 300_000;
/// Echo (RFC 5508 REQ-2).
const ICMP: u64 = 60_000;
/// Rest of an outside port (R29, R34; RFC 6888 REQ-8).
pub(super) const REST: u64 = 120_000;

/// By class and [`Kind`], so that a packet asks once and jumps nowhere.
const LIFETIMES: [[u64; 8]; 8] = {
    const RESTS: [u64; 8] = [REST; 8];
    const SHORT: [u64; 8] = by_protocol(TCP_TRANSITORY);
    [RESTS, by_protocol(TCP_ESTABLISHED), SHORT, SHORT, RESTS, RESTS, RESTS, RESTS]
};

/// Lifetimes of flows by [`Kind`]; the same in both families.
const fn by_protocol(tcp: u64) -> [u64; 8] {
    [tcp, UDP, ICMP, ICMP, tcp, UDP, ICMP, ICMP]
}

/// Which list a record is in: what R33 asks for when something must give way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Not in use.
    Free = 0,
    /// Live, and something came back.
    Answered = 1,
    /// Live, nothing came back yet.
    Unanswered = 2,
    /// Live, but FIN went both ways, or RST.
    Closed = 3,
    /// Ended; its outside port rests.
    Resting = 4,
}

impl Class {
    /// The list, of three, of those that give way when there is no room (R33). Answered flows are in
    /// none.
    pub(super) fn yields(self) -> Option<usize> {
        match self {
            Self::Unanswered => Some(0),
            Self::Closed => Some(1),
            Self::Resting => Some(2),
            Self::Answered | Self::Free => None,
        }
    }
}

/// A record's class and what was seen, in a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State(u8);

const CLASS: u8 = 0b111;
/// Bits of a [`Kind`].
const KINDS: u8 = 0b111;
const ANSWERED: u8 = 1 << 3;
const FIN_OUTBOUND: u8 = 1 << 4;
const FIN_INBOUND: u8 = 1 << 5;
const RESET: u8 = 1 << 6;
const INSIDE: u8 = 1 << 7;

impl State {
    pub(super) const FREE: Self = Self(Class::Free as u8);
    /// A rest that no inside tuple leads to.
    pub(super) const RESTING: Self = Self(Class::Resting as u8);
    /// A flow before its first packet.
    pub(super) const NEW: Self = Self(Class::Unanswered as u8 | INSIDE);

    #[inline]
    pub(super) fn bits(self) -> u8 {
        self.0
    }

    /// A state that a record holds.
    #[inline]
    pub(super) fn from_byte(bits: u8) -> Self {
        Self(bits)
    }

    /// A state that [`Self::bits`] gave; `None` for what no record is in.
    pub(super) fn from_bits(bits: u8) -> Option<Self> {
        let state = Self(bits);
        let is_sound = match state.class() {
            Class::Free => false,
            Class::Resting => true,
            Class::Answered | Class::Unanswered | Class::Closed => {
                state.is_inside() && state.with_class(class_of(bits)) == state
            }
        };
        (is_sound && bits & CLASS <= Class::Resting as u8).then_some(state)
    }

    #[inline]
    pub(super) fn class(self) -> Class {
        match self.0 & CLASS {
            1 => Class::Answered,
            2 => Class::Unanswered,
            3 => Class::Closed,
            4 => Class::Resting,
            _ => Class::Free,
        }
    }

    pub(super) fn with_class(self, class: Class) -> Self {
        Self(self.0 & !CLASS | class as u8)
    }

    #[inline]
    pub(super) fn is_live(self) -> bool {
        (Class::Answered as u8..=Class::Closed as u8).contains(&(self.0 & CLASS))
    }

    #[inline]
    pub(super) fn is_answered(self) -> bool {
        self.0 & ANSWERED != 0
    }

    /// Whether the inside index leads to the record.
    #[inline]
    pub(super) fn is_inside(self) -> bool {
        self.0 & INSIDE != 0
    }

    pub(super) fn outside_only(self) -> Self {
        Self(self.0 & !INSIDE)
    }

    /// Whether a new SYN starts a fresh flow here (R30).
    #[inline]
    pub(super) fn is_closing(self) -> bool {
        self.0 & (FIN_OUTBOUND | FIN_INBOUND | RESET) != 0
    }

    /// The state after a train of a live flow. Both FINs or a RST close it; a later segment without
    /// RST undoes RST (RFC 7857 §2.2), nothing undoes a FIN.
    #[inline]
    pub(super) fn after(self, transport: &Transport, direction: Direction) -> Self {
        let mut bits = self.0;
        if direction == Direction::Inbound {
            bits |= ANSWERED;
        }
        if let Transport::Tcp { flags, .. } = transport {
            if flags.contains(TcpFlags::FIN) {
                bits |= match direction {
                    Direction::Outbound => FIN_OUTBOUND,
                    Direction::Inbound => FIN_INBOUND,
                };
            }
            bits = if flags.contains(TcpFlags::RST) { bits | RESET } else { bits & !RESET };
        }
        if bits == self.0 { self } else { Self(bits).with_class(class_of(bits)) }
    }

    /// Milliseconds that the record lives after its last packet, or that its port rests.
    #[inline]
    pub(super) fn lifetime(self, kind: Kind) -> u64 {
        LIFETIMES[usize::from(self.0 & CLASS)][usize::from(kind.bits() & KINDS)]
    }
}

/// The class of a live flow of which this was seen.
#[inline]
fn class_of(bits: u8) -> Class {
    if bits & RESET != 0 || bits & (FIN_OUTBOUND | FIN_INBOUND) == FIN_OUTBOUND | FIN_INBOUND {
        Class::Closed
    } else if bits & ANSWERED != 0 {
        Class::Answered
    } else {
        Class::Unanswered
    }
}

/// Whether a segment opens a connection: SYN without ACK.
#[inline]
pub(super) fn is_opening(transport: &Transport) -> bool {
    matches!(transport, Transport::Tcp { flags, .. }
        if flags.contains(TcpFlags::SYN) && !flags.contains(TcpFlags::ACK))
}
