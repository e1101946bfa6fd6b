//! A warm link allocates nothing, so that it can stand under a benchmark of what it joins.

#![allow(unsafe_code, reason = "an allocator can only be written with it")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use link::{Impairment, Link, LinkConfig};
use packet::{Class, Instant};

/// Counts what the current thread allocates: the test harness has threads of its own.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call is handed on to `System` as it came; the counter is a plain thread-local value
// without a destructor and does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `System`, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Sends bursts of 64 with pauses in which all of them arrive.
fn run(link: &mut Link, from: Instant, into: &mut Vec<u8>) -> Instant {
    let mut now = from;
    for _ in 0..20 {
        for i in 0..64 {
            let class = if i % 8 == 0 { Class::Control } else { Class::Data };
            link.send(&[7; 1312], class, now);
        }
        now += Duration::from_secs(1);
        while link.receive_run(now, into).is_some() {}
    }
    now
}

#[test]
fn r37_a_warm_link_allocates_nothing() {
    let impairment = Impairment {
        latency: Duration::from_millis(20),
        jitter: Duration::from_millis(5),
        loss: 0.1,
        duplicate: 0.5,
        reorder: 0.1,
        reorder_delay: Duration::from_millis(3),
        bandwidth: Some(1_000_000_000),
        queue_bytes: 1 << 20,
    };
    let mut link = Link::new(LinkConfig { data: impairment, control: impairment }, 1);
    let mut into = Vec::with_capacity(1 << 16);
    // Warm: as much under way as can be.
    for _ in 0..128 {
        link.send(&[7; 1312], Class::Data, Instant::ZERO);
    }
    let now = run(&mut link, Instant::ZERO, &mut into);
    let before = ALLOCATIONS.get();
    run(&mut link, now, &mut into);
    assert_eq!(ALLOCATIONS.get() - before, 0);
}
