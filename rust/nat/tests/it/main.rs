//! Tests of the crate as its users see it: one binary, one module per part.
