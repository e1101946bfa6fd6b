//! Datagrams out and in through the seam, and peers with keys.

mod field;
mod handover;
mod hostile_ice;
mod ice;
mod peers;
mod round_trip;
mod two;
mod wall;
