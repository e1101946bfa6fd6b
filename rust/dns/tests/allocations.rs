//! What is allocated, counted: nothing for a query that was asked before.

#![allow(unsafe_code, reason = "a counting allocator has to implement GlobalAlloc")]
#![allow(clippy::unwrap_used)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use dns::{Answer, Families, IpStack, Pattern, ProxyConfig, ResourceId, Stub, StubConfig};
use domain::base::iana::Rtype;
use domain::base::{MessageBuilder, Name};
use packet::Instant;

/// The system's allocator, counting for each thread.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call is passed on to the system's allocator as it is; counting touches only a
// thread-local cell, which needs no allocation.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises are those that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are those that `System` asks for.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

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
    let before = ALLOCATIONS.get();
    for round in 1..100 {
        answer_all(Instant::from_nanos(round * 1_000_000_000));
    }
    assert_eq!(ALLOCATIONS.get() - before, 0);
}
