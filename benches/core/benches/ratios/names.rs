//! The stub's answer, against finding the resource by trying one pattern after the other.

use std::hint::black_box;

use dns::{Answer, Families, IpStack, Name, Pattern, ProxyConfig, ResourceId, Stub, StubConfig};
use packet::Instant;
use reference::globs::Globs;

use hickory_proto::op::Message;
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{RData, Record};

use crate::harness::{Row, compare};

const BATCH: usize = 64;

/// An A query for `labels`, as RFC 1035 §4.1 writes it.
fn query(labels: &[&str]) -> Vec<u8> {
    let mut message = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in labels {
        message.push(label.len() as u8);
        message.extend_from_slice(label.as_bytes());
    }
    message.extend_from_slice(&[0, 0, 1, 0, 1]);
    message
}

pub(crate) fn run() {
    for (count, case) in [(1, "1 resource"), (1000, "1k resources"), (100_000, "100k resources")] {
        let mut stub = Stub::new(&StubConfig { proxies: ProxyConfig::default(), seed: 7 });
        let mut globs = Globs::default();
        for i in 0..count {
            let pattern = Pattern::parse(&format!("*.site{i}.example")).expect("a pattern");
            stub.resources_mut().insert(ResourceId(i), pattern.clone(), IpStack::Dual);
            globs.push(pattern);
        }
        let last = format!("site{}", count / 2);
        let question = query(&["app", &last, "example"]);
        let name = Name::parse(&format!("app.{last}.example")).expect("a name");
        let families = |_| Families::ALL;
        let mut answer = [0; 512];
        let goal = if count == 1000 { 10.0 } else { 0.0 };
        compare(
            Row { name: "stub answer", case, peer: "patterns one by one", goal },
            BATCH,
            || {
                for _ in 0..BATCH {
                    let said = stub.answer(&question, &families, 512, Instant::ZERO, &mut answer);
                    debug_assert!(matches!(said, Answer::Local { .. }));
                    black_box(said);
                }
            },
            || {
                for _ in 0..BATCH {
                    black_box(globs.find(&name));
                }
            },
        );
    }
    beside_hickory();
}

/// The whole of an answer, with the name found already, beside a library that reads a message, adds four
/// records and writes it.
fn beside_hickory() {
    let mut stub = Stub::new(&StubConfig { proxies: ProxyConfig::default(), seed: 7 });
    let pattern = Pattern::parse("*.site.example").expect("a pattern");
    stub.resources_mut().insert(ResourceId(0), pattern, IpStack::Dual);
    let question = query(&["app", "site", "example"]);
    let families = |_| Families::ALL;
    let mut answer = [0; 512];
    let peer = "hickory-proto";
    compare(
        Row { name: "stub answer", case: "read, four records, written", peer, goal: 0.0 },
        BATCH,
        || {
            for _ in 0..BATCH {
                black_box(stub.answer(&question, &families, 512, Instant::ZERO, &mut answer));
            }
        },
        || {
            for _ in 0..BATCH {
                black_box(answered(&question)).expect("a message");
            }
        },
    );
}

fn answered(question: &[u8]) -> Option<Vec<u8>> {
    let mut message = Message::from_vec(question).ok()?.into_response();
    let name = message.queries.first()?.name().clone();
    for host in 1..=4 {
        let address = RData::A(A::new(100, 96, 0, host));
        message.add_answer(Record::from_rdata(name.clone(), 1, address));
    }
    message.to_vec().ok()
}
