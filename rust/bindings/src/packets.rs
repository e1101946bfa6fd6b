//! Building packets, for scripts and tests.

use std::net::{IpAddr, SocketAddr};

use packet::{MAX_PACKET, TcpFlags, build};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::errors::bad_argument;

const WINDOW: u16 = 65_535;

/// Build a whole UDP packet.
#[pyfunction]
pub(crate) fn udp<'py>(
    py: Python<'py>,
    source: &str,
    source_port: u16,
    destination: &str,
    port: u16,
    payload: &[u8],
) -> PyResult<Bound<'py, PyBytes>> {
    let (source, destination) = endpoints(source, source_port, destination, port)?;
    let mut packet = [0; MAX_PACKET];
    let len = build::udp(source, destination, payload, &mut packet);
    built(py, &packet, len)
}

/// Build a whole TCP segment.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "the fields of a header, each of them needed")]
pub(crate) fn tcp<'py>(
    py: Python<'py>,
    source: &str,
    source_port: u16,
    destination: &str,
    port: u16,
    sequence: u32,
    acknowledgement: u32,
    flags: &str,
    payload: &[u8],
) -> PyResult<Bound<'py, PyBytes>> {
    let (source, destination) = endpoints(source, source_port, destination, port)?;
    let flags = parse_flags(flags)?;
    let mut packet = [0; MAX_PACKET];
    let len = build::tcp(
        source,
        destination,
        sequence,
        acknowledgement,
        flags,
        WINDOW,
        payload,
        &mut packet,
    );
    built(py, &packet, len)
}

fn endpoints(
    source: &str,
    source_port: u16,
    destination: &str,
    port: u16,
) -> PyResult<(SocketAddr, SocketAddr)> {
    let source: IpAddr = source.parse().map_err(bad_argument)?;
    let destination: IpAddr = destination.parse().map_err(bad_argument)?;
    Ok((SocketAddr::new(source, source_port), SocketAddr::new(destination, port)))
}

fn built<'py>(py: Python<'py>, packet: &[u8], len: Option<usize>) -> PyResult<Bound<'py, PyBytes>> {
    let len =
        len.ok_or_else(|| bad_argument("the families differ, or it does not fit a packet"))?;
    Ok(PyBytes::new(py, &packet[..len]))
}

fn parse_flags(letters: &str) -> PyResult<TcpFlags> {
    letters.chars().try_fold(TcpFlags::default(), |flags, letter| {
        let flag = match letter {
            'F' => TcpFlags::FIN,
            'S' => TcpFlags::SYN,
            'R' => TcpFlags::RST,
            'P' => TcpFlags::PSH,
            'A' => TcpFlags::ACK,
            'U' => TcpFlags::URG,
            other => return Err(bad_argument(format!("{other:?} is no TCP flag of FSRPAU"))),
        };
        Ok(flags | flag)
    })
}
