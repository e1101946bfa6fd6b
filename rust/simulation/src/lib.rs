//! A Client and a Gateway in virtual time.
//!
//! [`world::World`] joins any number of them by links under one clock that only its user moves; nothing
//! in it is random but by seed. [`Pair`] is the world of one Client and one Gateway. [`scenario`] runs flows through a name while that name is queried and its records
//! change, and tells what became of every packet: the promise of `docs/rules.md`, to the nanosecond.

pub mod capture;
pub mod pair;
pub mod resolver;
pub mod scenario;
pub mod traffic;
pub mod world;

pub use pair::{Delivery, Pair, PairConfig, Side};
