//! The one place where errors of the core become Python exceptions.

use std::fmt::Display;

use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::IntoPyDict;
use pyo3::{create_exception, import_exception};

import_exception!(firezone.errors, ConfigError);
import_exception!(firezone.errors, FirezoneError);
import_exception!(firezone.errors, InvalidArgument);
import_exception!(firezone.errors, NeedsPrivilege);

create_exception!(
    firezone._core,
    QueueFull,
    PyValueError,
    "Commands come faster than they are done."
);

/// A command that was not queued.
pub(crate) fn command_refused(refused: runtime::CommandRefused) -> PyErr {
    match refused {
        runtime::CommandRefused::Full => QueueFull::new_err(refused.to_string()),
        runtime::CommandRefused::Stopped => bad_argument(refused),
    }
}

/// An argument that cannot be used; whose fault it is stands in the text.
pub(crate) fn bad_argument(error: impl Display) -> PyErr {
    InvalidArgument::new_err(error.to_string())
}

/// A capture file that cannot be used, and what to do about it.
pub(crate) fn capture_unreadable(what: &str, hint: &str) -> PyErr {
    Python::attach(|py| {
        let made = py.import("firezone.errors").and_then(|errors| {
            let hint = [("hint", hint)].into_py_dict(py)?;
            errors.getattr("CaptureUnreadable")?.call((what,), Some(&hint))
        });
        made.map_or_else(|error| error, PyErr::from_value)
    })
}

/// What the operating system refused.
pub(crate) fn os_error(error: std::io::Error) -> PyErr {
    match error.raw_os_error() {
        Some(code) => PyOSError::new_err((code, error.to_string())),
        None => PyOSError::new_err(error.to_string()),
    }
}

/// UDP sockets that could not be opened.
pub(crate) fn udp_error(error: &runtime::UdpError) -> PyErr {
    match error {
        runtime::UdpError::Port { source, .. } if is_privilege(source) => {
            NeedsPrivilege::new_err(error.to_string())
        }
        runtime::UdpError::Port { .. } | runtime::UdpError::Kernel(_) => {
            ConfigError::new_err(error.to_string())
        }
        runtime::UdpError::Other(_) => bad_argument(error),
    }
}

fn is_privilege(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::PermissionDenied
}

/// A TUN device that could not be opened.
pub(crate) fn tun_error(error: &runtime::TunError) -> PyErr {
    match error {
        runtime::TunError::Name(_) => ConfigError::new_err(error.to_string()),
        runtime::TunError::Open { .. } => NeedsPrivilege::new_err(error.to_string()),
        runtime::TunError::Other { .. } => bad_argument(error),
    }
}

/// A device that cannot be looked at.
pub(crate) fn tap_error(error: &runtime::TapError) -> PyErr {
    match error {
        runtime::TapError::NoDevice(_) => FirezoneError::new_err(error.to_string()),
        runtime::TapError::Kernel { .. } => NeedsPrivilege::new_err(error.to_string()),
    }
}
