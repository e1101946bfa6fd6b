//! What a query asks: its one question and its EDNS record, checked.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use domain::base::iana::{Class, Opcode, Rcode, Rtype};
use domain::base::name::ToLabelIter;
use domain::base::opt::OptRecord;
use domain::base::{Message, ParsedName, Question};

use crate::name::is_label_byte;

/// A question whose name is written as text.
pub(super) struct Asked<'a> {
    pub(super) question: Question<ParsedName<&'a [u8]>>,
    pub(super) edns: Option<Edns>,
}

/// The EDNS record of a query (RFC 6891).
#[derive(Clone, Copy)]
pub(super) struct Edns {
    pub(super) size: u16,
    pub(super) version: u8,
    pub(super) dnssec_ok: bool,
}

/// Reads a query; the error is the code of the answer.
pub(super) fn read<'a>(message: &'a Message<[u8]>) -> Result<Asked<'a>, Rcode> {
    if message.header().opcode() != Opcode::QUERY {
        return Err(Rcode::NOTIMP);
    }
    // RFC 9619: a query has one question.
    let question = message.sole_question().map_err(|_| Rcode::FORMERR)?;
    Ok(Asked { question, edns: edns(message)? })
}

fn edns(message: &Message<[u8]>) -> Result<Option<Edns>, Rcode> {
    let mut found = None;
    for record in message.additional().map_err(|_| Rcode::FORMERR)? {
        let record = record.map_err(|_| Rcode::FORMERR)?;
        if record.rtype() != Rtype::OPT {
            continue;
        }
        let record = record.into_record::<domain::base::opt::Opt<_>>();
        let record = record.ok().flatten().ok_or(Rcode::FORMERR)?;
        let opt = OptRecord::from_record(record);
        let (size, version) = (opt.udp_payload_size(), opt.version());
        // RFC 6891 §6.1.1: more than one is a format error.
        if found.replace(Edns { size, version, dnssec_ok: opt.dnssec_ok() }).is_some() {
            return Err(Rcode::FORMERR);
        }
    }
    Ok(found)
}

impl Asked<'_> {
    pub(super) fn rtype(&self) -> Rtype {
        self.question.qtype()
    }

    /// Whether the class is that of the internet.
    pub(super) fn is_internet(&self) -> bool {
        self.question.qclass() == Class::IN
    }

    /// The name as text in lower case, without trailing dot; `None` if it holds what no
    /// [`Name`](crate::Name) may.
    pub(super) fn name<'b>(&self, room: &'b mut [u8; 255]) -> Option<&'b str> {
        let mut len = 0;
        for label in self.question.qname().iter_labels().filter(|label| !label.is_root()) {
            if len > 0 {
                *room.get_mut(len)? = b'.';
                len += 1;
            }
            for &byte in label.as_slice() {
                if !is_label_byte(byte) {
                    return None;
                }
                *room.get_mut(len)? = byte.to_ascii_lowercase();
                len += 1;
            }
        }
        std::str::from_utf8(room.get(..len)?).ok()
    }
}

/// Whether a name is below the tree of reversed addresses, and which address it is (RFC 1035 §3.5,
/// RFC 3596 §2.5).
pub(super) fn reversed(name: &str) -> Option<Option<IpAddr>> {
    if let Some(labels) = name.strip_suffix(".in-addr.arpa") {
        return Some(reversed_v4(labels));
    }
    name.strip_suffix(".ip6.arpa").map(reversed_v6)
}

fn reversed_v4(labels: &str) -> Option<IpAddr> {
    let mut octets = [0; 4];
    let mut labels = labels.rsplit('.');
    for octet in &mut octets {
        let label = labels.next()?;
        *octet = label.parse().ok().filter(|_| !label.starts_with('+'))?;
    }
    labels.next().is_none().then(|| Ipv4Addr::from(octets).into())
}

fn reversed_v6(labels: &str) -> Option<IpAddr> {
    let (mut bits, mut count) = (0u128, 0);
    for label in labels.rsplit('.') {
        let digit = label.chars().next().filter(|_| label.len() == 1)?.to_digit(16)?;
        bits = bits << 4 | u128::from(digit);
        count += 1;
    }
    (count == 32).then(|| Ipv6Addr::from_bits(bits).into())
}
