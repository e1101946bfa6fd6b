//! Ratios: the tables of this crate against the shapes that are usual for them, one line of JSON each.
//! `make bench` runs this and writes the table; nothing here passes or fails.

#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![allow(clippy::print_stdout, reason = "its lines are its result")]

mod flows;
mod harness;
mod held;
mod names;
mod reference;

fn main() {
    flows::run();
    held::run();
    names::run();
}
