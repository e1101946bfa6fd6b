//! Userspace TCP for DNS, sans-I/O: servers on the sentinel addresses or on a Gateway's own, and
//! clients that ask a Gateway.
//!
//! Takes the TCP packets of the other end, gives back the packets that answer them, and between the
//! two whole DNS messages: two bytes of length and the message (RFC 1035 §4.2.2). The TCP machine is
//! smoltcp's.

mod device;
mod dns_client;
mod dns_server;
mod stack;

pub use dns_client::DnsClient;
pub use dns_server::{ConnectionId, DnsServer, Listening, SharedBy};
