//! DNS over TCP on a sentinel, against a client that is written packet by packet.

mod dns_server;
