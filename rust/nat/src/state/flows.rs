//! The flow table's part of a file: each flow with its Client and resource by id.

use std::time::Duration;

use dns::ResourceId;
use packet::{Instant, Protocol};

use super::{Owner, Reader, StateError, Writer};
use crate::control::ClientId;
use crate::flow_table::{FlowState, FlowTable, Traffic};

/// A flow as a file has it.
pub(super) struct Saved {
    pub(super) client: ClientId,
    pub(super) resource: Option<ResourceId>,
    pub(super) state: FlowState,
}

impl Saved {
    /// A flow to a network, whose address is as the Client knows it.
    pub(super) fn is_direct(&self) -> bool {
        self.state.proxy == Some(self.state.real)
    }

    /// The state so much later, with the note of its new owner.
    pub(super) fn aged(&self, since: Duration, tag: u32) -> FlowState {
        let since = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        FlowState {
            tag,
            opened: self.state.opened.saturating_add(since),
            last_seen: self.state.last_seen.saturating_add(since),
            ..self.state
        }
    }
}

pub(super) fn export(table: &FlowTable, owner: &impl Owner, into: &mut Writer, now: Instant) {
    let at = into.bytes.len();
    into.count(0);
    let mut count = 0_u32;
    table.for_each_state(now, |peer, flow| {
        let Some(client) = owner.client(peer) else { return };
        count += 1;
        let resource = owner.resource(flow.tag);
        into.u128(client.0);
        into.bool(resource.is_some());
        into.u128(resource.map_or(0, |resource| resource.0));
        write(into, flow);
    });
    into.bytes[at..at + 4].copy_from_slice(&count.to_le_bytes());
}

fn write(into: &mut Writer, flow: &FlowState) {
    into.u8(match flow.protocol {
        Protocol::Tcp => 6,
        Protocol::Udp => 17,
        Protocol::Icmp => 1,
    });
    into.u8(flow.state);
    into.address(flow.real);
    into.bool(flow.proxy.is_some());
    into.address(flow.proxy.unwrap_or(flow.real));
    into.u16(flow.client_port);
    into.u16(flow.outside_port);
    into.u16(flow.remote_port);
    for way in flow.traffic {
        into.u64(way.bytes);
        into.u64(way.packets);
    }
    into.u64(flow.opened);
    into.u64(flow.last_seen);
}

pub(super) fn read(from: &mut Reader<'_>) -> Result<Vec<Saved>, StateError> {
    from.list(|from| {
        let client = ClientId(from.u128()?);
        let has_resource = from.bool()?;
        let resource = ResourceId(from.u128()?);
        let state = read_state(from)?;
        if !state.is_sound() {
            return Err(StateError::Content("a flow"));
        }
        Ok(Saved { client, resource: has_resource.then_some(resource), state })
    })
}

fn read_state(from: &mut Reader<'_>) -> Result<FlowState, StateError> {
    let protocol = match from.u8()? {
        6 => Protocol::Tcp,
        17 => Protocol::Udp,
        1 => Protocol::Icmp,
        _ => return Err(StateError::Content("a protocol")),
    };
    let (state, real) = (from.u8()?, from.address()?);
    let has_proxy = from.bool()?;
    let proxy = Some(from.address()?).filter(|_| has_proxy);
    let (client_port, outside_port, remote_port) = (from.u16()?, from.u16()?, from.u16()?);
    let mut way = || Ok(Traffic { bytes: from.u64()?, packets: from.u64()? });
    let traffic = [way()?, way()?];
    let (opened, last_seen, tag) = (from.u64()?, from.u64()?, u32::MAX);
    Ok(FlowState {
        protocol,
        state,
        proxy,
        real,
        client_port,
        outside_port,
        remote_port,
        tag,
        traffic,
        opened,
        last_seen,
    })
}
