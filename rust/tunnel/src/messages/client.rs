//! What crosses between a Client and its orchestration.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use dns::ResourceId;
use nat::control::GatewayId;
use serde::{Deserialize, Serialize};

use super::{
    AuthorizationFailure, Explain, Failure, GatewayPeer, LocalCandidates, NatEvent, PeerState,
    Resource,
};

/// What orchestration tells a Client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ClientCommand {
    /// Replaces the servers that other names are forwarded to; one sentinel stands for each.
    SetDnsServers {
        /// The servers, most wanted first.
        servers: Vec<SocketAddr>,
    },
    /// Adds a resource, or changes it: a changed target or filter acts as remove and add.
    SetResource {
        /// The resource.
        resource: Resource,
    },
    /// Takes a resource away: its flows end, what it holds is refused.
    RemoveResource {
        /// Which.
        resource: ResourceId,
    },
    /// The positive answer to [`ClientEvent::AuthorizationNeeded`].
    Authorize {
        /// For which resource.
        resource: ResourceId,
        /// Through which Gateway.
        gateway: GatewayPeer,
    },
    /// The negative answer to [`ClientEvent::AuthorizationNeeded`].
    AuthorizationFailed {
        /// For which resource.
        resource: ResourceId,
        /// Why.
        reason: AuthorizationFailure,
    },
    /// Addresses at which a Gateway may be reached, as it told them; those of one that is not connected
    /// by ICE count for nothing.
    AddRemoteCandidates {
        /// Which Gateway.
        gateway: GatewayId,
        /// Its lines; what is none is skipped.
        candidates: Vec<String>,
    },
    /// Takes such addresses back.
    RemoveRemoteCandidates {
        /// Which Gateway.
        gateway: GatewayId,
        /// Its lines; what is none is skipped.
        candidates: Vec<String>,
    },
    /// A Gateway is gone for good.
    RemoveGateway {
        /// Which.
        gateway: GatewayId,
    },
    /// Gives names the proxy addresses that they had in a former process.
    RestoreProxies {
        /// The recorded assignments.
        names: Vec<ProxyRecord>,
    },
    /// The host's network changed: every peer is spoken to anew, sessions go on.
    NetworkChanged,
    /// Asks for a page of state.
    Inspect {
        /// Echoed in the answer.
        id: u64,
        /// What is wanted.
        what: InspectClient,
        /// Where to go on; 0 begins.
        #[serde(default)]
        cursor: u64,
    },
}

/// A name and the proxy addresses it was given; recorded so that a restart keeps them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxyRecord {
    /// The name, lower case, without trailing dot.
    pub name: String,
    /// Its IPv4 proxies.
    pub ipv4: [Ipv4Addr; 4],
    /// Its IPv6 proxies.
    pub ipv6: [Ipv6Addr; 4],
}

/// What can be asked of a Client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InspectClient {
    /// Peers: addresses, sessions, bytes.
    Peers,
    /// Entries of the DNS resource NAT.
    Resources,
    /// Flows, each with its Gateway.
    Flows,
    /// One row: what would become of a packet, from live state; asking changes nothing (R40).
    Explain(Explain),
    /// Counters of everything.
    Counters,
}

/// What a Client tells its orchestration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ClientEvent {
    /// A packet needs a resource that no Gateway serves yet.
    AuthorizationNeeded {
        /// Which.
        resource: ResourceId,
        /// Gateways that this Client knows and that answer, most wanted first: that of the resource,
        /// then those with a session. Whoever chooses takes one of these before others.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        gateways: Vec<GatewayId>,
    },
    /// Addresses at which this Client may be reached, for a Gateway.
    LocalCandidates {
        /// For which Gateway.
        gateway: GatewayId,
        /// The addresses.
        #[serde(flatten)]
        candidates: LocalCandidates,
    },
    /// A Gateway answers nothing any more: another is wanted for new flows.
    GatewayDead {
        /// Which.
        gateway: GatewayId,
    },
    /// A Gateway that was dead answers again.
    GatewayAlive {
        /// Which.
        gateway: GatewayId,
    },
    /// The addresses that DNS is asked at changed: the host is to be told.
    SentinelsChanged {
        /// The addresses, IPv4 first.
        sentinels: Vec<IpAddr>,
    },
    /// A name was given proxy addresses: record them.
    ProxiesAssigned {
        /// The record.
        #[serde(flatten)]
        record: ProxyRecord,
    },
    /// The connection with a Gateway: it stands, or the Gateway does not answer.
    Peer {
        /// Which Gateway.
        gateway: GatewayId,
        /// What is the case now.
        state: PeerState,
        /// Where it is reached.
        address: Option<SocketAddr>,
        /// Why it does not answer; absent if it does.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Failure>,
    },
    /// A Gateway could not be made a peer: its key or a command is wrong.
    PeerRefused {
        /// Which Gateway.
        gateway: GatewayId,
        /// Why.
        reason: String,
    },
    /// `nat.established`, `nat.refreshed`, `nat.stale`, `nat.refused` (R39).
    Nat {
        /// Which of these.
        event: NatEvent,
        /// The name.
        name: String,
        /// The resource.
        resource: ResourceId,
        /// The Gateway.
        gateway: GatewayId,
    },
    /// The answer to [`ClientCommand::Inspect`].
    Inspected {
        /// The request's id.
        id: u64,
        /// At most 256 rows.
        rows: Vec<serde_json::Value>,
        /// Where to go on, if there is more.
        cursor: Option<u64>,
    },
}
