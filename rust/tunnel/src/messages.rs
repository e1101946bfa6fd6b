//! Everything that crosses between the core and its orchestration: commands go down, events come
//! up, and nothing else. Python sees them as JSON objects with a `type` member.
//!
//! Requests (a look-up, an authorisation) are state: emitted when there is room, never lost. Records
//! (flows, NAT events) wait in a bounded queue and are dropped, counted, when it is full.

mod client;
mod gateway;

use std::net::{Ipv4Addr, Ipv6Addr};

use dns::{IpStack, Prefix, ResourceId};
use nat::control::{ClientId, GatewayId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use self::client::{ClientCommand, ClientEvent, InspectClient, ProxyRecord};
pub use self::gateway::{
    AccessUntil, FlowRecord, GatewayCommand, GatewayEvent, InspectGateway, LookupFamily,
    LookupResult,
};
use crate::filter::Filter;
pub use crate::peering::{Endpoint, IceCredentials, KeyText, PresharedText, ProfileName};

/// A command for either role.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// For a Client.
    Client(ClientCommand),
    /// For a Gateway.
    Gateway(GatewayCommand),
}

impl Command {
    /// Whether it tells of a change of the host's network.
    pub fn is_network_change(&self) -> bool {
        matches!(
            self,
            Self::Client(ClientCommand::NetworkChanged)
                | Self::Gateway(GatewayCommand::NetworkChanged)
        )
    }
}

/// An event of either role.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Event {
    /// Of a Client.
    Client(ClientEvent),
    /// Of a Gateway.
    Gateway(GatewayEvent),
}

/// A thing that may be reached, as the portal or a file describes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resource {
    /// Its id, a UUID.
    pub id: ResourceId,
    /// What people call it; never used for matching.
    #[serde(default)]
    pub name: String,
    /// What it covers.
    #[serde(flatten)]
    pub target: Target,
    /// Which ports may be used; empty lets everything pass.
    #[serde(default)]
    pub filters: Vec<Filter>,
}

/// What a resource covers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Target {
    /// Names: a pattern of dataplane §3.5.1.
    Dns {
        /// The pattern.
        address: String,
        /// Which address families are offered.
        #[serde(default)]
        ip_stack: IpStack,
    },
    /// A network or a single address, in CIDR notation.
    Cidr {
        /// The network.
        address: Prefix,
    },
    /// Everything that is at no site: what nothing else covers.
    Internet,
}

/// A Gateway as a Client knows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GatewayPeer {
    /// Its id, a UUID.
    pub id: GatewayId,
    /// Its tunnel addresses.
    pub ipv4: Ipv4Addr,
    /// Its tunnel addresses.
    pub ipv6: Ipv6Addr,
    /// How it is reached.
    pub endpoint: Endpoint,
    /// Its site, a UUID, where a portal told of it; shown, and never used for routing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<Uuid>,
}

/// A Client as a Gateway knows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClientPeer {
    /// Its id, a UUID.
    pub id: ClientId,
    /// Its tunnel addresses.
    pub ipv4: Ipv4Addr,
    /// Its tunnel addresses.
    pub ipv6: Ipv6Addr,
    /// How it is reached.
    pub endpoint: Endpoint,
}

/// Why an authorisation was not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthorizationFailure {
    /// No Gateway of the resource is online.
    Offline,
    /// The policy says no.
    Forbidden,
    /// The resource does not exist any more.
    NotFound,
}

/// What is explained (R40): what would become of a packet to `target`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explain {
    /// A name or an address.
    pub target: String,
    /// The destination port; does not matter for ICMP.
    #[serde(default)]
    pub port: u16,
    /// The protocol.
    #[serde(default)]
    pub protocol: FlowProtocol,
}

/// What a flow consists of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FlowProtocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// ICMP echo.
    Icmp,
}

/// Whether a peer can be spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PeerState {
    /// A session stands.
    Connected,
    /// Handshakes came to nothing, or the candidates did.
    Unreachable,
}

/// Why a peer cannot be spoken to any more (dataplane 5.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// No candidate of the peer came within 10 s.
    NoCandidates,
    /// For 2 s no pair of candidates was left that works or may come to work.
    NoPath,
    /// Initiations were not answered.
    NoHandshake,
}

impl From<connection::Failure> for Failure {
    fn from(why: connection::Failure) -> Self {
        match why {
            connection::Failure::NoCandidates => Self::NoCandidates,
            connection::Failure::NoPath => Self::NoPath,
            connection::Failure::NoHandshake => Self::NoHandshake,
        }
    }
}

impl From<connection::LocalCandidates> for LocalCandidates {
    fn from(of: connection::LocalCandidates) -> Self {
        Self { new: of.new, invalidated: of.invalidated }
    }
}

/// Addresses at which this end may be reached, for the peer: to be sent on as they are, in this order.
/// Each is a line of RFC 8839 §5.1, without `a=`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalCandidates {
    /// What is new.
    pub new: Vec<String>,
    /// What the peer was told of and is gone.
    pub invalidated: Vec<String>,
}

/// What happened to an entry of the DNS resource NAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NatEvent {
    /// Confirmed for the first time.
    Established,
    /// Confirmed again.
    Refreshed,
    /// A refresh came to nothing; the flow goes on.
    Stale,
    /// The Gateway said no and nothing ever worked.
    Refused,
}
