//! The Python module `firezone._core`: converts and forwards, decides nothing.
//!
//! Objects of orchestration cross as JSON text, the shapes of `tunnel::messages`; packets cross in
//! batches through the buffer protocol. Python's exceptions are made in [`errors`] alone.

// PyO3's generated code and the buffer protocol need it; each block says why it is sound.
#![allow(unsafe_code)]

mod errors;
mod lab;

use pyo3::prelude::*;

/// The compiled core of firezone.
#[pymodule(gil_used = false)]
mod _core {
    #[pymodule_export]
    #[expect(non_upper_case_globals, reason = "Python's name for it")]
    const __version__: &str = env!("CARGO_PKG_VERSION");
    #[pymodule_export]
    use crate::lab::LabPair;
}
