//! Proxy to real addresses, as a script gives them with each call.

use std::collections::HashMap;
use std::net::IpAddr;
use std::ptr::null_mut;
use std::sync::{Arc, Mutex};

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::critical_section::with_critical_section;
use pyo3::types::{PyDict, PyString};

use crate::errors::bad_argument;

/// Real addresses by proxy address.
#[derive(Clone)]
pub(crate) enum Addresses {
    /// Looking one address up by hash would cost more than comparing it.
    One(Option<(IpAddr, IpAddr)>),
    Many(Arc<HashMap<IpAddr, IpAddr>>),
}

impl Addresses {
    /// Takes a mapping of strings or `ipaddress` objects.
    fn new(given: &Bound<'_, PyDict>) -> PyResult<Self> {
        let mut pairs = given.iter().map(|(proxy, real)| Ok((address(&proxy)?, address(&real)?)));
        if given.len() <= 1 {
            return Ok(Self::One(pairs.next().transpose()?));
        }
        Ok(Self::Many(Arc::new(pairs.collect::<PyResult<_>>()?)))
    }

    pub(crate) fn get(&self, proxy: IpAddr) -> Option<IpAddr> {
        match self {
            Self::One(pair) => pair.filter(|(known, _)| *known == proxy).map(|(_, real)| real),
            Self::Many(addresses) => addresses.get(&proxy).copied(),
        }
    }
}

/// The addresses of the latest call: most scripts give the same with each, and to read two of them
/// takes as long as the rest of a short call.
#[derive(Default)]
pub(crate) struct Latest(Mutex<Option<Seen>>);

struct Seen {
    given: Vec<(Py<PyAny>, Py<PyAny>)>,
    addresses: Addresses,
}

impl Latest {
    /// Takes a mapping of strings or `ipaddress` objects.
    pub(crate) fn addresses(&self, given: &Bound<'_, PyAny>) -> PyResult<Addresses> {
        let Ok(given) = given.cast::<PyDict>() else {
            let given = given.py().get_type::<PyDict>().call1((given,))?;
            return Addresses::new(given.cast()?);
        };
        // Another thread that has it just now is not waited for.
        let Ok(mut latest) = self.0.try_lock() else { return Addresses::new(given) };
        if let Some(seen) = latest.as_ref().filter(|seen| seen.is(given)) {
            return Ok(seen.addresses.clone());
        }
        let addresses = Addresses::new(given)?;
        let given = given.iter().map(|(proxy, real)| (proxy.unbind(), real.unbind())).collect();
        *latest = Some(Seen { given, addresses: addresses.clone() });
        Ok(addresses)
    }
}

impl Seen {
    /// Whether these are the very same objects, none of which can change: strings and addresses.
    fn is(&self, given: &Bound<'_, PyDict>) -> bool {
        with_critical_section(given.as_any(), || {
            let (mut at, mut proxy, mut real) = (0, null_mut(), null_mut());
            self.given.len() == given.len()
                && self.given.iter().all(|(seen, also)| {
                    // SAFETY: a live dict that nobody changes meanwhile. What it lends is compared by where
                    // it lies and not used: counting references takes longer than all the rest.
                    let is_there = unsafe {
                        ffi::PyDict_Next(given.as_ptr(), &mut at, &mut proxy, &mut real) != 0
                    };
                    is_there && seen.as_ptr() == proxy && also.as_ptr() == real
                })
        })
    }
}

/// An address, given as a string or as an `ipaddress` object.
pub(crate) fn address(given: &Bound<'_, PyAny>) -> PyResult<IpAddr> {
    let Ok(text) = given.cast::<PyString>() else { return given.extract() };
    let text = text.to_str()?;
    text.parse().map_err(|_| bad_argument(format!("{text:?} is no address")))
}
