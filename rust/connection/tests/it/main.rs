//! Datagrams out and in through the seam, and peers with keys.

mod handover;
mod peers;
mod round_trip;
mod two;
mod wall;
