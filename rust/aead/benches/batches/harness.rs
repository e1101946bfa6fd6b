//! A against B, interleaved in one process: rounds in the order A B B A, so that a machine that slows
//! down slows both. The least time of a round counts; a comparison in which the reference spreads too
//! far is made again.

use std::time::{Duration, Instant};

const ROUNDS: usize = 9;
const ATTEMPTS: usize = 3;
/// Spread of the reference over its rounds beyond which they say nothing.
const SPREAD: f64 = 0.25;
/// A round is at least this long, by repeating the work.
const LEAST: Duration = Duration::from_micros(300);

/// Work that uses up what it works on: `prepare` sets it up, and is not timed.
pub(crate) trait Work {
    fn prepare(&mut self);
    fn run(&mut self);
}

#[derive(Clone, Copy)]
struct Times {
    least: f64,
    median: f64,
    /// How far apart the middle half of the rounds is, as a part of the median.
    spread: f64,
}

/// Times `ours` against `theirs`, each of which does `units` of work per run, and prints a line of
/// JSON with nanoseconds per unit.
pub(crate) fn compare(
    name: &str,
    case: &str,
    units: usize,
    ours: &mut dyn Work,
    theirs: &mut dyn Work,
) {
    let repeat = (repeats(ours), repeats(theirs));
    let mut result = None;
    for _ in 0..ATTEMPTS {
        let (mut a, mut b) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            a.push(time(repeat.0, ours));
            b.push(time(repeat.1, theirs));
            b.push(time(repeat.1, theirs));
            a.push(time(repeat.0, ours));
        }
        let (a, b) = (sum_up(a, units), sum_up(b, units));
        let quiet = b.spread <= SPREAD;
        result = Some((a, b, quiet));
        if quiet {
            break;
        }
    }
    if let Some((a, b, quiet)) = result {
        print(name, case, a, b, quiet);
    }
}

fn print(name: &str, case: &str, a: Times, b: Times, quiet: bool) {
    println!(
        "{{\"name\":\"{name}\",\"case\":\"{case}\",\"ours\":{:.2},\"ours_median\":{:.2},\
         \"reference\":{:.2},\"reference_median\":{:.2},\"spread\":{:.3},\"quiet\":{quiet}}}",
        a.least, a.median, b.least, b.median, b.spread
    );
}

/// How often the work is done in a round.
fn repeats(work: &mut dyn Work) -> usize {
    time_of(1, work);
    let mut repeat = 1;
    while repeat < 1 << 20 && time_of(repeat, work) < LEAST {
        repeat *= 2;
    }
    repeat
}

fn time_of(repeat: usize, work: &mut dyn Work) -> Duration {
    let mut sum = Duration::ZERO;
    for _ in 0..repeat {
        work.prepare();
        let begin = Instant::now();
        work.run();
        sum += begin.elapsed();
    }
    sum
}

fn time(repeat: usize, work: &mut dyn Work) -> f64 {
    time_of(repeat, work).as_secs_f64() * 1e9 / repeat as f64
}

fn sum_up(mut times: Vec<f64>, units: usize) -> Times {
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times[(times.len() as f64 * share) as usize] / units as f64;
    let (least, median) = (times[0] / units as f64, at(0.5));
    Times { least, median, spread: (at(0.75) - at(0.25)) / median }
}
