//! Frames of the p2p control protocol: IP packets inside the tunnel that carry the messages of
//! `nat::control` (dataplane §2). Owns the framing only; what a message does is elsewhere.

/// Next header 255, reserved by IANA: marks a control packet together with the addresses `::`.
const NEXT_HEADER: u8 = 0xff;
const IPV6_HEADER: usize = 40;
const EVENT_HEADER: usize = 8;
/// Where the JSON body of a control packet begins.
pub const BODY: usize = IPV6_HEADER + EVENT_HEADER;

/// Event numbers of dataplane §2.2. New ones are never defined (R04).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    /// Client → Gateway: the proxy addresses of a name.
    AssignedIps,
    /// Gateway → Client: what became of them.
    DomainStatus,
    /// Either way: this connection ends.
    Goodbye,
}

impl EventType {
    fn number(self) -> u8 {
        match self {
            Self::AssignedIps => 0,
            Self::DomainStatus => 1,
            Self::Goodbye => 2,
        }
    }

    fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::AssignedIps),
            1 => Some(Self::DomainStatus),
            2 => Some(Self::Goodbye),
            _ => None,
        }
    }
}

/// Whether a whole IP packet is a control packet: IPv6, next header 255, both addresses `::`.
pub fn is_control(packet: &[u8]) -> bool {
    packet.len() >= IPV6_HEADER
        && packet[0] >> 4 == 6
        && packet[6] == NEXT_HEADER
        && packet[8..IPV6_HEADER].iter().all(|&byte| byte == 0)
}

/// Splits a control packet into its event and body. `None`: too short, or an event of a later
/// version; both are ignored by the protocol.
pub fn parse(packet: &[u8]) -> Option<(EventType, &[u8])> {
    let length = usize::from(u16::from_be_bytes([*packet.get(4)?, *packet.get(5)?]));
    let payload = packet.get(IPV6_HEADER..IPV6_HEADER + length)?;
    let event = EventType::from_number(*payload.first()?)?;
    Some((event, payload.get(EVENT_HEADER..)?))
}

/// Writes the header of a control packet whose body of `body` bytes already stands at [`BODY`] of
/// `packet`. Returns the packet's whole length, or `None` if it does not fit.
pub fn finish(packet: &mut [u8], event: EventType, body: usize) -> Option<usize> {
    let length = u16::try_from(EVENT_HEADER + body).ok()?;
    let total = BODY + body;
    let header = packet.get_mut(..total)?;
    header[..BODY].fill(0);
    header[0] = 0x60;
    header[4..6].copy_from_slice(&length.to_be_bytes());
    header[6] = NEXT_HEADER;
    header[IPV6_HEADER] = event.number();
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goodbye_is_the_48_bytes_of_the_specification() {
        let mut packet = [0xaa; 64];

        let len = finish(&mut packet, EventType::Goodbye, 0).expect("it fits");

        let mut expected = vec![0x60, 0, 0, 0, 0, 8, 0xff, 0];
        expected.extend([0; 32]);
        expected.extend([2, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(packet[..len], expected);
    }

    #[test]
    fn what_was_framed_is_recognised_and_parsed() {
        let mut packet = [0; 128];
        packet[BODY..BODY + 4].copy_from_slice(b"body");

        let len = finish(&mut packet, EventType::DomainStatus, 4).expect("it fits");

        assert!(is_control(&packet[..len]));
        assert_eq!(parse(&packet[..len]), Some((EventType::DomainStatus, &b"body"[..])));
    }

    #[test]
    fn unknown_events_and_short_payloads_are_ignored() {
        let mut packet = [0; 128];
        let len = finish(&mut packet, EventType::Goodbye, 0).expect("it fits");
        packet[IPV6_HEADER] = 7;
        assert_eq!(parse(&packet[..len]), None);

        packet[5] = 7;
        packet[IPV6_HEADER] = 0;
        assert_eq!(parse(&packet[..len - 1]), None);
        assert_eq!(parse(&packet[..20]), None);
    }

    #[test]
    fn other_packets_are_not_control_packets() {
        let mut packet = [0; 48];
        packet[0] = 0x60;
        packet[6] = 0xff;
        packet[39] = 1;

        assert!(!is_control(&packet));
        assert!(!is_control(&[0x60; 10]));
    }
}
