//! What servers and clients share: an interface with two addresses, its clock, framed messages.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use packet::Instant;
use smoltcp::iface::{Config, Interface};
use smoltcp::socket::tcp::Socket;
use smoltcp::time::{Duration as StackDuration, Instant as StackInstant};
use smoltcp::wire::{HardwareAddress, IpCidr};

use crate::device::QueueDevice;

/// An interface that has both addresses and sends everything into its queue.
pub(crate) fn interface(
    device: &mut QueueDevice,
    ipv4: Ipv4Addr,
    ipv6: Ipv6Addr,
    seed: u64,
    now: Instant,
) -> Interface {
    let mut config = Config::new(HardwareAddress::Ip);
    config.random_seed = seed;
    let mut interface = Interface::new(config, device, stack_time(now));
    interface.update_ip_addrs(|addresses| {
        // The list holds two: smoltcp's default capacity.
        let _ = addresses.push(IpCidr::new(ipv4.into(), 32));
        let _ = addresses.push(IpCidr::new(ipv6.into(), 128));
    });
    // With any_ip, smoltcp takes a packet for a foreign address if a route leads to an own one.
    let _ = interface.routes_mut().add_default_ipv4_route(ipv4);
    let _ = interface.routes_mut().add_default_ipv6_route(ipv6);
    interface
}

/// Takes one whole message out of the socket's buffer, if it is there (RFC 1035 §4.2.2).
pub(crate) fn take_message(socket: &mut Socket<'_>) -> Option<Vec<u8>> {
    if !socket.can_recv() {
        return None;
    }
    let mut length = [0; 2];
    if socket.peek_slice(&mut length).ok()? < 2 {
        return None;
    }
    let whole = 2 + usize::from(u16::from_be_bytes(length));
    if socket.recv_queue() < whole {
        return None;
    }
    let mut message = vec![0; whole];
    socket.recv_slice(&mut message).ok()?;
    message.drain(..2);
    Some(message)
}

/// An instant `delay` after `now`.
pub(crate) fn after(now: Instant, delay: StackDuration) -> Instant {
    now + Duration::from_micros(delay.total_micros())
}

pub(crate) fn stack_time(now: Instant) -> StackInstant {
    StackInstant::from_micros(i64::try_from(now.as_nanos() / 1000).unwrap_or(i64::MAX))
}
