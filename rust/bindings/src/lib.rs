//! The Python module `firezone._core`: converts and forwards, decides nothing.

use pyo3::prelude::*;

/// The compiled core of firezone.
#[pymodule(gil_used = false)]
mod _core {
    #[pymodule_export]
    #[allow(non_upper_case_globals)]
    const __version__: &str = env!("CARGO_PKG_VERSION");
}
