//! Tests of the crate as its users see it: one binary, one module per part.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

mod buffer;
mod buffer_model;
mod control;
mod flow_packets;
mod flow_table;
mod flow_table_load;
mod flow_table_model;
mod flow_table_pair;
mod flow_table_round_trip;
mod model_flow_table;
mod model_resource_nat;
mod model_translations;
mod resource_nat;
mod resource_nat_halt;
mod resource_nat_model;
mod state;
mod translations;
mod translations_deal;
mod translations_lookup;
mod translations_model;
mod translations_status;
mod wheel;
