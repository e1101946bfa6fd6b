//! What is allocated, counted: nothing for a query that was asked before.

#![allow(clippy::unwrap_used)]

#[path = "../../packet/tests/counting/mod.rs"]
mod counting;

use dns::{Answer, Families, IpStack, Pattern, ProxyConfig, ResourceId, Stub, StubConfig};
use domain::base::iana::Rtype;
use domain::base::{MessageBuilder, Name};
use packet::Instant;

use counting::allocations;

fn query(name: &str, rtype: Rtype) -> Vec<u8> {
    let mut question = MessageBuilder::new_vec().question();
    question.push((Name::<Vec<u8>>::vec_from_str(name).unwrap(), rtype)).unwrap();
    let mut additional = question.additional();
    additional.opt(|_| Ok(())).unwrap();
    additional.finish()
}

#[test]
fn a_known_name_is_answered_without_an_allocation() {
    let mut stub = Stub::new(&StubConfig { proxies: ProxyConfig::default(), seed: 1 });
    let pattern = Pattern::parse("**.example.net").unwrap();
    stub.resources_mut().insert(ResourceId(1), pattern, IpStack::Dual);
    let asked = [
        ("App.example.net", Rtype::A),
        ("App.example.net", Rtype::AAAA),
        ("App.example.net", Rtype::HTTPS),
        ("App.example.net", Rtype::ANY),
        ("App.example.net", Rtype::TXT),
        ("1.0.96.100.in-addr.arpa", Rtype::PTR),
        ("use-application-dns.net", Rtype::A),
        ("www.example.org", Rtype::A),
    ];
    let queries = asked.map(|(name, rtype)| query(name, rtype));
    let mut into = [0; 1500];
    let mut answer_all = |now: Instant| {
        for query in &queries {
            let answer = stub.answer(query, &|_| Families::ALL, 1212, now, &mut into);
            assert_ne!(answer, Answer::Malformed);
            if let Answer::Local { refresh: Some(name), .. } = answer {
                stub.pool_mut().touch(name, now);
            }
        }
    };
    answer_all(Instant::ZERO);
    let count = allocations(|| {
        for round in 1..100 {
            answer_all(Instant::from_nanos(round * 1_000_000_000));
        }
    });
    assert_eq!(count, 0);
}
