//! Userspace TCP for DNS, sans-I/O: the servers that listen on the sentinel addresses.
//!
//! Takes the TCP packets of the host that go to a sentinel, gives back the packets that answer them,
//! and between the two whole DNS messages: two bytes of length and the message (RFC 1035 §4.2.2).
//! The TCP machine is smoltcp's.

mod device;
mod dns_server;

pub use dns_server::{ConnectionId, DnsServer};
