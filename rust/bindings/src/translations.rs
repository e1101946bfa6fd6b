//! The Gateway's translations, by hand.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use dns::{Family, Pattern, ResourceId};
use nat::control::{AssignedIps, ClientId};
use nat::translations::{Access, Denied, Event, LookupError, LookupId, Translations as Core};
use pyo3::prelude::*;
use tunnel::GatewayConfig;

use crate::convert::{duration, instant, seconds};
use crate::dataclasses::counters;
use crate::errors::bad_argument;
use crate::objects::{from_python, to_python};
use crate::resource_nat::{parse_resource, version};

/// Which real address stands behind a proxy address of a Client, and the look-ups that tell.
///
/// After each call take `lookups` and answer them with `resolved`, take `transmits`, and call
/// `advance` by `next_wake`.
#[pyclass(frozen, module = "firezone._core")]
pub(crate) struct Translations {
    state: Mutex<State>,
}

struct State {
    translations: Core,
    grants: Grants,
    lookups: Vec<(u64, String, u8)>,
}

/// What Clients may reach, as `authorize` said.
#[derive(Default)]
struct Grants(BTreeMap<(ClientId, ResourceId), Pattern>);

impl Access for Grants {
    fn dns_resource(&self, client: ClientId, resource: ResourceId) -> Result<&Pattern, Denied> {
        self.0.get(&(client, resource)).ok_or(Denied::NotAuthorised)
    }

    fn has_live_flow(&self, _: ClientId, _: IpAddr) -> bool {
        // There is no flow table here; the name idle longest gives way.
        false
    }
}

#[pymethods]
impl Translations {
    #[new]
    #[pyo3(signature = (*, seed = 0, cache_floor = 1.0, failure_cache = 5.0))]
    fn new(seed: u64, cache_floor: f64, failure_cache: f64) -> PyResult<Self> {
        let own = ([100, 64, 0, 2].into(), [0xfd00, 0x2021, 0x1111, 0, 0, 0, 0, 2].into());
        let mut config = GatewayConfig::new(own.0, own.1, seed).translations;
        config.cache_floor = duration(cache_floor)?;
        config.failure_cache = duration(failure_cache)?;
        let translations = Core::new(config);
        let state = State { translations, grants: Grants::default(), lookups: Vec::new() };
        Ok(Self { state: Mutex::new(state) })
    }

    /// Let a Client use a resource of names.
    fn authorize(&self, client: &str, resource: &str, pattern: &str) -> PyResult<()> {
        let key = (parse_client(client)?, parse_resource(resource)?);
        let pattern = Pattern::parse(pattern).map_err(bad_argument)?;
        self.with_state(|state| state.grants.0.insert(key, pattern));
        Ok(())
    }

    /// Take a Client's AssignedIps, with the members that it has on the wire.
    #[pyo3(signature = (message, *, client, now))]
    fn assigned_ips(&self, message: &Bound<'_, PyAny>, client: &str, now: f64) -> PyResult<()> {
        let now = instant(now)?;
        let client = parse_client(client)?;
        let message: AssignedIps = from_python(message)?;
        self.with_state(|State { translations, grants, .. }| {
            translations.handle_assigned_ips(client, &message, grants, now);
        });
        Ok(())
    }

    /// Take the look-ups that are wanted: id, name, family (4 or 6).
    fn lookups(&self) -> Vec<(u64, String, u8)> {
        self.with_state(|state| {
            state.collect();
            std::mem::take(&mut state.lookups)
        })
    }

    /// Answer a look-up: addresses with their seconds to live, or an error: `nx_domain`, `no_data`,
    /// `serv_fail`, `refused`, `timed_out`, `other`.
    #[pyo3(signature = (lookup, family, addresses = None, *, error = None, now))]
    fn resolved(
        &self,
        lookup: u64,
        family: u8,
        addresses: Option<Vec<(IpAddr, u32)>>,
        error: Option<&str>,
        now: f64,
    ) -> PyResult<()> {
        let now = instant(now)?;
        let family = match family {
            4 => Family::Ipv4,
            6 => Family::Ipv6,
            other => return Err(bad_argument(format!("IP version {other}"))),
        };
        let result = match (addresses, error) {
            (Some(addresses), None) => Ok(addresses),
            (None, Some(error)) => Err(parse_error(error)?),
            _ => return Err(bad_argument("either addresses or an error")),
        };
        let id = LookupId(lookup);
        self.with_state(|state| state.translations.handle_resolved(id, family, result, now));
        Ok(())
    }

    /// The real address for a new flow to a proxy address, or None.
    #[pyo3(signature = (proxy, *, client, now))]
    fn find(&self, proxy: IpAddr, client: &str, now: f64) -> PyResult<Option<IpAddr>> {
        let now = instant(now)?;
        let client = parse_client(client)?;
        Ok(self.with_state(|state| state.translations.find(client, proxy, now)?.real))
    }

    /// Do what is due.
    fn advance(&self, now: f64) -> PyResult<()> {
        let now = instant(now)?;
        self.with_state(|state| state.translations.handle_timeout(now));
        Ok(())
    }

    /// When `advance` is wanted next, in seconds; None if never.
    fn next_wake(&self) -> Option<f64> {
        self.with_state(|state| state.translations.poll_timeout().map(|(at, _)| seconds(at)))
    }

    /// Take the statuses for Clients: (client, DomainStatus).
    fn transmits<'py>(&self, py: Python<'py>) -> PyResult<Vec<(String, Bound<'py, PyAny>)>> {
        let statuses: Vec<_> = self.with_state(|state| {
            std::iter::from_fn(|| state.translations.poll_transmit()).collect()
        });
        let told = statuses.iter().map(|(to, status)| Ok((to.to_string(), to_python(py, status)?)));
        told.collect()
    }

    /// What happened so far: a `TranslationsCounters`.
    fn counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let counters = self.with_state(|state| *state.translations.counters());
        counters!(
            py,
            "TranslationsCounters",
            counters,
            [
                announcements,
                rejected,
                touched_proxies,
                lookups,
                results,
                results_ignored,
                forbidden_addresses,
                statuses,
            ]
        )
    }
}

impl Translations {
    fn with_state<T>(&self, use_it: impl FnOnce(&mut State) -> T) -> T {
        use_it(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    /// Sorts the events: look-ups are kept for `lookups`, the others are of interest to an owner of
    /// flows alone.
    fn collect(&mut self) {
        while let Some(event) = self.translations.poll_event() {
            match event {
                Event::Resolve { id, name, family } => {
                    self.lookups.push((id.0, name.as_str().to_owned(), version(family)));
                }
                Event::Settled { .. }
                | Event::Refreshed { .. }
                | Event::Stale { .. }
                | Event::EndProxy { .. } => {}
            }
        }
    }
}

fn parse_client(id: &str) -> PyResult<ClientId> {
    id.parse().map_err(bad_argument)
}

fn parse_error(error: &str) -> PyResult<LookupError> {
    Ok(match error {
        "nx_domain" => LookupError::NxDomain,
        "no_data" => LookupError::NoData,
        "serv_fail" => LookupError::ServFail,
        "refused" => LookupError::Refused,
        "timed_out" => LookupError::TimedOut,
        "other" => LookupError::Other,
        unknown => return Err(bad_argument(format!("{unknown:?} is no kind of error"))),
    })
}
