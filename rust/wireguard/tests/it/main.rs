//! Tests of the crate as its users see it: one binary, one module per part.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

mod cookies;
mod handover;
mod handshake;
mod hostile;
mod limits;
mod mac;
mod oracle;
mod pair;
mod paths;
mod timers;
mod transport;
