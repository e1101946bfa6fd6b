//! Everything that crosses between the core and its orchestration: commands go down, events come
//! up, and nothing else. Python sees them as JSON objects with a `type` member.
//!
//! Requests (a look-up, an authorisation) are state: emitted when there is room, never lost. Records
//! (flows, NAT events) wait in a bounded queue and are dropped, counted, when it is full.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use dns::{Family, IpStack, Prefix, ResourceId};
use nat::control::{ClientId, GatewayId};
use serde::{Deserialize, Serialize};

use crate::filter::Filter;
pub use crate::peering::{Endpoint, KeyText, PresharedText, ProfileName};

/// A command for either role.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// For a Client.
    Client(ClientCommand),
    /// For a Gateway.
    Gateway(GatewayCommand),
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

/// Whether a peer can be spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PeerState {
    /// A session stands.
    Connected,
    /// Handshakes came to nothing.
    Unreachable,
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

/// What orchestration tells a Gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum GatewayCommand {
    /// Replaces the site's name servers, which the Gateway's DNS server asks (dataplane §4.8).
    SetDnsServers {
        /// The servers, most wanted first; the first ten count.
        servers: Vec<SocketAddr>,
    },
    /// Adds a Client, or moves it to another endpoint.
    AddClient {
        /// The Client.
        client: ClientPeer,
    },
    /// Forgets a Client and all that is its.
    RemoveClient {
        /// Which.
        client: ClientId,
    },
    /// Gives a Client access to a resource, or changes its filters or expiry.
    Authorize {
        /// Who.
        client: ClientId,
        /// To what.
        resource: Resource,
        /// For how many seconds from now; absent: until revoked.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_in: Option<f64>,
    },
    /// Takes the access away, at once.
    Revoke {
        /// From whom.
        client: ClientId,
        /// To what.
        resource: ResourceId,
    },
    /// The answer to [`GatewayEvent::ResolveDomain`] for one family.
    DomainResolved {
        /// The look-up's id.
        lookup: u64,
        /// Which records.
        family: LookupFamily,
        /// What was found.
        result: LookupResult,
    },
    /// Asks for a page of state.
    Inspect {
        /// Echoed in the answer.
        id: u64,
        /// What is wanted.
        what: InspectGateway,
        /// Where to go on; 0 begins.
        #[serde(default)]
        cursor: u64,
    },
}

/// What a look-up found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LookupResult {
    /// Addresses, each with the seconds that it may be used.
    Addresses(Vec<(IpAddr, u32)>),
    /// The name does not exist.
    NxDomain,
    /// The name has no address of this family.
    NoData,
    /// The server failed.
    ServFail,
    /// The server refused.
    Refused,
    /// No answer came in time.
    TimedOut,
    /// Anything else.
    Other,
}

/// Address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LookupFamily {
    /// A records.
    Ipv4,
    /// AAAA records.
    Ipv6,
}

impl From<LookupFamily> for Family {
    fn from(family: LookupFamily) -> Self {
        match family {
            LookupFamily::Ipv4 => Self::Ipv4,
            LookupFamily::Ipv6 => Self::Ipv6,
        }
    }
}

impl From<Family> for LookupFamily {
    fn from(family: Family) -> Self {
        match family {
            Family::Ipv4 => Self::Ipv4,
            Family::Ipv6 => Self::Ipv6,
        }
    }
}

/// What can be asked of a Gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InspectGateway {
    /// A row per Client: what would become of its packet, from live state; asking changes nothing
    /// (R40).
    Explain(Explain),
    /// Peers: addresses, sessions, bytes.
    Peers,
    /// Proxy address → real address, per Client.
    Translations,
    /// The flow table.
    Flows,
    /// Counters of everything.
    Counters,
}

/// What a Gateway tells its orchestration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum GatewayEvent {
    /// Look up one family of a name and answer with [`GatewayCommand::DomainResolved`].
    ResolveDomain {
        /// The look-up's id.
        lookup: u64,
        /// The name.
        name: String,
        /// The family.
        family: LookupFamily,
    },
    /// A look-up changed, confirmed or failed to change the addresses of a name.
    Nat {
        /// What happened.
        event: NatEvent,
        /// The name.
        name: String,
        /// Of which family.
        family: LookupFamily,
        /// How many addresses new flows may get now.
        addresses: u32,
        /// How many of them are new.
        added: u32,
        /// How many are gone.
        removed: u32,
    },
    /// The connection with a Client stands, or it went to another address.
    Peer {
        /// Which Client.
        client: ClientId,
        /// What is the case now.
        state: PeerState,
        /// Where it is reached.
        address: Option<SocketAddr>,
    },
    /// A Client could not be made a peer: its key or a command is wrong.
    PeerRefused {
        /// Which Client.
        client: ClientId,
        /// Why.
        reason: String,
    },
    /// A Client sends from an address that is not its own; told once while its connection is the same.
    ForeignSource {
        /// Which Client.
        client: ClientId,
        /// The address.
        source: IpAddr,
    },
    /// A flow began (R39).
    FlowOpened {
        /// The flow.
        #[serde(flatten)]
        flow: FlowRecord,
    },
    /// A flow ended (R39).
    FlowClosed {
        /// The flow.
        #[serde(flatten)]
        flow: FlowRecord,
        /// Why.
        reason: String,
    },
    /// An access ended by its expiry.
    AccessExpired {
        /// Whose.
        client: ClientId,
        /// To what.
        resource: ResourceId,
    },
    /// The answer to [`GatewayCommand::Inspect`].
    Inspected {
        /// The request's id.
        id: u64,
        /// At most 256 rows.
        rows: Vec<serde_json::Value>,
        /// Where to go on, if there is more.
        cursor: Option<u64>,
    },
}

/// Who used what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FlowRecord {
    /// The Client.
    pub client: ClientId,
    /// The resource that permits the flow.
    pub resource: Option<ResourceId>,
    /// The name.
    pub name: Option<String>,
    /// `tcp`, `udp` or `icmp`.
    pub protocol: String,
    /// Port of the Client, or ICMP identifier.
    pub client_port: u16,
    /// Proxy address that the Client uses.
    pub proxy: IpAddr,
    /// Real address that the site sees.
    pub real: IpAddr,
    /// Port towards the site, or ICMP identifier.
    pub outside_port: u16,
    /// Port of the real host; 0 for ICMP.
    pub remote_port: u16,
    /// Bytes and packets from the Client.
    pub sent_bytes: u64,
    /// Bytes and packets from the Client.
    pub sent_packets: u64,
    /// Bytes and packets to the Client.
    pub received_bytes: u64,
    /// Bytes and packets to the Client.
    pub received_packets: u64,
    /// Seconds since the flow began.
    pub duration: f64,
}
