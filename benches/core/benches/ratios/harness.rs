//! A against B, interleaved in one process: rounds in the order A B B A, so that a machine that
//! slows down slows both. The least time of a round counts; the spread of the reference's rounds says
//! whether the machine was quiet enough, and a comparison with too much of it is made again; the quietest counts.

use std::time::{Duration, Instant};

const ROUNDS: usize = 7;
const ATTEMPTS: usize = 3;
/// Spread of the reference over its rounds beyond which they say nothing.
const SPREAD: f64 = 0.25;
/// A round is at least this long, by repeating the work.
const LEAST: Duration = Duration::from_micros(300);

/// What is compared, with whom, and what is wanted.
#[derive(Clone, Copy)]
pub(crate) struct Row<'a> {
    pub(crate) name: &'a str,
    pub(crate) case: &'a str,
    pub(crate) peer: &'a str,
    /// How many times less than the peer ours should take; 0 if nothing is wanted.
    pub(crate) goal: f64,
}

#[derive(Clone, Copy)]
struct Times {
    least: f64,
    median: f64,
    /// How far apart the middle half of the rounds is, as a part of the median.
    spread: f64,
}

/// Times `ours` against `theirs`, each of which does `units` of work per call, and prints a line of
/// JSON with nanoseconds per unit.
pub(crate) fn compare(
    row: Row<'_>,
    units: usize,
    mut ours: impl FnMut(),
    mut theirs: impl FnMut(),
) {
    let repeat = (repeats(&mut ours), repeats(&mut theirs));
    let mut result: Option<(Times, Times, bool)> = None;
    for _ in 0..ATTEMPTS {
        let (mut a, mut b) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            a.push(time(repeat.0, &mut ours));
            b.push(time(repeat.1, &mut theirs));
            b.push(time(repeat.1, &mut theirs));
            a.push(time(repeat.0, &mut ours));
        }
        let (a, b) = (sum_up(a, units), sum_up(b, units));
        let quiet = b.spread <= SPREAD;
        if result.is_none_or(|(_, former, _)| b.spread < former.spread) {
            result = Some((a, b, quiet));
        }
        if quiet {
            break;
        }
    }
    if let Some((a, b, quiet)) = result {
        print(row, a, b, quiet);
    }
}

/// Prints a line of JSON of numbers that were got otherwise.
pub(crate) fn print_numbers(row: Row<'_>, ours: f64, reference: f64) {
    let times = |least| Times { least, median: least, spread: 0.0 };
    print(row, times(ours), times(reference), true);
}

/// Prints a line of JSON of how long calls took, in nanoseconds.
pub(crate) fn print_distribution(name: &str, who: &str, calls: &mut [u32]) {
    calls.sort_unstable();
    let at = |share: f64| calls[((calls.len() - 1) as f64 * share) as usize];
    let points = [0.5, 0.9, 0.99, 0.999, 0.9999, 1.0];
    let points = points.map(|share| format!("[{share},{}]", at(share))).join(",");
    let count = calls.len();
    println!(
        "{{\"distribution\":\"{name}\",\"who\":\"{who}\",\"calls\":{count},\"points\":[{points}]}}"
    );
}

fn print(row: Row<'_>, a: Times, b: Times, quiet: bool) {
    let Row { name, case, peer, goal } = row;
    println!(
        "{{\"name\":\"{name}\",\"case\":\"{case}\",\"peer\":\"{peer}\",\"goal\":{goal:.3},\
         \"ours\":{:.3},\"ours_median\":{:.3},\"reference\":{:.3},\"reference_median\":{:.3},\
         \"spread\":{:.3},\"quiet\":{quiet}}}",
        a.least, a.median, b.least, b.median, b.spread
    );
}

/// How often the work is done in a round.
fn repeats(work: &mut impl FnMut()) -> usize {
    work();
    let mut repeat = 1;
    while repeat < 1 << 20 && time_of(repeat, work) < LEAST {
        repeat *= 2;
    }
    repeat
}

fn time_of(repeat: usize, work: &mut impl FnMut()) -> Duration {
    let begin = Instant::now();
    for _ in 0..repeat {
        work();
    }
    begin.elapsed()
}

fn time(repeat: usize, work: &mut impl FnMut()) -> f64 {
    time_of(repeat, work).as_secs_f64() * 1e9 / repeat as f64
}

fn sum_up(mut times: Vec<f64>, units: usize) -> Times {
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times[(times.len() as f64 * share) as usize] / units as f64;
    let (least, median) = (times[0] / units as f64, at(0.5));
    Times { least, median, spread: (at(0.75) - at(0.25)) / median }
}
