//! Bodies of the messages between Client and Gateway (dataplane §2.2), as JSON.
//!
//! In: the bytes behind the eight-byte header of a control packet. Out: the same for a message.
//! Framing is `tunnel`'s. Optional members are ours: a peer that does not know them ignores them,
//! and one that is malformed counts as absent. Unknown members are ignored.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use dns::{IdError, ResourceId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

macro_rules! peer_id {
    ($name:ident, $what:literal) => {
        #[doc = concat!("Id of a ", $what, ", a UUID; text and JSON have the hyphenated form.")]
        #[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash)]
        pub struct $name(pub u128);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                ResourceId(self.0).fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                ResourceId(self.0).fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                text.parse::<ResourceId>().map(|id| Self(id.0))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                ResourceId(self.0).serialize(serializer)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                ResourceId::deserialize(deserializer).map(|id| Self(id.0))
            }
        }
    };
}

peer_id!(GatewayId, "Gateway");
peer_id!(ClientId, "Client");

/// Client to Gateway: these addresses stand for this name.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AssignedIps {
    /// The resource by which the name may be reached.
    pub resource: ResourceId,
    /// The name, without trailing dot.
    pub domain: String,
    /// Four or eight addresses from upstream; IPv4 first.
    pub proxy_ips: Vec<IpAddr>,
    /// The handshake (R04).
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// The Client's process (R23).
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub run: Option<u64>,
}

/// Gateway to Client: what became of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DomainStatus {
    /// As in the message that is answered.
    pub resource: ResourceId,
    /// As in the message that is answered.
    pub domain: String,
    /// The verdict.
    pub status: Status,
    /// The handshake that is answered (R04).
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// How many real IPv4 addresses there are; absent while not known (R08).
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub ipv4: Option<u32>,
    /// How many real IPv6 addresses there are; absent while not known (R08).
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<u32>,
    /// Seconds for which the answer still holds (R06).
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u32>,
    /// Whether it is an older answer that still serves (R21).
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub stale: Option<bool>,
    /// Why it is negative; [`Self::REASON_ACCESS`] is the one that has a meaning.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl DomainStatus {
    /// The resource is not authorised (R42).
    pub const REASON_ACCESS: &'static str = "access";

    /// A status without optional members, as upstream sends it.
    pub fn plain(resource: ResourceId, domain: &str, status: Status) -> Self {
        Self {
            resource,
            domain: domain.to_owned(),
            status,
            id: None,
            ipv4: None,
            ipv6: None,
            ttl: None,
            stale: None,
            reason: None,
        }
    }
}

/// The verdict of a Gateway.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub enum Status {
    /// The name can be reached.
    Active,
    /// It cannot; any word that is not `Active` is read as this.
    Inactive,
}

impl<'de> Deserialize<'de> for Status {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let active = Value::deserialize(deserializer)?.as_str() == Some("Active");
        Ok(if active { Self::Active } else { Self::Inactive })
    }
}

/// A body that is not the message it should be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not a control message")]
pub struct BodyError;

impl AssignedIps {
    /// Reads a body.
    ///
    /// # Errors
    /// [`BodyError`] if it is not JSON or lacks a member that is not optional.
    pub fn decode(body: &[u8]) -> Result<Self, BodyError> {
        decode(body)
    }

    /// Writes the body; `None` if `into` is too short.
    pub fn encode(&self, into: &mut [u8]) -> Option<usize> {
        encode(self, into)
    }
}

impl DomainStatus {
    /// Reads a body.
    ///
    /// # Errors
    /// [`BodyError`] if it is not JSON or lacks a member that is not optional.
    pub fn decode(body: &[u8]) -> Result<Self, BodyError> {
        decode(body)
    }

    /// Writes the body; `None` if `into` is too short.
    pub fn encode(&self, into: &mut [u8]) -> Option<usize> {
        encode(self, into)
    }
}

fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, BodyError> {
    serde_json::from_slice(body).map_err(|_| BodyError)
}

fn encode<T: Serialize>(message: &T, into: &mut [u8]) -> Option<usize> {
    let room = into.len();
    let mut rest = into;
    serde_json::to_writer(&mut rest, message).ok()?;
    Some(room - rest.len())
}

/// An optional member: whatever cannot be read as a `T` is `None`.
fn lenient<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).ok())
}
