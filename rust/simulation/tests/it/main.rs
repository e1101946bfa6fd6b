//! The promise in virtual time: scenarios (a)-(j), each against the same run without re-creations.

mod promise;
mod seeds;
