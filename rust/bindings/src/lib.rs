//! The Python module `firezone._core`: converts and forwards, decides nothing.
//!
//! Objects of orchestration cross as JSON text, the shapes of `tunnel::messages`; packets cross in
//! batches through the buffer protocol. Python's exceptions are made in [`errors`] alone.

// PyO3's generated code and the buffer protocol need it; each block says why it is sound.
#![allow(unsafe_code)]
// Python objects are shared between threads; no packet path runs under these locks.
#![allow(clippy::disallowed_types)]

mod addresses;
mod batch;
mod buffer;
mod capture;
mod capture_files;
mod columns;
mod convert;
mod dataclasses;
mod endpoint;
mod errors;
mod flow_columns;
mod flow_rows;
mod flow_state;
mod flow_table;
mod handover;
mod lab;
mod memory;
mod objects;
mod packets;
mod pair;
mod path;
mod resource_nat;
mod running;
mod settings;
mod tap;
mod translate;
mod translated;
mod translations;
mod verdicts;

use pyo3::prelude::*;

/// The compiled core of firezone.
#[pymodule(gil_used = false)]
mod _core {
    use pyo3::prelude::*;

    #[pymodule_export]
    #[expect(non_upper_case_globals, reason = "Python's name for it")]
    const __version__: &str = env!("CARGO_PKG_VERSION");
    #[pymodule_export]
    use crate::batch::PacketBatch;
    #[pymodule_export]
    use crate::buffer::PacketBuffer;
    #[pymodule_export]
    use crate::capture::compare_captures;
    #[pymodule_export]
    use crate::columns::Columns;
    #[pymodule_export]
    use crate::endpoint::{Endpoint, check_pattern, generate_key, public_key};
    #[pymodule_export]
    use crate::errors::QueueFull;
    #[pymodule_export]
    use crate::flow_columns::FlowColumns;
    #[pymodule_export]
    use crate::flow_table::FlowTable;
    #[pymodule_export]
    use crate::lab::LabNetwork;
    #[pymodule_export]
    use crate::packets::{tcp, udp};
    #[pymodule_export]
    use crate::pair::Pair;
    #[pymodule_export]
    use crate::path::LabPath;
    #[pymodule_export]
    use crate::resource_nat::ResourceNat;
    #[pymodule_export]
    use crate::tap::Tap;
    #[pymodule_export]
    use crate::translated::Translated;
    #[pymodule_export]
    use crate::translations::Translations;
    #[pymodule_export]
    use crate::verdicts::Verdicts;

    /// What has to be made when the module is.
    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("VERDICTS", crate::verdicts::names(module.py())?)
    }
}
