//! Tests of the crate as its users see it: one binary, one module per part.

mod control;
mod model_resource_nat;
mod resource_nat;
mod resource_nat_halt;
mod resource_nat_model;
