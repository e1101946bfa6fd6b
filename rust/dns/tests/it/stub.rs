//! Answers (dataplane §3.5.2), read back by `domain`.

use std::time::Duration;

use dns::{
    Answer, Families, IpStack, NameId, Pattern, ProxyConfig, ResourceId, RestoreError, Stub,
    StubConfig,
};
use domain::base::iana::{Class, Opcode, OptRcode, Rcode, Rtype};
use domain::base::{Message, MessageBuilder, Name as WireName, Ttl};
use domain::rdata::{AllRecordData, Soa};
use packet::Instant;

pub(crate) const DUAL: ResourceId = ResourceId(1);
const V4_ONLY: ResourceId = ResourceId(2);

pub(crate) fn stub() -> Stub {
    stub_with(ProxyConfig::default())
}

fn stub_with(proxies: ProxyConfig) -> Stub {
    let mut stub = Stub::new(&StubConfig { proxies, seed: 1 });
    let index = stub.resources_mut();
    index.insert(DUAL, Pattern::parse("**.example.net").unwrap(), IpStack::Dual);
    index.insert(V4_ONLY, Pattern::parse("*.four.test").unwrap(), IpStack::Ipv4Only);
    stub
}

/// A query without EDNS.
pub(crate) fn query(name: &str, rtype: Rtype) -> Vec<u8> {
    let mut builder = MessageBuilder::new_vec();
    builder.header_mut().set_id(0x1234);
    builder.header_mut().set_rd(true);
    let mut question = builder.question();
    question.push((WireName::<Vec<u8>>::vec_from_str(name).unwrap(), rtype)).unwrap();
    question.finish()
}

pub(crate) fn query_with_edns(name: &str, rtype: Rtype, size: u16, version: u8) -> Vec<u8> {
    let plain = query(name, rtype);
    let message = Message::from_octets(plain).unwrap();
    let mut builder = MessageBuilder::new_vec().question();
    builder.header_mut().set_id(0x1234);
    builder.push(message.first_question().unwrap()).unwrap();
    let mut additional = builder.additional();
    additional
        .opt(|opt| {
            opt.set_udp_payload_size(size);
            opt.set_version(version);
            opt.set_dnssec_ok(true);
            Ok(())
        })
        .unwrap();
    additional.finish()
}

pub(crate) struct Reply {
    pub(crate) message: Message<Vec<u8>>,
    pub(crate) refresh: Option<NameId>,
}

impl Reply {
    pub(crate) fn rcode(&self) -> Rcode {
        self.message.header().rcode()
    }

    pub(crate) fn answers(&self) -> Vec<String> {
        let records = self.message.answer().unwrap();
        let records = records.limit_to::<AllRecordData<_, _>>().map(|record| {
            let record = record.unwrap();
            assert_eq!((record.ttl(), record.class()), (Ttl::from_secs(1), Class::IN));
            record.data().to_string()
        });
        records.collect()
    }

    fn soa_minimum(&self) -> Option<Ttl> {
        let mut authority = self.message.authority().unwrap().limit_to::<Soa<_>>();
        authority.next().map(|record| record.unwrap().data().minimum())
    }
}

pub(crate) fn ask_bytes(
    stub: &mut Stub,
    query: &[u8],
    max: usize,
    offered: Families,
) -> Result<Reply, Answer> {
    let mut into = [0; 1500];
    match stub.answer(query, &|_| offered, max, Instant::ZERO, &mut into) {
        Answer::Local { len, refresh } => {
            assert!(len <= max);
            let message = Message::from_octets(into[..len].to_vec()).unwrap();
            assert!(message.header().qr() && message.header().ra());
            Ok(Reply { message, refresh })
        }
        other => Err(other),
    }
}

pub(crate) fn ask(stub: &mut Stub, name: &str, rtype: Rtype) -> Result<Reply, Answer> {
    ask_bytes(stub, &query(name, rtype), 1212, Families::ALL)
}

fn local(stub: &mut Stub, name: &str, rtype: Rtype) -> Reply {
    ask(stub, name, rtype).unwrap_or_else(|other| panic!("{name} {rtype}: {other:?}"))
}

#[test]
fn a_and_aaaa_are_answered_with_proxy_addresses() {
    let mut stub = stub();
    let reply = local(&mut stub, "app.example.net", Rtype::A);
    assert_eq!(reply.answers(), ["100.96.0.1", "100.96.0.2", "100.96.0.3", "100.96.0.4"]);
    let id = reply.refresh.unwrap();
    assert_eq!(stub.names().get(id).unwrap().as_str(), "app.example.net");
    let reply = local(&mut stub, "APP.example.NET", Rtype::AAAA);
    let v6 = [
        "fd00:2021:1111:8000::",
        "fd00:2021:1111:8000::1",
        "fd00:2021:1111:8000::2",
        "fd00:2021:1111:8000::3",
    ];
    assert_eq!((reply.answers(), reply.refresh), (v6.map(String::from).to_vec(), Some(id)));
    assert_eq!(local(&mut stub, "b.example.net", Rtype::A).answers()[0], "100.96.0.5");
}

#[test]
fn the_case_of_the_question_is_kept_and_the_owner_points_to_it() {
    let asked = query("aPp.eXample.nET", Rtype::A);
    let reply = ask_bytes(&mut stub(), &asked, 1212, Families::ALL).unwrap();
    let bytes = reply.message.as_slice();
    assert_eq!(bytes[12..asked.len()], asked[12..]);
    assert_eq!(bytes[asked.len()..asked.len() + 2], [0xc0, 12]);
    assert_eq!(bytes.len(), asked.len() + 4 * 16);
    assert_eq!((reply.message.header().id(), reply.message.header().rd()), (0x1234, true));
}

#[test]
fn a_family_that_no_resource_offers_is_answered_empty() {
    let mut stub = stub();
    let reply = local(&mut stub, "a.four.test", Rtype::AAAA);
    assert_eq!((reply.rcode(), reply.answers().len()), (Rcode::NOERROR, 0));
    assert_eq!(reply.soa_minimum(), Some(Ttl::from_secs(1)));
    assert_eq!(local(&mut stub, "a.four.test", Rtype::A).answers().len(), 4);
    let wider = Pattern::parse("**.test").unwrap();
    stub.resources_mut().insert(ResourceId(9), wider, IpStack::Ipv6Only);
    assert_eq!(local(&mut stub, "a.four.test", Rtype::AAAA).answers().len(), 4, "another one does");
}

#[test]
fn r08_a_family_known_to_be_empty_is_not_offered_but_refreshed() {
    let mut stub = stub();
    let offered = Families { ipv4: true, ipv6: false };
    let reply =
        ask_bytes(&mut stub, &query("app.example.net", Rtype::AAAA), 1212, offered).unwrap();
    assert_eq!((reply.rcode(), reply.answers().len()), (Rcode::NOERROR, 0));
    assert_eq!(reply.soa_minimum(), Some(Ttl::from_secs(1)));
    assert!(reply.refresh.is_some());
}

#[test]
fn r06_only_a_and_aaaa_of_a_matched_name_refresh() {
    let mut stub = stub();
    local(&mut stub, "app.example.net", Rtype::A);
    for rtype in [Rtype::HTTPS, Rtype::SVCB, Rtype::AXFR] {
        assert_eq!(local(&mut stub, "app.example.net", rtype).refresh, None, "{rtype}");
    }
    let pointer = local(&mut stub, "1.0.96.100.in-addr.arpa", Rtype::PTR);
    assert_eq!(pointer.refresh, None);
    assert_eq!(local(&mut stub, "use-application-dns.net", Rtype::A).refresh, None);
}

#[test]
fn https_and_svcb_are_empty_and_everything_else_is_asked_at_the_site() {
    let mut stub = stub();
    for rtype in [Rtype::HTTPS, Rtype::SVCB] {
        let reply = local(&mut stub, "app.example.net", rtype);
        assert_eq!((reply.rcode(), reply.answers().len()), (Rcode::NOERROR, 0));
        assert!(reply.soa_minimum().is_some());
    }
    assert_eq!(local(&mut stub, "app.example.net", Rtype::AXFR).rcode(), Rcode::REFUSED);
    let asked =
        [Rtype::SRV, Rtype::TXT, Rtype::MX, Rtype::CNAME, Rtype::NS, Rtype::CAA, Rtype::ANY];
    for rtype in asked {
        let Err(Answer::AskSite { name, resource }) = ask(&mut stub, "_x._tcp.example.net", rtype)
        else {
            panic!("{rtype}");
        };
        assert_eq!(resource, DUAL);
        assert_eq!(stub.names().get(name).unwrap().as_str(), "_x._tcp.example.net");
    }
}

#[test]
fn the_site_of_the_most_specific_pattern_is_asked() {
    let mut stub = stub();
    for id in [5, 7, 6] {
        let exact = Pattern::parse("app.example.net").unwrap();
        stub.resources_mut().insert(ResourceId(id), exact, IpStack::Dual);
    }
    let asked = ask(&mut stub, "app.example.net", Rtype::TXT);
    assert!(matches!(asked, Err(Answer::AskSite { resource: ResourceId(7), .. })));
}

#[test]
fn pointers_of_proxy_addresses_are_known_and_others_are_not_ours() {
    let mut stub = stub();
    local(&mut stub, "app.example.net", Rtype::A);
    let reversed = "2.0.96.100.In-Addr.ARPA";
    assert_eq!(local(&mut stub, reversed, Rtype::PTR).answers(), ["app.example.net."]);
    let reversed = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.1.1.1.1.1.2.0.2.0.0.d.f.ip6.arpa";
    assert_eq!(local(&mut stub, reversed, Rtype::PTR).answers(), ["app.example.net."]);
    for other in
        ["5.0.96.100.in-addr.arpa", "1.0.0.10.in-addr.arpa", "96.100.in-addr.arpa", "x.ip6.arpa"]
    {
        assert_eq!(ask(&mut stub, other, Rtype::PTR).err(), Some(Answer::Forward), "{other}");
    }
}

#[test]
fn a_pointer_to_a_part_of_an_address_is_not_ours() {
    // The digits left out would be zeros.
    let ipv6 = "64:ff9b::/107".parse().unwrap();
    let mut stub = stub_with(ProxyConfig { ipv6, ..ProxyConfig::default() });
    local(&mut stub, "app.example.net", Rtype::AAAA);
    let digits = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.b.9.f.f.4.6";
    let whole = format!("{digits}.0.0.ip6.arpa");
    assert_eq!(local(&mut stub, &whole, Rtype::PTR).answers(), ["app.example.net."]);
    for other in [format!("{digits}.0.ip6.arpa"), format!("{digits}.ip6.arpa")] {
        assert_eq!(ask(&mut stub, &other, Rtype::PTR).err(), Some(Answer::Forward), "{other}");
    }
}

#[test]
fn the_canary_does_not_exist() {
    let mut stub = stub();
    stub.resources_mut().insert(ResourceId(9), Pattern::parse("**").unwrap(), IpStack::Dual);
    for rtype in [Rtype::A, Rtype::AAAA, Rtype::TXT] {
        let reply = local(&mut stub, "use-application-dns.net", rtype);
        assert_eq!(reply.rcode(), Rcode::NXDOMAIN);
        assert!(reply.soa_minimum().is_some());
    }
}

#[test]
fn other_names_are_not_ours_and_other_classes_of_ours_are_told_to_nobody() {
    let mut stub = stub();
    assert_eq!(ask(&mut stub, "example.org", Rtype::A).err(), Some(Answer::Forward));
    let mut chaos = query("app.example.net", Rtype::TXT);
    let len = chaos.len();
    chaos[len - 1] = 3;
    let refused = ask_bytes(&mut stub, &chaos, 1212, Families::ALL).unwrap();
    assert_eq!(refused.rcode(), Rcode::REFUSED);
    let mut chaos = query("version.bind", Rtype::TXT);
    let len = chaos.len();
    chaos[len - 1] = 3;
    assert_eq!(ask_bytes(&mut stub, &chaos, 1212, Families::ALL).err(), Some(Answer::Forward));
    for class in [0, 2, 4, 254, 255] {
        let mut other = query("app.example.net", Rtype::A);
        let len = other.len();
        other[len - 1] = class;
        let refused = ask_bytes(&mut stub, &other, 1212, Families::ALL).unwrap();
        assert_eq!((refused.rcode(), refused.answers().len()), (Rcode::REFUSED, 0), "{class}");
    }
    assert!(stub.names().is_empty(), "nothing is kept of them");
}

#[test]
fn edns_is_echoed_and_its_size_respected() {
    let mut stub = stub();
    for (size, version) in [(4096, 0), (0, 0), (512, 0)] {
        let asked = query_with_edns("app.example.net", Rtype::A, size, version);
        let reply = ask_bytes(&mut stub, &asked, 1212, Families::ALL).unwrap();
        let opt = reply.message.opt().unwrap();
        assert_eq!((opt.udp_payload_size(), opt.version(), opt.dnssec_ok()), (1212, 0, true));
        assert_eq!(reply.answers().len(), 4, "512 bytes is what everyone takes");
    }
    assert!(local(&mut stub, "app.example.net", Rtype::A).message.opt().is_none());
    let asked = query_with_edns("app.example.net", Rtype::A, 1232, 1);
    let reply = ask_bytes(&mut stub, &asked, 1212, Families::ALL).unwrap();
    assert_eq!(reply.message.opt_rcode(), OptRcode::BADVERS);
    assert_eq!(reply.answers().len(), 0);
}

#[test]
fn what_does_not_fit_is_cut_and_marked() {
    let mut stub = stub();
    let label = "a".repeat(60);
    let long = format!("{label}.{label}.{label}.{}.example.net", &label[..40]);
    let asked = query_with_edns(&long, Rtype::AAAA, 4096, 0);
    for max in [asked.len() + 1, 330] {
        let reply = ask_bytes(&mut stub, &asked, max, Families::ALL).unwrap();
        assert!(reply.message.header().tc() && reply.answers().is_empty());
        assert!(reply.message.opt().is_some());
    }
    let reply = ask_bytes(&mut stub, &asked, 1212, Families::ALL).unwrap();
    assert!(!reply.message.header().tc() && reply.answers().len() == 4);
    for short in 1..=11 {
        let max = reply.message.as_slice().len() - short;
        let cut = ask_bytes(&mut stub, &asked, max, Families::ALL).unwrap();
        assert!(cut.message.header().tc() && cut.message.opt().is_some(), "{short} too few");
    }
    let room = &mut [0; 100];
    let answer = stub.answer(&asked, &|_| Families::ALL, 1212, Instant::ZERO, room);
    assert_eq!(answer, Answer::Malformed, "not even the question fits");
}

#[test]
fn a_message_that_is_no_single_question_is_an_error_or_dropped() {
    let mut stub = stub();
    let good = query("app.example.net", Rtype::A);
    for bytes in [&good[..0], &good[..11], &[0xff; 20]] {
        assert_eq!(ask_bytes(&mut stub, bytes, 1212, Families::ALL).err(), Some(Answer::Malformed));
    }
    let mut response = good.clone();
    response[2] |= 0x80;
    assert_eq!(ask_bytes(&mut stub, &response, 1212, Families::ALL).err(), Some(Answer::Malformed));
    let edit = |at: usize, to: u8| {
        let mut bytes = good.clone();
        bytes[at] = to;
        bytes
    };
    let notify = Opcode::NOTIFY.to_int() << 3;
    let rows = [
        (good[..20].to_vec(), Rcode::FORMERR),
        (good[..12].to_vec(), Rcode::FORMERR),
        (edit(5, 0), Rcode::FORMERR),
        (edit(5, 2), Rcode::FORMERR),
        (edit(12, 0xff), Rcode::FORMERR),
        (edit(11, 1), Rcode::FORMERR),
        (edit(2, notify), Rcode::NOTIMP),
    ];
    for (bytes, code) in rows {
        let reply = ask_bytes(&mut stub, &bytes, 1212, Families::ALL).unwrap();
        assert_eq!((reply.rcode(), reply.message.header_counts().qdcount()), (code, 0));
    }
    assert_eq!(stub.counters().errors, 7);
}

#[test]
fn two_edns_records_are_a_format_error() {
    let one = query_with_edns("app.example.net", Rtype::A, 1232, 0);
    let mut two = [&one[..], &one[one.len() - 11..]].concat();
    two[11] = 2;
    let reply = ask_bytes(&mut stub(), &two, 1212, Families::ALL).unwrap();
    assert_eq!(reply.rcode(), Rcode::FORMERR);
}

#[test]
fn r08_an_exhausted_pool_is_a_failure_and_a_recycled_name_is_told() {
    let ipv4 = "10.0.0.0/29".parse().unwrap();
    let mut stub = stub_with(ProxyConfig { ipv4, ..ProxyConfig::default() });
    let first = local(&mut stub, "a.example.net", Rtype::A).refresh.unwrap();
    let reply = local(&mut stub, "b.example.net", Rtype::A);
    assert_eq!((reply.rcode(), stub.counters().exhausted), (Rcode::SERVFAIL, 1));
    assert_eq!(stub.names().len(), 1);
    let later = Instant::ZERO + Duration::from_secs(60);
    let mut into = [0; 512];
    let answer =
        stub.answer(&query("b.example.net", Rtype::A), &|_| Families::ALL, 1212, later, &mut into);
    let Answer::Local { refresh: Some(second), .. } = answer else { panic!("{answer:?}") };
    assert_ne!(first, second);
    assert_eq!((stub.poll_recycled(), stub.poll_recycled()), (Some(first), None));
    assert!(stub.names().get(first).is_none());
}

#[test]
fn recorded_addresses_are_restored_by_name() {
    let mut stub = stub();
    let id = local(&mut stub, "b.example.net", Rtype::A).refresh.unwrap();
    let proxies = stub.pool().proxies(id).unwrap();
    let mut fresh = stub_with(ProxyConfig::default());
    let name = "b.example.net".parse().unwrap();
    let restored = fresh.restore(&name, &proxies, Instant::ZERO).unwrap();
    assert_eq!(fresh.pool().name_of(proxies.ipv4[3].into()), Some(restored));
    let other = "c.example.net".parse().unwrap();
    assert_eq!(fresh.restore(&other, &proxies, Instant::ZERO), Err(RestoreError::Taken));
    assert_eq!(fresh.names().len(), 1);
}

#[test]
fn names_that_only_a_site_answers_are_kept_in_a_bounded_number() {
    let mut stub = stub();
    for host in 0..5000 {
        assert!(ask(&mut stub, &format!("h{host}.example.net"), Rtype::TXT).is_err());
    }
    assert_eq!(stub.names().len(), 1024);
    local(&mut stub, "h4999.example.net", Rtype::A);
    for host in 5000..7000 {
        assert!(ask(&mut stub, &format!("h{host}.example.net"), Rtype::TXT).is_err());
    }
    assert_eq!(local(&mut stub, "h4999.example.net", Rtype::A).answers()[0], "100.96.0.1");
}

#[test]
fn a_recycled_name_takes_no_place_among_those_that_only_a_site_answers() {
    let ipv4 = "10.0.0.0/29".parse().unwrap();
    let mut stub = stub_with(ProxyConfig { ipv4, ..ProxyConfig::default() });
    assert!(ask(&mut stub, "a.example.net", Rtype::TXT).is_err());
    local(&mut stub, "a.example.net", Rtype::A);
    let later = Instant::ZERO + Duration::from_secs(60);
    let asked = query("b.example.net", Rtype::A);
    stub.answer(&asked, &|_| Families::ALL, 1212, later, &mut [0; 512]);
    let recycled = stub.poll_recycled().unwrap();
    let Err(Answer::AskSite { name, .. }) = ask(&mut stub, "c.example.net", Rtype::TXT) else {
        panic!("a site is asked")
    };
    assert_eq!(name, recycled, "the handle is used again");

    for host in 1..1024 {
        assert!(ask(&mut stub, &format!("h{host}.example.net"), Rtype::TXT).is_err());
    }

    assert_eq!(stub.names().get(name).unwrap().as_str(), "c.example.net", "one of 1024");
}
