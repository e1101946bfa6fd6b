//! Shapes of settings that several classes take as JSON text.

use link::{Impairment, LinkConfig};
use pyo3::prelude::*;
use serde::Deserialize;

use crate::convert::duration;

/// Both classes of one direction of a link.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Impairments {
    data: LinkSide,
    control: LinkSide,
}

impl Impairments {
    pub(crate) fn config(&self) -> PyResult<LinkConfig> {
        Ok(LinkConfig { data: self.data.impairment()?, control: self.control.impairment()? })
    }
}

/// One class of one direction: seconds, probabilities, bits per second, bytes. The default is a
/// perfect line.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LinkSide {
    latency: f64,
    jitter: f64,
    loss: f64,
    duplicate: f64,
    reorder: f64,
    reorder_delay: f64,
    bandwidth: Option<u64>,
    queue_bytes: Option<usize>,
}

impl LinkSide {
    pub(crate) fn impairment(&self) -> PyResult<Impairment> {
        Ok(Impairment {
            latency: duration(self.latency)?,
            jitter: duration(self.jitter)?,
            loss: self.loss,
            duplicate: self.duplicate,
            reorder: self.reorder,
            reorder_delay: duration(self.reorder_delay)?,
            bandwidth: self.bandwidth,
            queue_bytes: self.queue_bytes.unwrap_or(usize::MAX),
        })
    }
}
