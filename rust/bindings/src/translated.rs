//! What a translation returns.

use std::sync::{Mutex, PoisonError};

use pyo3::PyClass;
use pyo3::exceptions::{PyIndexError, PyMemoryError};
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::{PyIterator, PyTuple};

use crate::batch::PacketBatch;
use crate::verdicts::Verdicts;

/// Packets that were translated, and what became of each packet of the batch. Unpacks into the two.
///
/// Each is made when it is first asked for: who reads no verdicts, or whose packets lie in memory of
/// his own (`into`), does not pay for an object.
///
/// >>> from firezone.nat import FlowTable
/// >>> packets, verdicts = FlowTable().translate_in(PacketBatch([b"?"]), now=0.0)
/// >>> len(packets), verdicts
/// (0, ['malformed'])
#[pyclass(frozen, sequence, module = "firezone._core")]
pub(crate) struct Translated {
    packets: Part<PacketBatch>,
    verdicts: Part<Verdicts>,
}

impl Translated {
    pub(crate) fn new(packets: PacketBatch, verdicts: Verdicts) -> Self {
        Self { packets: Part::new(packets), verdicts: Part::new(verdicts) }
    }

    fn both<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        (self.packets.get(py)?, self.verdicts.get(py)?).into_pyobject(py)
    }
}

#[pymethods]
impl Translated {
    /// Those whose verdict is `translated`, in order.
    #[getter]
    fn packets<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PacketBatch>> {
        self.packets.get(py)
    }

    /// One per packet given: `translated`, `malformed`, `no_address`, `no_flow`, `expired`, `exhausted`,
    /// `capped` or `unsupported`. A sequence of these names; as a buffer, their codes.
    #[getter]
    fn verdicts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, Verdicts>> {
        self.verdicts.get(py)
    }

    fn __len__(&self) -> usize {
        2
    }

    fn __getitem__<'py>(&self, py: Python<'py>, index: isize) -> PyResult<Bound<'py, PyAny>> {
        match index {
            0 | -2 => Ok(self.packets.get(py)?.into_any()),
            1 | -1 => Ok(self.verdicts.get(py)?.into_any()),
            other => Err(PyIndexError::new_err(format!("{other} of packets and verdicts"))),
        }
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
        self.both(py)?.try_iter()
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let (packets, verdicts) = (self.packets.get(py)?, self.verdicts.get(py)?);
        Ok(format!("Translated(packets={packets:?}, verdicts={verdicts:?})"))
    }
}

/// An object that Python has, or that waits until Python asks for it.
struct Part<T: PyClass>(Mutex<State<T>>);

struct State<T> {
    waits: Option<T>,
    made: Option<Py<T>>,
}

impl<T: PyClass + Into<PyClassInitializer<T>>> Part<T> {
    fn new(value: T) -> Self {
        Self(Mutex::new(State { waits: Some(value), made: None }))
    }

    fn get<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, T>> {
        let mut state = self.0.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = state.waits.take() {
            state.made = Some(Py::new(py, value)?);
        }
        // It was lost if there was no memory for it.
        let made = state.made.as_ref().ok_or_else(|| PyMemoryError::new_err(()))?;
        Ok(made.bind(py).clone())
    }
}
