//! The Client's side of the NAT, by hand.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use dns::{Families, Family, IpStack, Name, NameId, Names, Proxies, ResourceId};
use nat::control::{DomainStatus, GatewayId};
use nat::resource_nat::{Config, EntryKey, Event, RefreshPolicy, ResourceNat as Core, Verdict};
use pyo3::prelude::*;

use crate::convert::{duration, instant, seconds};
use crate::dataclasses::counters;
use crate::errors::bad_argument;
use crate::objects::{from_python, to_python};

/// Whether a packet to a proxy address passes, is held or is refused; and what Gateways are told.
///
/// Time is an argument. After each call take `transmits` and `events`, and call `advance` by
/// `next_wake`.
#[pyclass(frozen, module = "firezone._core")]
pub(crate) struct ResourceNat {
    state: Mutex<State>,
}

struct State {
    nat: Core,
    names: Names,
}

#[pymethods]
impl ResourceNat {
    #[new]
    #[pyo3(signature = (*, seed = 0, run = 0, refresh_floor = 1.0, halt = false))]
    fn new(seed: u64, run: u64, refresh_floor: f64, halt: bool) -> PyResult<Self> {
        let config = Config { refresh_floor: duration(refresh_floor)?, run, seed };
        let policy = if halt { RefreshPolicy::Halt } else { RefreshPolicy::Keep };
        let state = State { nat: Core::with_policy(config, policy), names: Names::new(seed) };
        Ok(Self { state: Mutex::new(state) })
    }

    /// Make an entry for a name at a Gateway and announce it; nothing happens if there is one.
    #[pyo3(signature = (name, proxies, *, gateway, resource, now))]
    fn establish(
        &self,
        name: &str,
        proxies: Vec<IpAddr>,
        gateway: &str,
        resource: &str,
        now: f64,
    ) -> PyResult<()> {
        let now = instant(now)?;
        let name = parse_name(name)?;
        let proxies = group(&proxies)?;
        let (gateway, resource) = (parse_gateway(gateway)?, parse_resource(resource)?);
        self.with_state(|State { nat, names }| {
            let key = EntryKey { gateway, name: names.intern(&name), resource };
            nat.establish(key, &name, &proxies, IpStack::Dual, now);
        });
        Ok(())
    }

    /// Say that an A or AAAA query for a name was answered: its entries are refreshed.
    #[pyo3(signature = (name, *, now))]
    fn query(&self, name: &str, now: f64) -> PyResult<()> {
        let now = instant(now)?;
        self.with_name(name, |nat, name| nat.handle_query(name, now))
    }

    /// Decide what becomes of a packet to a proxy address of a name: `pass`, `hold`, `refuse` or
    /// `unknown`. `family` is 4 or 6.
    #[pyo3(signature = (name, family, *, gateway, resource, now))]
    fn decide(
        &self,
        name: &str,
        family: u8,
        gateway: &str,
        resource: &str,
        now: f64,
    ) -> PyResult<&'static str> {
        let now = instant(now)?;
        let family = parse_family(family)?;
        let (gateway, resource) = (parse_gateway(gateway)?, parse_resource(resource)?);
        self.with_name(name, |nat, name| match nat.decide(gateway, resource, name, family, now) {
            Verdict::Unknown => "unknown",
            Verdict::Pass => "pass",
            Verdict::Hold(_) => "hold",
            Verdict::Refuse => "refuse",
        })
    }

    /// Take a Gateway's DomainStatus, with the members that it has on the wire.
    #[pyo3(signature = (status, *, gateway, now))]
    fn status(&self, status: &Bound<'_, PyAny>, gateway: &str, now: f64) -> PyResult<()> {
        let now = instant(now)?;
        let gateway = parse_gateway(gateway)?;
        let status: DomainStatus = from_python(status)?;
        self.with_name(&status.domain, |nat, name| {
            nat.handle_status(gateway, name, &status, now);
        })
    }

    /// Families that the stub may offer for a name: (IPv4, IPv6).
    fn families(&self, name: &str) -> PyResult<(bool, bool)> {
        self.with_name(name, |nat, name| {
            let Families { ipv4, ipv6 } = nat.families(name);
            (ipv4, ipv6)
        })
    }

    /// Lose a resource: its entries end.
    fn remove_resource(&self, resource: &str) -> PyResult<()> {
        let resource = parse_resource(resource)?;
        self.with_state(|state| state.nat.remove_resource(resource));
        Ok(())
    }

    /// Do what is due.
    fn advance(&self, now: f64) -> PyResult<()> {
        let now = instant(now)?;
        self.with_state(|state| state.nat.handle_timeout(now));
        Ok(())
    }

    /// When `advance` is wanted next, in seconds; None if never.
    fn next_wake(&self) -> Option<f64> {
        self.with_state(|state| state.nat.poll_timeout().map(|(at, _)| seconds(at)))
    }

    /// Take the messages to Gateways: (gateway, AssignedIps).
    fn transmits<'py>(&self, py: Python<'py>) -> PyResult<Vec<(String, Bound<'py, PyAny>)>> {
        let messages: Vec<_> =
            self.with_state(|state| std::iter::from_fn(|| state.nat.poll_transmit()).collect());
        let told =
            messages.iter().map(|(to, message)| Ok((to.to_string(), to_python(py, message)?)));
        told.collect()
    }

    /// Take the events: kind, and the family (4 or 6) that it is about, if any.
    fn events(&self) -> Vec<(&'static str, Option<u8>)> {
        self.with_state(|state| {
            let mut events = Vec::new();
            while let Some(event) = state.nat.poll_event() {
                events.push(match event {
                    Event::Release { family, .. } => ("release", Some(version(family))),
                    Event::GiveUp { family, .. } => ("give_up", Some(version(family))),
                    Event::Established { family, .. } => ("established", Some(version(family))),
                    Event::Refreshed { .. } => ("refreshed", None),
                    Event::Stale { .. } => ("stale", None),
                    Event::Refused { family, .. } => ("refused", Some(version(family))),
                    Event::AccessLost { .. } => ("access_lost", None),
                });
            }
            events
        })
    }

    /// What happened so far: a `ResourceNatCounters`.
    fn counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let counters = self.with_state(|state| *state.nat.counters());
        counters!(
            py,
            "ResourceNatCounters",
            counters,
            [
                queries,
                touched_entries,
                handshakes,
                transmissions,
                refreshes_completed,
                refreshes_stale,
                statuses_ignored,
            ]
        )
    }
}

impl ResourceNat {
    fn with_state<T>(&self, use_it: impl FnOnce(&mut State) -> T) -> T {
        use_it(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn with_name<T>(&self, name: &str, use_it: impl FnOnce(&mut Core, NameId) -> T) -> PyResult<T> {
        let name = parse_name(name)?;
        Ok(self.with_state(|State { nat, names }| use_it(nat, names.intern(&name))))
    }
}

pub(crate) fn parse_name(name: &str) -> PyResult<Name> {
    Name::parse(name).map_err(bad_argument)
}

pub(crate) fn parse_resource(id: &str) -> PyResult<ResourceId> {
    id.parse().map_err(bad_argument)
}

fn parse_gateway(id: &str) -> PyResult<GatewayId> {
    id.parse().map_err(bad_argument)
}

fn parse_family(version: u8) -> PyResult<Family> {
    match version {
        4 => Ok(Family::Ipv4),
        6 => Ok(Family::Ipv6),
        other => Err(bad_argument(format!("IP version {other}"))),
    }
}

pub(crate) fn version(family: Family) -> u8 {
    match family {
        Family::Ipv4 => 4,
        Family::Ipv6 => 6,
    }
}

/// Four IPv4 and four IPv6 addresses, in this order.
fn group(addresses: &[IpAddr]) -> PyResult<Proxies> {
    let mut ipv4 = Vec::new();
    let mut ipv6 = Vec::new();
    for address in addresses {
        match address {
            IpAddr::V4(address) => ipv4.push(*address),
            IpAddr::V6(address) => ipv6.push(*address),
        }
    }
    match (ipv4.try_into(), ipv6.try_into()) {
        (Ok(ipv4), Ok(ipv6)) => Ok(Proxies { ipv4, ipv6 }),
        _ => Err(bad_argument("a name has four IPv4 and four IPv6 proxies")),
    }
}
