//! The state of a flow table by hand, as bytes and back (R38).

use std::time::Duration;

use dns::{Prefix, ResourceId};
use nat::control::ClientId;
use nat::flow_table::{FlowTable as Core, PeerIndex};
use nat::state::{self, Imported, Owner, StateError};
use nat::translations::{Config, Translations};
use packet::Instant;

use crate::flow_table::PEERS;

/// Clients whose ids are their numbers, and the one resource of a table without resources.
struct Numbered;

impl Owner for Numbered {
    fn peer(&self, client: ClientId) -> Option<PeerIndex> {
        u32::try_from(client.0).ok().filter(|peer| *peer < PEERS).map(PeerIndex)
    }

    fn tag(&self, resource: ResourceId) -> Option<u32> {
        (resource == ResourceId(0)).then_some(0)
    }

    fn client(&self, peer: PeerIndex) -> Option<ClientId> {
        Some(ClientId(peer.0.into()))
    }

    fn resource(&self, _: u32) -> Option<ResourceId> {
        Some(ResourceId(0))
    }
}

/// A script decides itself where its flows may lead: nothing is forbidden.
fn translations() -> Translations {
    let allow_real = vec![Prefix::v4(0, 0, 0, 0, 0), Prefix::v6(0, 0)];
    Translations::new(Config { allow_real, ..Config::default() })
}

pub(crate) fn export(table: &Core, now: Instant) -> Vec<u8> {
    state::export(&translations(), table, &Numbered, now)
}

/// Takes over what [`export`] wrote `since` ago.
pub(crate) fn import(
    table: &mut Core,
    file: &[u8],
    since: Duration,
    now: Instant,
) -> Result<Imported, StateError> {
    state::import(file, since, (&mut translations(), table), &Numbered, 0, now)
}
