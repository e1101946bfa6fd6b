//! Which addresses this host has: what peers are told that ICE connects.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;

use crate::namespace;

/// A host, or a part of one, as peers are to see it.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// Its network namespace; none: this process's.
    pub namespace: Option<PathBuf>,
    /// A device of which the addresses do not count: the tunnel's own.
    pub without: String,
}

impl Host {
    /// The addresses of all interfaces that are up, each with `port`, IPv6 first; the host's own to itself
    /// and those of one link alone are left out.
    ///
    /// # Errors
    /// What the kernel returned.
    pub fn addresses(&self, port: u16) -> io::Result<Vec<SocketAddr>> {
        let wanted = InterfaceFlags::IFF_UP | InterfaceFlags::IFF_RUNNING;
        let found = namespace::inside(self.namespace.as_deref(), || {
            let interfaces = getifaddrs()?.filter(|interface| {
                interface.flags.contains(wanted) && interface.interface_name != self.without
            });
            let addresses = interfaces.filter_map(|interface| interface.address);
            let ips = addresses.filter_map(|address| {
                let ipv4 = address.as_sockaddr_in().map(|of| IpAddr::from(of.ip()));
                ipv4.or_else(|| address.as_sockaddr_in6().map(|of| IpAddr::from(of.ip())))
            });
            Ok(ips.collect::<Vec<_>>())
        })?;
        let mut ips: Vec<IpAddr> = found.into_iter().filter(|ip| is_reachable(*ip)).collect();
        ips.sort_by_key(|ip| ip.is_ipv4());
        ips.dedup();
        Ok(ips.into_iter().map(|ip| SocketAddr::new(ip, port)).collect())
    }
}

fn is_reachable(ip: IpAddr) -> bool {
    let is_of_one_link = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    !ip.is_loopback() && !ip.is_unspecified() && !is_of_one_link
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_peer_can_reach_is_left_out() {
        let host = Host::default();

        let addresses = host.addresses(52_625).expect("the kernel tells");

        assert!(addresses.iter().all(|address| address.port() == 52_625));
        assert!(addresses.iter().all(|address| is_reachable(address.ip())));
        assert!(!is_reachable([127, 0, 0, 1].into()) && !is_reachable([169, 254, 1, 1].into()));
    }
}
