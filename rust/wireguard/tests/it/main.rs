//! Tests of the crate as its users see it: one binary, one module per part.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

mod handshake;
mod pair;
