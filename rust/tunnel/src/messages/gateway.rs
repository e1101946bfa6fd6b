//! What crosses between a Gateway and its orchestration.

use std::net::{IpAddr, SocketAddr};

use dns::{Family, ResourceId};
use nat::control::ClientId;
use serde::{Deserialize, Serialize};

use super::{ClientPeer, Explain, Failure, LocalCandidates, NatEvent, PeerState, Resource};

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
    /// Adds a Client if it is not there, and gives it access to a resource, or changes that: what a portal
    /// asks of a Gateway. The last one counts for each Client and resource.
    ///
    /// A Client whose key, preshared key and credentials are as before goes on by its connection; one
    /// with others is connected anew, and keeps flows and translations.
    /// [`GatewayEvent::AuthorizationCreated`] is the answer; a Client that cannot be a peer is
    /// [`GatewayEvent::PeerRefused`] instead.
    CreateAuthorization {
        /// Given back in the answer.
        reference: String,
        /// Who, and how it is connected.
        client: ClientPeer,
        /// To what.
        resource: Resource,
        /// Until when, in seconds of Unix time; absent: until revoked.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_at: Option<u64>,
    },
    /// All access that there is to be: what is not listed is taken away at once, what is listed gets its
    /// expiry. Entries for what this Gateway does not know count for nothing.
    SetAuthorizations {
        /// The list.
        authorizations: Vec<AccessUntil>,
    },
    /// Replaces filters and name of a resource for all Clients that have it. A changed target is a
    /// matter of [`GatewayCommand::Revoke`].
    UpdateResource {
        /// The resource.
        resource: Resource,
    },
    /// Addresses at which a Client may be reached, as it told them; those of one that is not connected
    /// by ICE count for nothing.
    AddRemoteCandidates {
        /// Which Client.
        client: ClientId,
        /// Its lines; what is none is skipped.
        candidates: Vec<String>,
    },
    /// Takes such addresses back.
    RemoveRemoteCandidates {
        /// Which Client.
        client: ClientId,
        /// Its lines; what is none is skipped.
        candidates: Vec<String>,
    },
    /// The host's network changed: its addresses are asked for again.
    NetworkChanged,
    /// Takes the access away, at once. A Client of a portal that has no other is told, and forgotten.
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

/// Until when a Client has access to a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessUntil {
    /// Who.
    pub client: ClientId,
    /// To what.
    pub resource: ResourceId,
    /// In seconds of Unix time.
    pub expires_at: u64,
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
        /// Why it does not answer; absent if it does.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Failure>,
    },
    /// The answer to [`GatewayCommand::CreateAuthorization`]; told before any candidate for its Client.
    AuthorizationCreated {
        /// The reference that came with it.
        reference: String,
    },
    /// Addresses at which this Gateway may be reached, for a Client.
    LocalCandidates {
        /// For which Client.
        client: ClientId,
        /// The addresses.
        #[serde(flatten)]
        candidates: LocalCandidates,
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
