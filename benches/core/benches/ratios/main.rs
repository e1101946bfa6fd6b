//! Ratios: the core against the shapes that are usual for it, one line of JSON each. `make bench`
//! runs this and writes the table; nothing here passes or fails. With an argument only the parts whose
//! name begins with it are run.

#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![allow(clippy::print_stdout, reason = "its lines are its result")]

mod filters;
mod flows;
mod harness;
mod held;
mod names;
mod pauses;
mod ports;
mod storm;

fn main() {
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let parts: [(&str, fn()); 7] = [
        ("flows", flows::run),
        ("ports", ports::run),
        ("pauses", pauses::run),
        ("storm", storm::run),
        ("held", held::run),
        ("names", names::run),
        ("filters", filters::run),
    ];
    for (name, run) in parts {
        if wanted.as_deref().is_none_or(|wanted| name.starts_with(wanted)) {
            run();
        }
    }
}
