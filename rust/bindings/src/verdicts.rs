//! What became of each packet of a batch: a code each, and its name.

use std::os::raw::c_int;

use nat::flow_table::NatError;
use pyo3::exceptions::PyIndexError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::columns::{Column, fill};

/// What became of a packet. Codes are for good: files may hold them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Verdict {
    Translated,
    Malformed,
    NoAddress,
    NoFlow,
    Expired,
    Exhausted,
    Capped,
    Unsupported,
    Undecided,
}

/// Names of the codes, by code.
pub(crate) const NAMES: [&str; 9] = [
    "translated",
    "malformed",
    "no_address",
    "no_flow",
    "expired",
    "exhausted",
    "capped",
    "unsupported",
    "undecided",
];

impl From<NatError> for Verdict {
    fn from(error: NatError) -> Self {
        match error {
            NatError::Exhausted => Self::Exhausted,
            NatError::Cap => Self::Capped,
            NatError::Unsupported => Self::Unsupported,
        }
    }
}

/// A verdict for each packet of a batch: a sequence of their names, equal to a list of them, which
/// exports their codes by the buffer protocol (format `B`, one per packet, read-only, no copy).
/// `VERDICTS[code]` is the name.
///
/// >>> from firezone.nat import VERDICTS, FlowTable
/// >>> verdicts = FlowTable().translate_in(PacketBatch([b"E", b"E"]), now=0.0).verdicts
/// >>> verdicts, verdicts.count("malformed"), bytes(verdicts), VERDICTS[1]
/// (['malformed', 'malformed'], 2, b'\x01\x01', 'malformed')
#[pyclass(frozen, sequence, module = "firezone._core")]
pub(crate) struct Verdicts {
    codes: Column,
}

impl Verdicts {
    pub(crate) fn new(codes: Vec<u8>) -> Self {
        Self { codes: Column::from(codes) }
    }

    pub(crate) fn codes(&self) -> &[u8] {
        self.codes.bytes()
    }

    fn names(&self) -> impl Iterator<Item = &'static str> {
        self.codes().iter().map(|code| NAMES[usize::from(*code)])
    }
}

#[pymethods]
impl Verdicts {
    fn __len__(&self) -> usize {
        self.codes().len()
    }

    fn __getitem__(&self, index: isize) -> PyResult<&'static str> {
        let codes = self.codes();
        let at = if index < 0 { index + codes.len() as isize } else { index };
        let code = usize::try_from(at).ok().and_then(|at| codes.get(at));
        code.map(|code| NAMES[usize::from(*code)])
            .ok_or_else(|| PyIndexError::new_err(format!("verdict {index} of {}", codes.len())))
    }

    fn __contains__(&self, name: &Bound<'_, PyAny>) -> bool {
        name.extract::<&str>().is_ok_and(|name| self.names().any(|own| own == name))
    }

    /// How many packets have the verdict of this name.
    #[pyo3(signature = (name, /))]
    fn count(&self, name: &str) -> usize {
        self.names().filter(|own| *own == name).count()
    }

    /// The names as a list.
    fn tolist(&self) -> Vec<&'static str> {
        self.names().collect()
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> PyResult<bool> {
        if let Ok(other) = other.cast::<Self>() {
            return Ok(self.codes() == other.get().codes());
        }
        if other.len().ok() != Some(self.codes().len()) || other.is_instance_of::<PyString>() {
            return Ok(false);
        }
        for (own, other) in self.names().zip(other.try_iter()?) {
            if !other?.eq(own)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn __repr__(&self) -> String {
        let names: Vec<_> = self.names().map(|name| format!("'{name}'")).collect();
        format!("[{}]", names.join(", "))
    }

    /// # Safety
    /// Called by the interpreter alone, with a `Py_buffer` to be filled.
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        // SAFETY: as promised above; the object is frozen and owns the column.
        unsafe { fill(&slf, &slf.get().codes, view, flags) }
    }
}
