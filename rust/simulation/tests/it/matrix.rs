//! The full matrix of the promise, for `make promise`: all kinds of records, latencies and losses of
//! control packets, with seeds that nobody chose. Never part of `make test`.

use std::time::Duration;

use packet::Instant;
use simulation::resolver::Records;
use simulation::scenario::{Control, Outcome, Scenario};

use crate::promise::kept_as;

/// As in [`Scenario`]: until then every flow is to stand.
const STORM_BEGINS: Duration = Duration::from_secs(4);
/// One way, in milliseconds.
const LATENCIES: [u64; 3] = [0, 20, 50];
/// Per cent.
const LOSSES: [u32; 3] = [0, 10, 30];

/// A number from the environment.
fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(otherwise)
}

#[test]
#[ignore = "minutes long and with random seeds: make promise"]
fn the_promise_holds_over_the_whole_matrix() {
    let (first, count) = (setting("PROMISE_SEED", 1), setting("PROMISE_SEEDS", 1));
    for records in Records::ALL {
        for latency in LATENCIES {
            for loss in LOSSES {
                for seed in (0..count).map(|i| first.wrapping_add(i)) {
                    run(records, latency, loss, seed);
                }
            }
        }
    }
}

#[expect(clippy::print_stdout, reason = "read by `make promise`")]
fn run(records: Records, latency: u64, loss: u32, seed: u64) {
    // A handshake with lost packets takes up to 15.5 s (R03); what is confirmed or abandoned later
    // is to happen in every run.
    let storm = Duration::from_secs(if loss > 0 { 60 } else { 16 });
    let mut scenario = Scenario::new(records, storm, seed);
    scenario.latency = Duration::from_millis(latency);
    scenario.control = Control { loss: f64::from(loss) / 100.0, ..Control::default() };
    let idle = scenario.idle().run();
    if loss > 0 && !stands(&idle) {
        println!("{{\"records\":\"{records:?}\",\"seed\":{seed},\"late\":true}}");
        return;
    }
    let outcome = kept_as(&scenario, &idle, false);
    let (recreations, lookups, changes) = (outcome.recreations, outcome.lookups, outcome.changes);
    println!(
        "{{\"records\":\"{records:?}\",\"latency_ms\":{latency},\"control_loss\":{loss},\
         \"seed\":{seed},\"packets\":{},\"recreations\":{recreations},\"lookups\":{lookups},\
         \"changes\":{changes}}}",
        outcome.ledger.arrivals.len(),
    );
}

/// Whether every flow worked when the storm began. Where the first announcements are lost one after the
/// other the name is set up too late; nothing was promised then.
fn stands(idle: &Outcome) -> bool {
    let first = idle.ledger.arrivals.iter().filter(|arrival| arrival.number == 0);
    let last = first.map(|arrival| arrival.at).max();
    idle.ledger.lost() == 0 && last.is_some_and(|at| at < Instant::ZERO + STORM_BEGINS)
}
