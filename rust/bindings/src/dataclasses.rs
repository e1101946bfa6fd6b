//! Dataclasses of Python's, made from here: a row costs its fields, and no text lies between.

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyString, PyType};

/// A frozen dataclass with slots, and its fields in order.
pub(crate) struct Dataclass {
    module: &'static str,
    name: &'static str,
    fields: &'static [&'static str],
    found: PyOnceLock<Found>,
}

struct Found {
    class: Py<PyType>,
    fields: Vec<Py<PyString>>,
}

impl Dataclass {
    pub(crate) const fn new(
        module: &'static str,
        name: &'static str,
        fields: &'static [&'static str],
    ) -> Self {
        Self { module, name, fields, found: PyOnceLock::new() }
    }

    /// Makes one of a value per field, as the class's own `__init__` would: it sets the slots one by
    /// one past the frozen `__setattr__`, only that it is Python code and takes several times as long.
    pub(crate) fn make<'py, const FIELDS: usize>(
        &self,
        py: Python<'py>,
        values: [Bound<'py, PyAny>; FIELDS],
    ) -> PyResult<Bound<'py, PyAny>> {
        let found = self.found.get_or_try_init(py, || self.find(py))?;
        assert_eq!(found.fields.len(), FIELDS, "a value per field of {}", self.name);
        // SAFETY: the class is a heap type without layout of its own (`find`), so an object is its slots,
        // empty ones, and this is all that `object.__new__` does.
        let row = unsafe {
            let made = ffi::PyType_GenericAlloc(found.class.as_ptr().cast(), 0);
            Bound::from_owned_ptr_or_err(py, made)?
        };
        for (field, value) in found.fields.iter().zip(&values) {
            // SAFETY: three live objects; it takes references of its own.
            let set = unsafe {
                ffi::PyObject_GenericSetAttr(row.as_ptr(), field.as_ptr(), value.as_ptr())
            };
            if set == -1 {
                return Err(PyErr::fetch(py));
            }
        }
        Ok(row)
    }

    /// Finds the class, and holds it to the order of the fields here.
    fn find(&self, py: Python<'_>) -> PyResult<Found> {
        let class = py.import(self.module)?.getattr(self.name)?.cast_into::<PyType>()?;
        let own: Vec<String> = class.getattr("__match_args__")?.extract()?;
        let slots: Vec<String> = class.getattr("__slots__")?.extract()?;
        if own != self.fields || slots != self.fields {
            return Err(PyTypeError::new_err(format!("{} has other fields: {own:?}", self.name)));
        }
        let fields = own.iter().map(|field| PyString::intern(py, field).unbind()).collect();
        Ok(Found { class: class.unbind(), fields })
    }
}

/// A dataclass of counters: those of `$of` with the names of its fields.
macro_rules! counters {
    ($py:expr, $class:literal, $of:expr, [$($field:ident),+ $(,)?]) => {{
        static CLASS: $crate::dataclasses::Dataclass = $crate::dataclasses::Dataclass::new(
            "firezone.nat.counters",
            $class,
            &[$(stringify!($field)),+],
        );
        let counters = $of;
        CLASS.make($py, [$(pyo3::IntoPyObjectExt::into_bound_py_any(counters.$field, $py)?),+])
    }};
}
pub(crate) use counters;
