//! What an AssignedIps must fulfil before it changes anything (R17).

use std::net::IpAddr;

use dns::{Family, Name};
use smallvec::SmallVec;

use crate::control::{AssignedIps, ClientId};

use super::types::{Access, Config, Denied};

/// Addresses per message (R17).
const MAX_PROXIES: usize = 16;

/// A message that may be applied.
pub(super) struct Valid {
    pub(super) name: Name,
    /// Of each family, ascending, without duplicates.
    pub(super) proxies: [SmallVec<[IpAddr; 4]>; 2],
}

/// Why a message is rejected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Rejection {
    /// The resource is not authorised; the only reason that a Client is told (R42).
    Access,
    /// Anything else.
    Message,
}

pub(super) fn validate(
    client: ClientId,
    message: &AssignedIps,
    access: &impl Access,
    config: &Config,
) -> Result<Valid, Rejection> {
    let pattern = access.dns_resource(client, message.resource).map_err(|denied| match denied {
        Denied::NotAuthorised => Rejection::Access,
        Denied::NotDns => Rejection::Message,
    })?;
    let name = Name::parse(&message.domain).map_err(|_| Rejection::Message)?;
    let count = message.proxy_ips.len();
    let fits = (1..=MAX_PROXIES).contains(&count)
        && message.proxy_ips.iter().all(|&proxy| is_proxy(proxy, config));
    if !pattern.matches(&name) || !fits {
        return Err(Rejection::Message);
    }
    let proxies = Family::ALL.map(|family| {
        let own = message.proxy_ips.iter().filter(|&&proxy| Family::of(proxy) == family);
        let mut own: SmallVec<[IpAddr; 4]> = own.copied().collect();
        own.sort_unstable();
        own.dedup();
        own
    });
    Ok(Valid { name, proxies })
}

pub(super) fn is_proxy(address: IpAddr, config: &Config) -> bool {
    config.proxy_ranges.iter().any(|range| range.contains(address))
        && !config.sentinels.iter().any(|range| range.contains(address))
}
