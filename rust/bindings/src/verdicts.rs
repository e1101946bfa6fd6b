//! What became of each packet of a batch: a code each, and its name.

use std::os::raw::c_int;

use nat::flow_table::NatError;
use pyo3::exceptions::PyIndexError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyList, PyString, PyTuple};

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
const NAMES: [&str; 9] = [
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

/// The same for Python: one string each for good, so that to give and to compare them costs little.
pub(crate) fn names(py: Python<'_>) -> PyResult<&Bound<'_, PyTuple>> {
    static MADE: PyOnceLock<Py<PyTuple>> = PyOnceLock::new();
    let made = MADE.get_or_try_init(py, || {
        Ok::<_, PyErr>(PyTuple::new(py, NAMES.map(|name| PyString::intern(py, name)))?.unbind())
    })?;
    Ok(made.bind(py))
}

/// The code of a name.
fn code(name: &str) -> Option<u8> {
    NAMES.iter().position(|known| *known == name).map(|at| at as u8)
}

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

    fn __getitem__<'py>(&self, py: Python<'py>, index: isize) -> PyResult<Bound<'py, PyAny>> {
        let codes = self.codes();
        let at = if index < 0 { index + codes.len() as isize } else { index };
        let code = usize::try_from(at).ok().and_then(|at| codes.get(at));
        let code = code
            .ok_or_else(|| PyIndexError::new_err(format!("verdict {index} of {}", codes.len())))?;
        names(py)?.get_item(usize::from(*code))
    }

    fn __contains__(&self, name: &Bound<'_, PyAny>) -> bool {
        let code = name.extract::<&str>().ok().and_then(code);
        code.is_some_and(|code| self.codes().contains(&code))
    }

    /// How many packets have the verdict of this name; none if there is no such verdict.
    ///
    /// Raises:
    ///     TypeError: `name` is no string.
    #[pyo3(signature = (name, /))]
    fn count(&self, name: &str) -> usize {
        let code = code(name);
        self.codes().iter().filter(|own| Some(**own) == code).count()
    }

    /// The names as a list.
    fn tolist<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let (names, list) = (names(py)?, PyList::empty(py));
        for code in self.codes() {
            list.append(names.get_borrowed_item(usize::from(*code))?)?;
        }
        Ok(list)
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
