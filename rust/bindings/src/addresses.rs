//! Proxy to real addresses, as a script gives them with each call.

use std::collections::HashMap;
use std::net::IpAddr;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::errors::bad_argument;

/// Real addresses by proxy address.
pub(crate) struct Addresses(Known);

enum Known {
    /// Looking one address up by hash would cost more than comparing it.
    One(Option<(IpAddr, IpAddr)>),
    Many(HashMap<IpAddr, IpAddr>),
}

impl Addresses {
    /// Takes a mapping of strings or `ipaddress` objects.
    pub(crate) fn new(given: &Bound<'_, PyAny>) -> PyResult<Self> {
        let Ok(dict) = given.cast::<PyDict>() else {
            let dict = given.py().get_type::<PyDict>().call1((given,))?;
            return Self::new(&dict);
        };
        if dict.len() <= 1 {
            let pair = dict.iter().next();
            let pair =
                pair.map(|(proxy, real)| Ok::<_, PyErr>((address(&proxy)?, address(&real)?)));
            return Ok(Self(Known::One(pair.transpose()?)));
        }
        let pairs = dict.iter().map(|(proxy, real)| Ok((address(&proxy)?, address(&real)?)));
        Ok(Self(Known::Many(pairs.collect::<PyResult<_>>()?)))
    }

    pub(crate) fn get(&self, proxy: IpAddr) -> Option<IpAddr> {
        match &self.0 {
            Known::One(pair) => pair.filter(|(known, _)| *known == proxy).map(|(_, real)| real),
            Known::Many(addresses) => addresses.get(&proxy).copied(),
        }
    }
}

/// An address, given as a string or as an `ipaddress` object.
pub(crate) fn address(given: &Bound<'_, PyAny>) -> PyResult<IpAddr> {
    let Ok(text) = given.cast::<PyString>() else { return given.extract() };
    let text = text.to_str()?;
    text.parse().map_err(|_| bad_argument(format!("{text:?} is no address")))
}
