//! With sockets in the place of devices: what goes in comes out, late or not at all.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use link::{Impairment, Link, LinkConfig};

use super::{Path, PathCounters, PathEnd};
use crate::tun::Tun;

const PATIENCE: Duration = Duration::from_secs(10);
/// Of what stands in front of each packet (virtio 1.2 §5.1.6).
const HEADER: usize = 10;

/// A path whose first end sends over `forth`, the hosts at both ends of it.
fn path(forth: Impairment) -> (Path, [UnixDatagram; 2]) {
    let ((here, first), (there, second)) = (end(forth), end(Impairment::default()));
    (Path::start([first, second]).expect("a thread"), [here, there])
}

fn end(data: Impairment) -> (UnixDatagram, PathEnd) {
    let (host, device) = UnixDatagram::pair().expect("sockets");
    device.set_nonblocking(true).expect("a mode");
    host.set_read_timeout(Some(PATIENCE)).expect("a time");
    let tun = Tun::plain(File::from(OwnedFd::from(device)));
    (host, PathEnd { tun, link: Link::new(LinkConfig { data, ..LinkConfig::default() }, 1) })
}

/// A host's packet, behind the header that its device puts in front.
fn send(host: &UnixDatagram, packet: &[u8]) {
    host.send(&[&[0; HEADER], packet].concat()).expect("room");
}

fn receive(host: &UnixDatagram) -> Vec<u8> {
    let mut packet = [0; 64];
    let len = host.recv(&mut packet).expect("a packet");
    packet[HEADER..len].to_vec()
}

fn wait_for(counters: &PathCounters, which: impl Fn(&PathCounters) -> &AtomicU64, wanted: u64) {
    let give_up = Instant::now() + PATIENCE;
    while which(counters).load(Ordering::Relaxed) < wanted {
        assert!(Instant::now() < give_up, "{counters:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_packet_comes_out_whole_and_not_before_its_time() {
    let latency = Duration::from_millis(30);
    let (path, [here, there]) = path(Impairment { latency, ..Impairment::default() });
    let sent = Instant::now();

    send(&here, b"there");

    assert_eq!(receive(&there), b"there");
    assert!(sent.elapsed() >= latency);
    send(&there, b"and back");
    assert_eq!(receive(&here), b"and back");
    wait_for(&path.counters()[0], |end| &end.delivered, 1);
    wait_for(&path.counters()[1], |end| &end.delivered, 1);
}

#[test]
fn what_the_link_loses_is_counted_and_the_other_way_is_another() {
    let (path, [here, there]) = path(Impairment { loss: 1.0, ..Impairment::default() });
    for _ in 0..10 {
        send(&here, b"lost");
    }

    send(&there, b"found");

    assert_eq!(receive(&here), b"found");
    wait_for(&path.counters()[0], |end| &end.lost, 10);
    assert_eq!(path.counters()[0].delivered.load(Ordering::Relaxed), 0);
    assert_eq!(path.counters()[1].lost.load(Ordering::Relaxed), 0);
}

#[test]
fn a_slow_line_cuts_off_what_its_queue_cannot_hold() {
    // Ten bytes a second: of three packets one is on the line, one waits, one is too many.
    let slow = Impairment { bandwidth: Some(80), queue_bytes: 20, ..Impairment::default() };
    let (path, [here, _there]) = path(slow);

    for _ in 0..3 {
        send(&here, &[0; 10]);
    }

    wait_for(&path.counters()[0], |end| &end.cut_off, 1);
    assert_eq!(path.counters()[0].entered.load(Ordering::Relaxed), 3);
}
