//! Datagrams out and in through the seam.

mod round_trip;
