//! What benchmarks measure this project against: the shapes that are usual for its parts, written as
//! plainly as their users write them. Nothing here is tuned, and nothing is made slower than it is
//! elsewhere.
//!
//! [`bimap`](bimap_nat) is the shape of Firezone's own Gateway (`gateway/nat_table.rs`): the one to beat.
//! [`hash_map`](hash_map_nat) is what the standard library gives who stores all of a flow at once.
//! [`globs`] tries one pattern after the other, as Firezone's stub resolver does, and [`networks`] one
//! network.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the usual shapes use them"
)]

pub mod bimap_nat;
pub mod globs;
pub mod hash_map_nat;
pub mod networks;
