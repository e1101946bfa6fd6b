//! The promise in virtual time, scenarios (a)-(j), and what the two endpoints do with everything that
//! is not a flow that works.

// Tests look for one kind of event among many.
#![allow(clippy::wildcard_enum_match_arm)]

mod access;
mod bad_input;
mod client_flows;
mod crowded;
#[path = "../direct/mod.rs"]
mod direct;
mod direct_flows;
mod dns_service;
mod endpoints;
mod errors;
mod explain;
mod forgotten;
mod gateway_dns;
mod handover;
mod holding;
mod internet;
mod isolation;
mod liveness;
mod matrix;
mod portal;
mod promise;
mod restart;
mod rfc;
mod rig;
mod seeds;
mod sessions;
mod several;
mod site_queries;
