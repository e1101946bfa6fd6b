//! Descriptors on their way from one process to the next (R38): named, owned, checked by who adopts them.
//!
//! Python carries them and never sees what is secret: sessions stay inside their socket.

use std::os::fd::{BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};

use pyo3::prelude::*;
use runtime::{Remains, State, Wire};
use tunnel::{Endpoint, Exported};

use crate::errors::{bad_argument, os_error};

const TUN: &str = "tun";
const UDP: &str = "udp";
const SESSIONS: &str = "sessions";

/// Descriptors by name, NAT state, when it was told, and why there are no sessions.
pub(crate) type HandedOver = (Vec<(String, i32)>, Option<Vec<u8>>, u64, Option<String>);

/// What a former process left.
#[derive(Default)]
pub(crate) struct Descriptors {
    pub(crate) tun: Option<OwnedFd>,
    pub(crate) sockets: Vec<OwnedFd>,
    pub(crate) sessions: Option<OwnedFd>,
}

impl Descriptors {
    /// Takes descriptors, each the caller's own until now.
    pub(crate) fn own(named: Vec<(String, i32)>) -> PyResult<Self> {
        let own = |number: i32| {
            // SAFETY: it is open, and the caller gives it away.
            is_open(number).then(|| unsafe { OwnedFd::from_raw_fd(number) })
        };
        // All of them first: whatever is wrong with one, the others are closed, too.
        let owned: Vec<_> =
            named.into_iter().map(|(name, number)| (name, number, own(number))).collect();
        let mut descriptors = Self::default();
        for (name, number, descriptor) in owned {
            let descriptor = descriptor
                .ok_or_else(|| bad_argument(format!("descriptor {number} ({name}) is not open")))?;
            match name.as_str() {
                TUN => descriptors.tun = Some(descriptor),
                UDP => descriptors.sockets.push(descriptor),
                SESSIONS => descriptors.sessions = Some(descriptor),
                _ => return Err(bad_argument(format!("no descriptor is called {name:?}"))),
            }
        }
        Ok(descriptors)
    }
}

fn is_open(number: i32) -> bool {
    // SAFETY: borrowed for the call alone, which fails if it is not open.
    number >= 0 && unsafe { BorrowedFd::borrow_raw(number) }.try_clone_to_owned().is_ok()
}

/// Takes over the sessions of a former process, to which `state` belongs; how many peers have some, or
/// why they are not used.
pub(crate) fn inherit(
    endpoint: &mut dyn Endpoint,
    sessions: OwnedFd,
    state: Option<&State>,
) -> Result<usize, String> {
    let bytes = runtime::spill(sessions).map_err(|error| error.to_string())?;
    if bytes.is_empty() {
        return Err("another process has taken the sessions; peers are greeted anew".to_owned());
    }
    let exported = Exported::from_bytes(bytes).map_err(|error| error.to_string())?;
    let state = state.map(|state| state.bytes.as_slice());
    endpoint.inherit_sessions(&exported, state, runtime::now()).map_err(|error| error.to_string())
}

/// Takes a loop that ended apart.
pub(crate) fn give(remains: Remains) -> PyResult<HandedOver> {
    let Remains { stations, wire } = remains;
    let station = stations.into_iter().next();
    let mut station = station.ok_or_else(|| bad_argument("the loop had no endpoint"))?;
    let now = runtime::now();
    let state = station.endpoint.export_state(now);
    let sessions = station.endpoint.export_sessions_and_stop(now);
    let sessions = sessions.map(|sessions| runtime::fill(sessions.as_bytes()));
    let (sessions, why) = match sessions.transpose() {
        Ok(sessions) => (sessions, None),
        Err(error) => (None, Some(format!("no room for the sessions: {}", os_error(error)))),
    };
    let sockets = match wire {
        Wire::Udp(sockets) => sockets.into_fds(),
        Wire::Links(_) => Vec::new(),
    };
    let named = [(TUN, Some(station.tun.into_fd())), (SESSIONS, sessions)];
    let named = named.into_iter().filter_map(|(name, owned)| Some((name, owned?)));
    let named = named.chain(sockets.into_iter().map(|owned| (UDP, owned)));
    let descriptors = named.map(|(name, owned)| (name.to_owned(), owned.into_raw_fd())).collect();
    Ok((descriptors, state, now.as_nanos(), why))
}
