//! Which addresses may be candidates, and the lines that tell of them (RFC 8839 §5.1).

use std::net::{IpAddr, SocketAddr};

use is::{Candidate, CandidateKind, Protocol};

/// No line of a peer that means well is longer.
const LONGEST_LINE: usize = 512;

/// Reads a line of the other end. `None`: none of ours, or an address at which no peer can be. Whoever
/// may tell of candidates makes us send to them; not to this host itself, and not to many.
pub(super) fn parse(line: &str) -> Option<Candidate> {
    if line.len() > LONGEST_LINE {
        return None;
    }
    let candidate = Candidate::from_sdp_string(line).ok()?;
    let is_kind = match candidate.kind() {
        CandidateKind::Host | CandidateKind::ServerReflexive | CandidateKind::Relayed => true,
        // An agent learns of those by itself.
        CandidateKind::PeerReflexive => false,
    };
    let fits = candidate.proto() == Protocol::Udp && is_kind && may_be_peer(candidate.addr());
    fits.then_some(candidate)
}

/// The candidate of an address of this host.
pub(super) fn host(address: SocketAddr) -> Option<Candidate> {
    Candidate::host(address, Protocol::Udp).ok().filter(|_| may_be_peer(address))
}

/// A mapped address of a NAT with the port that the other end itself sends from: where a router forwards
/// that port it is reached there, though the NAT chose another for us.
pub(super) fn forwarded(mapped: IpAddr, port: u16, priority: u32) -> Option<Candidate> {
    let address = SocketAddr::new(mapped, port);
    let kind = CandidateKind::ServerReflexive;
    let (foundation, proto) = (format!("forwarded{port}"), Protocol::Udp);
    let candidate =
        Candidate::from_parts(foundation, 1, proto, priority, address, kind, None, None, None);
    may_be_peer(address).then_some(candidate)
}

fn may_be_peer(address: SocketAddr) -> bool {
    let fits = match address.ip() {
        IpAddr::V4(ip) => {
            !ip.is_broadcast() && !ip.is_link_local() && ip.octets()[0] != 0 && ip.octets()[0] < 240
        }
        IpAddr::V6(ip) => !ip.is_unicast_link_local() && ip.to_ipv4_mapped().is_none(),
    };
    let ip = address.ip();
    let is_special = ip.is_unspecified() || ip.is_multicast() || ip.is_loopback();
    fits && !is_special && address.port() != 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SEEN: &str = "candidate:fffe0a01 1 udp 2130706175 203.0.113.11 52625 typ host ufrag l37z";

    #[test]
    fn lines_of_either_kind_of_peer_are_read() {
        let relayed =
            "candidate:1 1 udp 37748479 203.0.113.10 50485 typ relay raddr 0.0.0.0 rport 0";
        for line in [SEEN, relayed, "candidate:1 1 UDP 7 2001:db8::1 1 typ srflx generation 0"] {
            assert!(parse(line).is_some(), "{line}");
        }
        assert_eq!(parse(SEEN).expect("read").addr(), SocketAddr::from(([203, 0, 113, 11], 52625)));
    }

    #[test]
    fn nothing_is_sent_where_no_peer_can_be() {
        let line = |ip: &str| format!("candidate:1 1 udp 7 {ip} 5000 typ host");
        for ip in [
            "127.0.0.1",
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.1",
            "255.255.255.255",
            "240.0.0.1",
            "::1",
            "169.254.1.1",
            "::",
            "fe80::1",
            "ff02::1",
            "::ffff:127.0.0.1",
        ] {
            assert!(parse(&line(ip)).is_none(), "{ip}");
        }
        assert!(parse("candidate:1 1 udp 7 192.0.2.1 0 typ host").is_none(), "port 0");
        assert!(parse("candidate:1 1 tcp 7 192.0.2.1 9 typ host").is_none(), "TCP");
        assert!(parse("candidate:1 1 udp 7 192.0.2.1 9 typ prflx").is_none(), "peer-reflexive");
        assert!(parse("a=candidate:1 1 udp 7 192.0.2.1 9 typ host").is_none(), "a prefix");
        assert!(parse(&format!("{SEEN} x {}", "y".repeat(LONGEST_LINE))).is_none(), "too long");
    }

    proptest! {
        #[test]
        fn no_line_is_a_panic(line in any::<String>(), cut in 0usize..80, put in any::<char>()) {
            let _ = parse(&line);
            let _ = parse(&format!("candidate:{line}"));
            let mut changed: Vec<char> = SEEN.chars().collect();
            let at = cut.min(changed.len() - 1);
            changed[at] = put;
            let _ = parse(&changed.iter().collect::<String>());
            let _ = parse(&SEEN[..cut.min(SEEN.len())]);
        }
    }
}
