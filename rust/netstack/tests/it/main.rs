//! DNS over TCP: on a sentinel, against a client that is written packet by packet; and through a
//! tunnel, client against server.

mod dns_client;
mod dns_server;
