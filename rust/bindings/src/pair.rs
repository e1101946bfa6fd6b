//! A Client and a Gateway in virtual time, driven from Python.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use dns::Prefix;
use link::{Impairment, LinkConfig};
use nat::resource_nat::RefreshPolicy;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyString;
use serde::Deserialize;
use simulation::pair::{CLIENT_IPV4, CLIENT_IPV6, GATEWAY_IPV4, GATEWAY_IPV6};
use simulation::{Pair as Core, PairConfig, Side};
use tunnel::messages::{Command, Event, Resource};
use tunnel::{ClientConfig, GatewayConfig};

use crate::batch::PacketBatch;
use crate::convert::{instant, seconds};
use crate::errors::bad_argument;
use crate::objects::{from_python, to_python};
use crate::settings::LinkSide;

/// What makes a pair: the members of a dict.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    seed: u64,
    halt: bool,
    refresh_floor: f64,
    cache_floor: f64,
    failure_cache: f64,
    ready_after: f64,
    allow_real: Vec<Prefix>,
    data: LinkSide,
    control: LinkSide,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            seed: 0,
            halt: false,
            refresh_floor: 1.0,
            cache_floor: 1.0,
            failure_cache: 5.0,
            ready_after: 0.0,
            allow_real: Vec::new(),
            data: LinkSide::default(),
            control: LinkSide::default(),
        }
    }
}

/// An event: instant in seconds, end, and what it is.
type Told<'py> = (f64, Bound<'py, PyString>, Bound<'py, PyAny>);

/// A Client and a Gateway joined by a link under one clock, which only `advance` moves.
///
/// The Client's host has the addresses 100.64.0.1 and fd00:2021:1111::1; DNS is asked at
/// 100.100.111.1. Both ends take commands and give events in the shapes of the core's messages.
#[pyclass(frozen, module = "firezone._core")]
pub(crate) struct Pair {
    pair: Mutex<Core>,
}

#[pymethods]
impl Pair {
    #[new]
    #[pyo3(signature = (settings, /))]
    fn new(settings: &Bound<'_, PyAny>) -> PyResult<Self> {
        let settings: Settings = from_python(settings)?;
        Ok(Self { pair: Mutex::new(Core::new(config(&settings)?)) })
    }

    /// The present, in seconds.
    #[getter]
    fn now(&self) -> f64 {
        self.with_pair(|pair| seconds(pair.now()))
    }

    /// Let both ends use a resource; `expires_in` is in seconds.
    #[pyo3(signature = (resource, /, *, expires_in = None))]
    fn authorize(&self, resource: &Bound<'_, PyAny>, expires_in: Option<f64>) -> PyResult<()> {
        let resource: Resource = from_python(resource)?;
        self.with_pair(|pair| pair.authorize(&resource, expires_in));
        Ok(())
    }

    /// Give a command to an end: `client` or `gateway`.
    fn command(&self, side: &str, command: &Bound<'_, PyAny>) -> PyResult<()> {
        let command = match parse_side(side)? {
            Side::Client => Command::Client(from_python(command)?),
            Side::Gateway => Command::Gateway(from_python(command)?),
        };
        self.with_pair(|pair| match command {
            Command::Client(command) => pair.command_client(command),
            Command::Gateway(command) => pair.command_gateway(command),
        });
        Ok(())
    }

    /// Let the host of an end send packets; returns how many no train could be made of.
    fn send(&self, side: &str, batch: &Bound<'_, PacketBatch>) -> PyResult<usize> {
        let side = parse_side(side)?;
        let (packets, mut packet) = (batch.get().packets(), Vec::new());
        Ok(self.with_pair(|pair| {
            let mut malformed = 0;
            for original in packets.iter() {
                packet.clear();
                packet.extend_from_slice(original);
                malformed += usize::from(pair.send(side, &mut packet).is_err());
            }
            malformed
        }))
    }

    /// Move the clock to `until`, doing all that falls due on the way.
    fn advance(&self, py: Python<'_>, until: f64) -> PyResult<()> {
        let until = instant(until)?;
        py.detach(|| self.with_pair(|pair| pair.advance(until)));
        Ok(())
    }

    /// When something is due next, in seconds; None if nothing is.
    fn next_wake(&self) -> Option<f64> {
        self.with_pair(|pair| pair.next_wake().map(seconds))
    }

    /// Take what was delivered to the host of an end: the packets and the instant of each.
    fn deliveries(&self, side: &str) -> PyResult<(PacketBatch, Vec<f64>)> {
        let side = parse_side(side)?;
        Ok(self.with_pair(|pair| {
            let deliveries: Vec<_> = pair.take_deliveries(side).into_iter().collect();
            let times = deliveries.iter().map(|delivery| seconds(delivery.at)).collect();
            (PacketBatch::of(deliveries.iter().map(|delivery| &delivery.packet[..])), times)
        }))
    }

    /// Take all events: instant, end, what.
    fn events<'py>(&self, py: Python<'py>) -> PyResult<Vec<Told<'py>>> {
        let events: Vec<_> =
            self.with_pair(|pair| std::iter::from_fn(|| pair.poll_event()).collect());
        let told = events.iter().map(|(at, event)| {
            let side = match event {
                Event::Client(_) => intern!(py, "client"),
                Event::Gateway(_) => intern!(py, "gateway"),
            };
            Ok((seconds(*at), side.clone(), to_python(py, event)?))
        });
        told.collect()
    }

    /// The tunnel addresses of both ends: client IPv4, client IPv6, gateway IPv4, gateway IPv6.
    #[getter]
    fn addresses(&self) -> (IpAddr, IpAddr, IpAddr, IpAddr) {
        (CLIENT_IPV4.into(), CLIENT_IPV6.into(), GATEWAY_IPV4.into(), GATEWAY_IPV6.into())
    }
}

impl Pair {
    fn with_pair<T>(&self, use_it: impl FnOnce(&mut Core) -> T) -> T {
        use_it(&mut self.pair.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn config(settings: &Settings) -> PyResult<PairConfig> {
    let seconds = |value| Duration::try_from_secs_f64(value).map_err(bad_argument);
    let seed = settings.seed;
    let mut client = ClientConfig::new(CLIENT_IPV4, CLIENT_IPV6, seed, seed);
    client.refresh_floor = seconds(settings.refresh_floor)?;
    let mut gateway = GatewayConfig::new(GATEWAY_IPV4, GATEWAY_IPV6, seed);
    gateway.translations.cache_floor = seconds(settings.cache_floor)?;
    gateway.translations.failure_cache = seconds(settings.failure_cache)?;
    gateway.translations.allow_real.extend(&settings.allow_real);
    let data: Impairment = settings.data.impairment()?;
    let control = settings.control.impairment()?;
    let link = LinkConfig { data, control };
    let policy = if settings.halt { RefreshPolicy::Halt } else { RefreshPolicy::Keep };
    let ready_after = settings.ready_after;
    Ok(PairConfig { seed, policy, client, gateway, up: link, down: link, ready_after })
}

fn parse_side(side: &str) -> PyResult<Side> {
    match side {
        "client" => Ok(Side::Client),
        "gateway" => Ok(Side::Gateway),
        other => Err(bad_argument(format!("{other:?} is neither 'client' nor 'gateway'"))),
    }
}
