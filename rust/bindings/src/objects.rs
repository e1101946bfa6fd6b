//! Messages of the core as Python's dicts and lists, in the shapes that they have as JSON, and back.

use pyo3::IntoPyObjectExt;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyMapping, PyString, PyTuple};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Number, Value};

use crate::errors::bad_argument;

/// Objects inside objects: as many as JSON text may have here, so that no script ends the stack.
const DEPTH: usize = 128;

/// A message as objects.
pub(crate) fn to_python<'py>(
    py: Python<'py>,
    message: &impl Serialize,
) -> PyResult<Bound<'py, PyAny>> {
    object(py, &serde_json::to_value(message).map_err(bad_argument)?)
}

/// A message out of objects.
pub(crate) fn from_python<T: DeserializeOwned>(given: &Bound<'_, PyAny>) -> PyResult<T> {
    serde_json::from_value(value(given, DEPTH)?).map_err(bad_argument)
}

fn object<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    match value {
        Value::Null => Ok(py.None().into_bound(py)),
        Value::Bool(value) => value.into_bound_py_any(py),
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => number.into_bound_py_any(py),
            (None, Some(number)) => number.into_bound_py_any(py),
            (None, None) => number.as_f64().into_bound_py_any(py),
        },
        Value::String(text) => text.into_bound_py_any(py),
        Value::Array(values) => {
            let list = PyList::empty(py);
            for value in values {
                list.append(object(py, value)?)?;
            }
            Ok(list.into_any())
        }
        Value::Object(members) => {
            let dict = PyDict::new(py);
            for (name, value) in members {
                // The names are few and come again with each message.
                dict.set_item(PyString::intern(py, name), object(py, value)?)?;
            }
            Ok(dict.into_any())
        }
    }
}

fn value(given: &Bound<'_, PyAny>, depth: usize) -> PyResult<Value> {
    let deeper = depth.checked_sub(1).ok_or_else(|| bad_argument("it is too deep"))?;
    if given.is_none() {
        return Ok(Value::Null);
    }
    if let Ok(text) = given.cast::<PyString>() {
        return Ok(Value::String(text.to_str()?.to_owned()));
    }
    // Before int, of which it is one.
    if let Ok(value) = given.cast::<PyBool>() {
        return Ok(Value::Bool(value.is_true()));
    }
    if given.is_instance_of::<PyInt>() {
        let number = given.extract::<u64>().map(Number::from);
        let number = number.or_else(|_| given.extract::<i64>().map(Number::from));
        return number.map(Value::Number).map_err(|_| bad_argument("a number has over 64 bits"));
    }
    if let Ok(number) = given.cast::<PyFloat>() {
        let number = Number::from_f64(number.value());
        return number.map(Value::Number).ok_or_else(|| bad_argument("a number is not finite"));
    }
    if let Ok(members) = given.cast::<PyMapping>() {
        let mut map = Map::new();
        for pair in members.items()? {
            let (name, of): (String, Bound<'_, PyAny>) = pair.extract()?;
            map.insert(name, value(&of, deeper)?);
        }
        return Ok(Value::Object(map));
    }
    if given.is_instance_of::<PyList>() || given.is_instance_of::<PyTuple>() {
        let values = given.try_iter()?.map(|of| value(&of?, deeper));
        return Ok(Value::Array(values.collect::<PyResult<_>>()?));
    }
    let kind = given.get_type().name()?;
    Err(PyTypeError::new_err(format!("{kind} is none of what a message is made of")))
}
