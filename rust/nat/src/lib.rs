//! The DNS resource NAT: the Client's entries, the packet buffer, the Gateway's translations and
//! flow table.
//!
//! Client side: [`resource_nat`] decides whether a packet to a proxy address passes, is held or is
//! refused. Both sides: [`buffer`] holds packets that wait. Gateway side: [`translations`] maps
//! proxy addresses to real ones, [`flow_table`] rewrites packets of flows, [`wheel`] expires them.
//! [`state`] hands both over to another process.
//! [`control`] has the bodies of the messages that the two sides exchange.

pub mod buffer;
pub mod control;
pub mod flow_table;

mod processor;
pub mod resource_nat;
pub mod state;
pub mod translations;
pub mod wheel;
