//! Datagrams out and in through the seam, and peers with keys.

mod peers;
mod round_trip;
