//! The bytes of an answer.

use domain::base::iana::{Class, OptRcode, Rcode};
use domain::base::message_builder::{AdditionalBuilder, AnswerBuilder, MessageBuilder, PushError};
use domain::base::name::Name as WireName;
use domain::base::{Header, Message, Serial, Ttl};
use domain::rdata::{A, Aaaa, Ptr, Soa};

use crate::{Family, Name, Proxies};

use super::question::{Asked, Edns};
use super::target::Target;

/// What a UDP answer holds at most (dataplane §10.1), and what we say that we take.
pub(super) const UDP_MAX: usize = 1212;
/// What a client takes that says nothing (RFC 1035 §4.2.1).
const PLAIN_MAX: usize = 512;
/// Bytes of an EDNS record without options (RFC 6891 §6.1.2).
const OPT_LEN: usize = 11;
/// All that is said here holds one second: a proxy's meaning may change with the resources.
const TTL: Ttl = Ttl::from_secs(1);

/// What an answer says.
pub(super) enum Content<'a> {
    /// A code alone.
    Code(Rcode),
    /// The name exists and has none of these records; or does not exist (RFC 2308 §2).
    None(Rcode),
    Addresses(Proxies, Family),
    Pointer(&'a Name),
}

/// Writes an answer; `None` if not even its question fits.
pub(super) fn write(
    message: &Message<[u8]>,
    asked: Option<&Asked<'_>>,
    content: &Content<'_>,
    max: usize,
    into: &mut [u8],
) -> Option<usize> {
    let edns = asked.and_then(|asked| asked.edns);
    let size = edns.map_or(PLAIN_MAX, |edns| usize::from(edns.size).max(PLAIN_MAX));
    // What is larger than a UDP answer ever is goes over a stream, where that size means nothing.
    let limit = if max > UDP_MAX { max } else { max.min(size) }.min(into.len());
    let mut builder = MessageBuilder::from_target(Target::new(into.get_mut(..limit)?)).ok()?;
    builder.set_push_limit(limit.saturating_sub(edns.map_or(0, |_| OPT_LEN)));
    start(builder.header_mut(), message.header());
    let mut question = builder.question();
    if let Some(asked) = asked {
        question.push(asked.question).ok()?;
    }
    let mut answer = question.answer();
    let version = edns.map_or(0, |edns| edns.version);
    let fits = if version > 0 { Ok(()) } else { push(&mut answer, asked, content) };
    let mut additional = match fits {
        Ok(()) => authority(answer, asked, content, version),
        Err(_) => {
            answer.rewind();
            answer.header_mut().set_tc(true);
            answer.additional()
        }
    };
    additional.clear_push_limit();
    if let Some(edns) = edns {
        push_edns(&mut additional, edns).ok()?;
    }
    Some(additional.finish().len())
}

/// The header of an answer: that of the query, but for what a resolver says of itself.
fn start(header: &mut Header, query: Header) {
    header.set_id(query.id());
    header.set_opcode(query.opcode());
    header.set_qr(true);
    header.set_ra(true);
    header.set_rd(query.rd());
    header.set_cd(query.cd());
}

fn push(
    answer: &mut AnswerBuilder<Target<'_>>,
    asked: Option<&Asked<'_>>,
    content: &Content<'_>,
) -> Result<(), PushError> {
    let Some(name) = asked.map(|asked| asked.question.qname()) else { return Ok(()) };
    match content {
        Content::Code(_) | Content::None(_) => Ok(()),
        Content::Addresses(proxies, Family::Ipv4) => proxies
            .ipv4
            .iter()
            .try_for_each(|&address| answer.push((name, Class::IN, TTL, A::new(address)))),
        Content::Addresses(proxies, Family::Ipv6) => proxies
            .ipv6
            .iter()
            .try_for_each(|&address| answer.push((name, Class::IN, TTL, Aaaa::new(address)))),
        Content::Pointer(pointed) => {
            let mut room = [0; 255];
            let Some(pointed) = wire(pointed, &mut room) else { return Ok(()) };
            answer.push((name, Class::IN, TTL, Ptr::new(pointed)))
        }
    }
}

/// Our own EDNS record (RFC 6891 §6.1.1, §6.1.3), with the query's DO bit (RFC 3225 §3).
fn push_edns(additional: &mut AdditionalBuilder<Target<'_>>, edns: Edns) -> Result<(), PushError> {
    additional.opt(|opt| {
        opt.set_udp_payload_size(UDP_MAX as u16);
        opt.set_dnssec_ok(edns.dnssec_ok);
        if edns.version > 0 {
            opt.set_rcode(OptRcode::BADVERS);
        }
        Ok(())
    })
}

/// Sets the code, and says for how long there is nothing (RFC 2308 §3).
fn authority<'a>(
    mut answer: AnswerBuilder<Target<'a>>,
    asked: Option<&Asked<'_>>,
    content: &Content<'_>,
    version: u8,
) -> AdditionalBuilder<Target<'a>> {
    match content {
        Content::Code(code) | Content::None(code) => answer.header_mut().set_rcode(*code),
        Content::Addresses(..) | Content::Pointer(_) => {}
    }
    let mut authority = answer.authority();
    if let (Content::None(_), Some(asked), 0) = (content, asked, version) {
        let root = WireName::root_ref();
        let soa = Soa::new(root.clone(), root, Serial(1), TTL, TTL, TTL, TTL);
        if authority.push((asked.question.qname(), Class::IN, TTL, soa)).is_err() {
            authority.header_mut().set_tc(true);
        }
    }
    authority.additional()
}

/// A name as it stands in a message.
fn wire<'a>(name: &Name, room: &'a mut [u8; 255]) -> Option<&'a WireName<[u8]>> {
    let mut len = 0;
    for label in name.labels() {
        *room.get_mut(len)? = u8::try_from(label.len()).ok()?;
        room.get_mut(len + 1..len + 1 + label.len())?.copy_from_slice(label.as_bytes());
        len += 1 + label.len();
    }
    *room.get_mut(len)? = 0;
    WireName::from_slice(room.get(..=len)?).ok()
}
