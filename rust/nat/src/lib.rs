//! The DNS resource NAT: the Client's entries, the packet buffer, the Gateway's translations and flow table.
