//! Property tests of `packet`, against a builder that knows nothing of it and against etherparse.

mod errors;
mod misfits;
mod parsing;
mod quoted;
mod rewriting;
mod spec;
mod trains;
