//! Scenarios (a)-(h): every packet of a working flow arrives at exactly the instant at which it
//! arrives in the run with the same seed whose queries go to a name without traffic.

use std::time::Duration;

use nat::resource_nat::RefreshPolicy;
use simulation::resolver::Records;
use simulation::scenario::{Control, Outcome, Scenario};

use crate::seeds::SEEDS;

/// Long enough for what is confirmed or abandoned later to happen.
const LONG: Duration = Duration::from_secs(16);
/// With lost control packets a handshake takes up to 15.5 s (R03), and ten of them are wanted.
const LOSSY: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_secs(3);

/// Runs a scenario and the one to compare with and holds them against the promise.
fn kept(scenario: &Scenario, changes: bool) -> Outcome {
    kept_as(scenario, &scenario.idle().run(), changes)
}

/// The same against a run that was made: enough happened, nothing was lost, and 0 ns differ.
pub(crate) fn kept_as(scenario: &Scenario, idle: &Outcome, changes: bool) -> Outcome {
    let outcome = scenario.run();
    let seconds = scenario.storm.as_secs();
    let what = format!("{:?}, seed {}", scenario.records, scenario.seed);

    // Over a round trip of 40 ms and what sending takes, or with lost control packets, ten in the run.
    let slow = scenario.control.loss > 0.0 || scenario.latency >= Duration::from_millis(20);
    let enough = if slow { 10 } else { 10 * seconds };
    assert!(outcome.recreations >= enough, "{what}: {} re-creations", outcome.recreations);
    let quick = scenario.control.loss == 0.0;
    if quick && !matches!(scenario.records, Records::Timeout | Records::Late) {
        assert!(outcome.lookups >= 2 * seconds, "{what}: {} look-ups", outcome.lookups);
    }
    if changes {
        assert!(outcome.changes >= 2 * seconds, "{what}: {} changes", outcome.changes);
    }
    let ledger = &outcome.ledger;
    assert!(ledger.arrivals.len() > 1000, "{what}: the flows ran");
    assert_eq!(ledger.lost(), 0, "{what}: lost");
    assert_eq!(ledger.duplicated, 0, "{what}: duplicated");
    assert_eq!(ledger.reordered, 0, "{what}: reordered");
    assert_eq!(ledger.misdirected, 0, "{what}: misdirected");
    assert_eq!(ledger.errors, 0, "{what}: ICMP errors or resets");
    for (ours, theirs) in ledger.arrivals.iter().zip(&idle.ledger.arrivals) {
        assert_eq!(ours, theirs, "{what}: 0 ns of difference");
    }
    assert_eq!(ledger, &idle.ledger, "{what}");
    outcome
}

fn for_all_seeds(records: Records, storm: Duration, changes: bool) {
    for seed in SEEDS {
        kept(&Scenario::new(records, storm, seed), changes);
    }
}

#[test]
fn r01_a_same_records() {
    for_all_seeds(Records::Same, SHORT, false);
}

#[test]
fn r26_b_rotated_records() {
    for_all_seeds(Records::Rotate, SHORT, false);
}

#[test]
fn r26_c_replaced_records() {
    for_all_seeds(Records::Replace, SHORT, true);
}

#[test]
fn r21_d_a_family_goes_and_comes() {
    for seed in SEEDS {
        let outcome = kept(&Scenario::new(Records::LoseFamily, LONG, seed), false);

        assert!(outcome.changes >= 3, "IPv4 went and came, IPv6 went: {}", outcome.changes);
    }
}

#[test]
fn r21_e_server_failure() {
    for_all_seeds(Records::ServFail, LONG, false);
}

#[test]
fn r21_e_refused() {
    for_all_seeds(Records::Refused, LONG, false);
}

#[test]
fn r21_e_no_such_name() {
    for_all_seeds(Records::NxDomain, LONG, false);
}

#[test]
fn r19_f_no_answer() {
    for_all_seeds(Records::Timeout, LONG, false);
}

#[test]
fn r20_g_late_answers_out_of_order() {
    for_all_seeds(Records::Late, LONG, false);
}

#[test]
fn r04_h_control_packets_lost_duplicated_reordered() {
    for seed in SEEDS {
        for records in [Records::Same, Records::Replace, Records::NxDomain] {
            let mut scenario = Scenario::new(records, LOSSY, seed);
            scenario.control = Control { loss: 0.3, duplicate: 0.2, reorder: 0.2 };
            kept(&scenario, false);
        }
    }
}

#[test]
fn r04_h_a_third_lost_and_50_ms_still_complete_ten_exchanges_in_30_s() {
    for seed in SEEDS {
        for records in Records::ALL {
            let mut scenario = Scenario::new(records, Duration::from_secs(30), seed);
            scenario.latency = Duration::from_millis(50);
            scenario.control = Control { loss: 0.3, ..Control::default() };
            kept(&scenario, false);
        }
    }
}

#[test]
fn r41_halt_breaks_the_promise_where_keep_holds_it() {
    for seed in SEEDS {
        let mut scenario = Scenario::new(Records::Same, SHORT, seed);
        scenario.policy = RefreshPolicy::Halt;
        scenario.interval = Duration::from_micros(200);

        let (halt, idle) = (scenario.run(), scenario.idle().run());

        assert!(halt.ledger.lost() > 100, "{} lost", halt.ledger.lost());
        assert_ne!(halt.ledger.arrivals, idle.ledger.arrivals);
    }
}
