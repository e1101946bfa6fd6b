//! The stub's answer, against finding the resource by trying one pattern after the other.

use std::hint::black_box;

use dns::{Answer, Families, IpStack, Name, Pattern, ProxyConfig, ResourceId, Stub, StubConfig};
use packet::Instant;
use reference::globs::Globs;

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
}
