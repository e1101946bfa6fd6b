//! What a packet says above IP: ports, echo identifiers and flags, as far as routing, filters and
//! the NAT ask for them.

use std::fmt;
use std::ops::BitOr;

/// The transport part of a packet's [`crate::Summary`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// RFC 9293.
    Tcp {
        /// Source port.
        source: u16,
        /// Destination port.
        destination: u16,
        /// Sequence number of the first payload byte (or of SYN).
        sequence: u32,
        /// Control bits.
        flags: TcpFlags,
    },
    /// RFC 768.
    Udp {
        /// Source port.
        source: u16,
        /// Destination port.
        destination: u16,
    },
    /// Echo request or reply: ICMP 8/0 (RFC 792), ICMPv6 128/129 (RFC 4443 §4).
    Echo {
        /// What binds reply to request.
        identifier: u16,
        /// Request (true) or reply.
        request: bool,
    },
    /// An ICMP message about another packet that the NAT translates: v4 types 3, 11, 12; v6 1 to 4
    /// (R32).
    IcmpError,
    /// Everything else, other ICMP types included.
    Other {
        /// Number as in the IP header (the last of IPv6's chain).
        protocol: u8,
    },
}

impl Transport {
    /// Protocol, source port (or echo identifier) and destination port (0 for echo) of a packet that
    /// belongs to a flow; `None` for ICMP errors and other protocols.
    #[inline]
    pub fn flow(&self) -> Option<(Protocol, u16, u16)> {
        match *self {
            Self::Tcp { source, destination, .. } => Some((Protocol::Tcp, source, destination)),
            Self::Udp { source, destination } => Some((Protocol::Udp, source, destination)),
            Self::Echo { identifier, .. } => Some((Protocol::Icmp, identifier, 0)),
            Self::IcmpError | Self::Other { .. } => None,
        }
    }
}

/// The three protocols that have flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// Echo over ICMP or ICMPv6.
    Icmp,
}

/// Control bits of a TCP segment (RFC 9293 §3.1), ECE and CWR included (RFC 3168).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct TcpFlags(pub u8);

impl TcpFlags {
    /// No more data from the sender.
    pub const FIN: Self = Self(0x01);
    /// Synchronise sequence numbers.
    pub const SYN: Self = Self(0x02);
    /// Reset the connection.
    pub const RST: Self = Self(0x04);
    /// Push.
    pub const PSH: Self = Self(0x08);
    /// The acknowledgement field counts.
    pub const ACK: Self = Self(0x10);
    /// The urgent pointer counts.
    pub const URG: Self = Self(0x20);
    /// Echo of congestion experienced.
    pub const ECE: Self = Self(0x40);
    /// Congestion window reduced.
    pub const CWR: Self = Self(0x80);

    /// Whether all bits of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any bit of `other` is set.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// These bits without those of `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl BitOr for TcpFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Debug for TcpFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 8] = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];
        let mut separator = "";
        for (bit, name) in NAMES.iter().enumerate() {
            if self.0 & (1 << bit) != 0 {
                write!(f, "{separator}{name}")?;
                separator = "|";
            }
        }
        if separator.is_empty() { f.write_str("none") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_told_by_name() {
        assert_eq!(format!("{:?}", TcpFlags::SYN | TcpFlags::ACK), "SYN|ACK");
        assert_eq!(format!("{:?}", TcpFlags::default()), "none");
    }

    #[test]
    fn echo_flows_have_no_destination_port() {
        let echo = Transport::Echo { identifier: 7, request: true };
        assert_eq!(echo.flow(), Some((Protocol::Icmp, 7, 0)));
        assert_eq!(Transport::IcmpError.flow(), None);
        assert_eq!(Transport::Other { protocol: 47 }.flow(), None);
    }
}
