//! The sans-I/O whole: a Client and a Gateway, each a state machine over trains, datagrams, commands
//! and time.
//!
//! # The contract
//!
//! Give an endpoint **one input, then drain it until nothing is left**:
//!
//! 1. one of [`Endpoint::handle_tun`], [`Endpoint::handle_network`], [`Endpoint::handle_command`],
//!    [`Endpoint::handle_dns_response`], [`Endpoint::handle_host_addresses`],
//!    [`Endpoint::handle_timeout`], each with the present instant
//!    and an [`Io`] to write to;
//! 2. send what stands in [`Io::send`] and clear it;
//! 3. [`Endpoint::poll_dns`] and [`Endpoint::poll_event`] until they return `None`;
//! 4. [`Endpoint::poll_timeout`] says when `handle_timeout` is wanted if nothing else comes first. It
//!    may be `now`: then there was more to send than the buffer had room for.
//!
//! `Io::send` must have room for at least [`SEND_BUFFER_BYTES`] in [`SEND_BUFFER_RUNS`] runs when an
//! input is given; then no input finds it full. What several inputs wrote may be sent at once. Packets for the host leave through
//! [`Io::host`] during the call.
//!
//! Nothing here reads a clock, a socket or a random source; the same inputs give the same outputs.
//! [`messages`] lists everything that crosses to orchestration.

mod access;
mod client;
mod compiled;
mod endpoint;
pub mod filter;
mod gateway;
mod incoming;
pub mod messages;
pub mod networks;
pub mod p2p;
mod peering;
mod refuse;
mod tags;
pub mod verdicts;

pub use client::{Client, ClientConfig};
pub use connection::{Arrival, Connections, Datagrams, Exported, ImportError};
pub use endpoint::{
    DnsTransmit, DnsTransport, Endpoint, InheritError, Io, MisdirectedCommand, Reason,
    SEND_BUFFER_BYTES, SEND_BUFFER_RUNS,
};
pub use gateway::{Gateway, GatewayConfig};
pub use nat::state::{Imported, StateError};
