//! Clients and a Gateway in one process, joined by seeded links: the laboratory's endpoints.
//!
//! This is the only door to the `halt` policy (R41) and to the plain session. `firezone.lab` opens it;
//! no setting of a real endpoint leads here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use dns::Prefix;
use link::Link;
use nat::resource_nat::RefreshPolicy;
use pyo3::prelude::*;
use runtime::{EventLoop, Handle, Links, Offloads, Scheduling, Station, Tun, Wire};
use serde::Deserialize;
use tunnel::messages::Command;
use tunnel::{Client, ClientConfig, Connections, Endpoint, Gateway, GatewayConfig};

use crate::convert::duration;
use crate::errors::{bad_argument, os_error, tun_error};
use crate::running::{Row, Running};
use crate::settings::Impairments;

/// Shape of the JSON text that makes a network.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NetworkConfig {
    seed: u64,
    #[serde(default)]
    halt: bool,
    clients: Vec<ClientSide>,
    gateway: GatewaySide,
    /// Network namespace of the sockets for forwarded DNS.
    #[serde(default)]
    dns_namespace: Option<PathBuf>,
    up: Impairments,
    down: Impairments,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClientSide {
    tun: TunSide,
    ipv4: Ipv4Addr,
    ipv6: Ipv6Addr,
    endpoint: SocketAddr,
    run: u64,
    refresh_floor: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GatewaySide {
    tun: TunSide,
    ipv4: Ipv4Addr,
    ipv6: Ipv6Addr,
    endpoint: SocketAddr,
    cache_floor: f64,
    failure_cache: f64,
    #[serde(default)]
    own_addresses: Vec<IpAddr>,
    #[serde(default)]
    allow_real: Vec<Prefix>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TunSide {
    name: String,
    namespace: Option<PathBuf>,
}

/// Clients and a Gateway, each on a TUN device of its own, each Client joined to it by a link.
///
/// Made from a JSON text. Stations 0 and up are the Clients, the one behind them is the Gateway. The
/// data-plane thread runs from construction until `stop` or until the object goes.
#[pyclass(frozen, module = "firezone._core")]
pub(crate) struct LabNetwork {
    running: Running,
    config: NetworkConfig,
}

#[pymethods]
impl LabNetwork {
    #[new]
    fn new(py: Python<'_>, config: &str) -> PyResult<Self> {
        let config: NetworkConfig = serde_json::from_str(config).map_err(bad_argument)?;
        py.detach(|| Ok(Self { running: Running::new(start(&config)?)?, config }))
    }

    /// Queue a command, a JSON text, for a station.
    fn command(&self, station: usize, command: &str) -> PyResult<()> {
        let gateway = self.config.clients.len();
        let command = match station {
            _ if station < gateway => {
                Command::Client(serde_json::from_str(command).map_err(bad_argument)?)
            }
            _ if station == gateway => {
                Command::Gateway(serde_json::from_str(command).map_err(bad_argument)?)
            }
            other => return Err(bad_argument(format!("there is no station {other}"))),
        };
        self.running.command(station, command)
    }

    /// Put a new Client without any memory into the place of one: what a restarted process is. Its
    /// `run` is another, and `seed` decides what is random in it.
    fn restart_client(&self, station: usize, run: u64, seed: u64) -> PyResult<()> {
        let side = self.config.clients.get(station);
        let side = side.ok_or_else(|| bad_argument(format!("there is no Client {station}")))?;
        let client = client(side, self.config.halt, run, seed)?;
        let replaced = self.running.with_handle(|handle| handle.replace(station, client));
        replaced.map_err(bad_argument)
    }

    /// Take all events that wait: pairs of station and JSON text.
    fn events(&self) -> PyResult<Vec<(usize, String)>> {
        self.running.events()
    }

    /// The descriptor that becomes readable when events wait; it stays this object's own.
    fn wake_fd(&self) -> i32 {
        self.running.wake_fd()
    }

    /// What went through each station's device and link so far, by name.
    fn counters(&self) -> Vec<Row> {
        self.running.counters()
    }

    /// End the data-plane thread and wait for it.
    fn stop(&self, py: Python<'_>) {
        self.running.stop(py);
    }
}

fn start(config: &NetworkConfig) -> PyResult<Handle> {
    let NetworkConfig { seed, clients, gateway: own, .. } = config;
    let mut stations = Vec::new();
    for side in clients {
        let endpoint = client(side, config.halt, side.run, *seed)?;
        stations.push(Station { endpoint, tun: open(&side.tun)? });
    }
    stations.push(Station { endpoint: gateway(own, *seed)?, tun: open(&own.tun)? });
    let addresses = clients.iter().map(|side| side.endpoint).chain([own.endpoint]).collect();
    let mut links = Links::new(addresses);
    for station in 0..clients.len() {
        let seed = seed.wrapping_add(2 * station as u64);
        links.join(station, clients.len(), Link::new(config.up.config()?, seed));
        links.join(clients.len(), station, Link::new(config.down.config()?, seed.wrapping_add(1)));
    }
    let namespace = config.dns_namespace.clone();
    EventLoop::start(stations, Wire::Links(links), namespace, false, Scheduling::Fair)
        .map_err(os_error)
}

fn client(side: &ClientSide, halt: bool, run: u64, seed: u64) -> PyResult<Box<dyn Endpoint>> {
    let policy = if halt { RefreshPolicy::Halt } else { RefreshPolicy::Keep };
    let mut config = ClientConfig::new(side.ipv4, side.ipv6, run, seed);
    config.refresh_floor = duration(side.refresh_floor)?;
    Ok(Box::new(Client::with_policy(config, policy, runtime::now())))
}

fn gateway(side: &GatewaySide, seed: u64) -> PyResult<Box<dyn Endpoint>> {
    let mut config = GatewayConfig::new(side.ipv4, side.ipv6, seed);
    let translations = &mut config.translations;
    translations.cache_floor = duration(side.cache_floor)?;
    translations.failure_cache = duration(side.failure_cache)?;
    translations.own_addresses.extend(&side.own_addresses);
    translations.allow_real.extend(&side.allow_real);
    Ok(Box::new(Gateway::new(config, Connections::default())))
}

fn open(side: &TunSide) -> PyResult<Tun> {
    let namespace = side.namespace.as_deref().map(Path::new);
    Tun::open(&side.name, namespace, Offloads::Off).map_err(|error| tun_error(&error))
}
