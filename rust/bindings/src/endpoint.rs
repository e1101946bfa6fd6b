//! A Client or a Gateway as it runs on a host: one TUN device, UDP sockets, WireGuard.
//!
//! The policy is always `keep` and every peer has a key: nothing that is configured leads to the
//! laboratory's policy or session.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use aead::{Choice, Cipher};
use connection::{Connections, Entropy, Node, PrivateKey};
use dns::Prefix;
use nat::buffer::Limits;
use nat::state::Imported;
use packet::Instant;
use pyo3::prelude::*;
use runtime::{
    EventLoop, Handle, Host, Offloads, Scheduling, State, Station, Tun, UdpConfig, UdpSockets, Wire,
};
use serde::Deserialize;
use tunnel::messages::Command;
use tunnel::{Client, ClientConfig, Endpoint as TunnelEndpoint, Gateway, GatewayConfig};

use crate::convert::duration;
use crate::errors::{bad_argument, os_error, tun_error, udp_error};
use crate::handover::{Descriptors, HandedOver, give, inherit};
use crate::running::{Row, Running};

/// Shape of the JSON text that makes an endpoint.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EndpointConfig {
    role: Role,
    tun: String,
    ipv4: Ipv4Addr,
    ipv6: Ipv6Addr,
    /// UDP port; 0 lets the kernel choose.
    port: u16,
    /// Firewall mark of own datagrams, by which routes into the tunnel are avoided.
    #[serde(default)]
    mark: Option<u32>,
    #[serde(default)]
    send_buffer: Option<usize>,
    #[serde(default)]
    receive_buffer: Option<usize>,
    #[serde(default)]
    aead: Aead,
    /// Whether the kernel's offloads are used where it has them.
    #[serde(default = "yes")]
    offloads: bool,
    #[serde(default)]
    scheduling: Turns,
    buffer: BufferLimits,
    /// Network namespace of the device and all sockets; absent: this process's.
    #[serde(default)]
    namespace: Option<PathBuf>,
}

impl EndpointConfig {
    fn udp(&self, offloads: Offloads) -> UdpConfig {
        let defaults = UdpConfig::default();
        UdpConfig {
            port: self.port,
            mark: self.mark,
            send_buffer: self.send_buffer.unwrap_or(defaults.send_buffer),
            receive_buffer: self.receive_buffer.unwrap_or(defaults.receive_buffer),
            offloads,
        }
    }
}

/// What seals and opens packets: the fastest that this processor has, or `ring`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Aead {
    #[default]
    Auto,
    Ring,
}

impl Aead {
    fn cipher(self) -> Cipher {
        Cipher::new(match self {
            Self::Auto => Choice::Auto,
            Self::Ring => Choice::Ring,
        })
    }
}

/// Whether the data plane's thread goes before other programs.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Turns {
    #[default]
    Realtime,
    Fair,
}

impl Turns {
    fn scheduling(self) -> Scheduling {
        match self {
            Self::Realtime => Scheduling::RealTime,
            Self::Fair => Scheduling::Fair,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Role {
    Client {
        refresh_floor: f64,
        proxy_ipv4: Prefix,
        proxy_ipv6: Prefix,
    },
    Gateway {
        cache_floor: f64,
        failure_cache: f64,
        /// Further addresses of this host: names may not lead to them (R18).
        own_addresses: Vec<IpAddr>,
        allow_real: Vec<Prefix>,
    },
}

/// Bounds of held packets (R11, R14).
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BufferLimits {
    queue_bytes: usize,
    queue_packets: usize,
    total_bytes: usize,
    /// Seconds.
    max_age: f64,
}

impl BufferLimits {
    fn limits(&self) -> PyResult<Limits> {
        Ok(Limits {
            entry_bytes: self.queue_bytes,
            entry_packets: self.queue_packets,
            total_bytes: self.total_bytes,
            max_age: duration(self.max_age)?,
            ..Limits::default()
        })
    }
}

fn yes() -> bool {
    true
}

/// Something, or in words why there is none.
#[derive(IntoPyObject)]
enum OrWhyNot<T> {
    Is(T),
    Not(String),
}

/// Flows, resting ports and names that came over, and what was left out.
type Came = (u32, u32, u32, u32);

/// A running Client or Gateway.
///
/// Made from a JSON text and its private key (32 bytes); without, it makes one that lives as long as it.
/// The data-plane thread runs from construction
/// until `stop` or until the object goes; the device goes with it. It takes commands alone until `begin`.
///
/// `descriptors` are those that `hand_over` gave in a former process, by name; they belong to this object
/// from now on, whatever becomes of it. `state` is NAT state of a former process, `exported` when it was
/// told (nanoseconds of CLOCK_BOOTTIME).
#[pyclass(frozen, module = "firezone._core")]
pub(crate) struct Endpoint {
    running: Running,
    is_client: bool,
    public_key: [u8; 32],
    port: u16,
    aead: &'static str,
    /// Of how many peers a former process left sessions, or why they are not used.
    inherited: Option<Result<usize, String>>,
    /// NAT state that `begin` will give to the core.
    state: Mutex<Option<State>>,
}

#[pymethods]
impl Endpoint {
    #[new]
    #[pyo3(signature = (config, private_key = None, descriptors = Vec::new(), state = None, exported = 0))]
    fn new(
        py: Python<'_>,
        config: &str,
        private_key: Option<[u8; 32]>,
        descriptors: Vec<(String, i32)>,
        state: Option<Vec<u8>>,
        exported: u64,
    ) -> PyResult<Self> {
        let descriptors = Descriptors::own(descriptors)?;
        let config: EndpointConfig = serde_json::from_str(config).map_err(bad_argument)?;
        let private_key = private_key.map_or_else(generate_key, Ok)?;
        let key = PrivateKey::from_bytes(private_key);
        let exported = Instant::from_nanos(exported);
        let state = state.map(|bytes| State { bytes, exported });
        py.detach(|| start(&config, key, descriptors, state))
    }

    /// Take packets from now on: after all commands that were queued before.
    ///
    /// Returns the numbers of flows, resting ports and names that came over and of what was left out, or
    /// why none did; None without a state.
    fn begin(&self, py: Python<'_>) -> PyResult<Option<OrWhyNot<Came>>> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner).take();
        let begun = py.detach(|| self.running.with_handle(|handle| handle.begin(0, state)));
        let came = |of: Imported| (of.flows, of.rests, of.names, of.left_out);
        let begun = begun.map_err(bad_argument)?;
        Ok(begun.map(|imported| match imported {
            Ok(imported) => OrWhyNot::Is(came(imported)),
            Err(error) => OrWhyNot::Not(error.to_string()),
        }))
    }

    /// End the data-plane thread and give all that a successor needs: descriptors by name, NAT state if
    /// it is a Gateway, when that was, and why there are no sessions among the descriptors, if so.
    ///
    /// The descriptors belong to the caller. Sessions cross inside one of them, which can be read once.
    fn hand_over(&self, py: Python<'_>) -> PyResult<HandedOver> {
        let remains = py.detach(|| self.running.with_handle(Handle::take_apart));
        let remains = remains.ok_or_else(|| bad_argument("the data plane has stopped"))?;
        py.detach(|| give(remains))
    }

    /// Of how many peers a former process left sessions, or why they are not used; None if it left none.
    #[getter]
    fn inherited(&self) -> Option<OrWhyNot<usize>> {
        self.inherited.clone().map(|inherited| match inherited {
            Ok(peers) => OrWhyNot::Is(peers),
            Err(why) => OrWhyNot::Not(why),
        })
    }

    /// The public key by which peers know this endpoint, 32 bytes.
    #[getter]
    fn public_key(&self) -> [u8; 32] {
        self.public_key
    }

    /// The UDP port that peers send to.
    #[getter]
    fn port(&self) -> u16 {
        self.port
    }

    /// What seals and opens packets: "avx512-ifma", "avx512", "avx2" or "ring".
    #[getter]
    fn aead(&self) -> &'static str {
        self.aead
    }

    /// Queue a command, a JSON text.
    fn command(&self, command: &str) -> PyResult<()> {
        let command = if self.is_client {
            Command::Client(serde_json::from_str(command).map_err(bad_argument)?)
        } else {
            Command::Gateway(serde_json::from_str(command).map_err(bad_argument)?)
        };
        self.running.command(0, command)
    }

    /// Take all events that wait, as JSON texts.
    fn events(&self) -> PyResult<Vec<String>> {
        Ok(self.running.events()?.into_iter().map(|(_, event)| event).collect())
    }

    /// The descriptor that becomes readable when events wait; it stays this object's own.
    fn wake_fd(&self) -> i32 {
        self.running.wake_fd()
    }

    /// What went through the device and the sockets so far, by name: packets, datagrams, and the
    /// system calls that carried them.
    fn counters(&self) -> Row {
        self.running.counters().into_iter().next().unwrap_or_default()
    }

    /// End the data-plane thread and wait for it.
    fn stop(&self, py: Python<'_>) {
        self.running.stop(py);
    }
}

/// A new private key, 32 bytes.
#[pyfunction]
pub(crate) fn generate_key() -> PyResult<[u8; 32]> {
    runtime::random().map_err(os_error)
}

/// The public key of a private one, both 32 bytes.
#[pyfunction]
pub(crate) fn public_key(private_key: [u8; 32]) -> [u8; 32] {
    *PrivateKey::from_bytes(private_key).public_key().as_bytes()
}

/// Check the pattern of a DNS resource; a wrong one is a ValueError.
#[pyfunction]
pub(crate) fn check_pattern(pattern: &str) -> PyResult<()> {
    dns::Pattern::parse(pattern).map(drop).map_err(bad_argument)
}

fn start(
    config: &EndpointConfig,
    key: PrivateKey,
    descriptors: Descriptors,
    state: Option<State>,
) -> PyResult<Endpoint> {
    let namespace = config.namespace.as_deref();
    let offloads = if config.offloads { Offloads::Auto } else { Offloads::Off };
    let udp = config.udp(offloads);
    let Descriptors { tun, sockets, sessions } = descriptors;
    let sockets = if sockets.is_empty() {
        UdpSockets::open(&udp, namespace)
    } else {
        UdpSockets::adopt(&udp, sockets)
    };
    let sockets = sockets.map_err(|error| udp_error(&error))?;
    let host = Host { namespace: config.namespace.clone(), without: config.tun.clone() };
    let sockets = sockets.on(host);
    let port = sockets.port().unwrap_or(config.port);
    let public_key = *key.public_key().as_bytes();
    let cipher = config.aead.cipher();
    let mut endpoint = endpoint(config, connections(key, cipher)?)?;
    let tun = match tun {
        Some(tun) => Tun::adopt(tun, &config.tun, offloads),
        None => Tun::open(&config.tun, namespace.map(Path::new), offloads),
    };
    let tun = tun.map_err(|error| tun_error(&error))?;
    // Late: they can be read once, and what fails before has not taken them.
    let inherited = sessions.map(|sessions| inherit(endpoint.as_mut(), sessions, state.as_ref()));
    let stations = vec![Station { endpoint, tun }];
    let scheduling = config.scheduling.scheduling();
    let namespace = config.namespace.clone();
    let handle = EventLoop::start(stations, Wire::Udp(sockets), namespace, true, scheduling);
    let running = Running::new(handle.map_err(os_error)?)?;
    let is_client = matches!(config.role, Role::Client { .. });
    Ok(Endpoint {
        running,
        is_client,
        public_key,
        port,
        aead: cipher.name(),
        inherited,
        state: Mutex::new(state),
    })
}

fn connections(key: PrivateKey, cipher: Cipher) -> PyResult<Connections> {
    let mut entropy = Entropy::new(runtime::random().map_err(os_error)?);
    let node = Node::new(key, entropy.fork(), runtime::wall(), runtime::now());
    Ok(Connections::wireguard(node.with_cipher(cipher), entropy))
}

fn endpoint(
    config: &EndpointConfig,
    connections: Connections,
) -> PyResult<Box<dyn TunnelEndpoint>> {
    let EndpointConfig { ipv4, ipv6, .. } = *config;
    let number = || runtime::random().map(u64::from_le_bytes).map_err(os_error);
    let seed = number()?;
    Ok(match &config.role {
        Role::Client { refresh_floor, proxy_ipv4, proxy_ipv6 } => {
            let mut client = ClientConfig::new(ipv4, ipv6, number()?, seed);
            client.refresh_floor = duration(*refresh_floor)?;
            (client.proxies.ipv4, client.proxies.ipv6) = (*proxy_ipv4, *proxy_ipv6);
            client.buffer = config.buffer.limits()?;
            Box::new(Client::new(client, connections, runtime::now()))
        }
        Role::Gateway { cache_floor, failure_cache, own_addresses, allow_real } => {
            let mut gateway = GatewayConfig::new(ipv4, ipv6, seed);
            let translations = &mut gateway.translations;
            translations.cache_floor = duration(*cache_floor)?;
            translations.failure_cache = duration(*failure_cache)?;
            translations.own_addresses.extend(own_addresses);
            translations.allow_real.extend(allow_real);
            gateway.buffer = config.buffer.limits()?;
            let since_boot = runtime::now().saturating_duration_since(Instant::ZERO);
            gateway.wall_ahead = runtime::wall().saturating_sub(since_boot);
            Box::new(Gateway::new(gateway, connections))
        }
    })
}
