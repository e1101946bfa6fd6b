//! Keys of a session that ended are nowhere on the heap, as the kernel shows it.

#![allow(clippy::unwrap_used)]
#![expect(clippy::disallowed_methods, reason = "the kernel shows a process its memory as a file")]

use std::fs::{File, read_to_string};
use std::os::unix::fs::FileExt;
use std::time::Duration;

use packet::Instant;
use wireguard::{Entropy, Exported, Node, PrivateKey, Profile, Tunnel};
use zeroize::Zeroizing;

const START: Instant = Instant::from_nanos(1_000_000_000_000);
const WALL: Duration = Duration::from_secs(1_700_000_000);
/// Where the two keys of the first session stand in what is exported.
const KEYS: [usize; 2] = [175, 207];
/// Keys that are looked for are kept under this, or they would be found here.
const MASK: u8 = 0xa5;
const CHUNK: usize = 1 << 16;

type Masked = [u8; 32];

/// How often `key` stands in memory that can be allocated from.
fn found(key: &Masked) -> usize {
    let memory = File::open("/proc/self/mem").unwrap();
    let mut buffer = vec![0; CHUNK + key.len() - 1];
    let own = buffer.as_ptr().addr()..buffer.as_ptr().addr() + buffer.len();
    let mut count = 0;
    for (from, to) in writable() {
        for at in (from..to).step_by(CHUNK) {
            buffer.fill(0);
            let len = buffer.len().min(to - at);
            if memory.read_exact_at(&mut buffer[..len], at as u64).is_err() {
                continue;
            }
            let places = buffer[..len].windows(key.len()).enumerate();
            count += places
                .filter(|(place, _)| !own.contains(&(at + place)))
                .filter(|(_, bytes)| bytes.iter().zip(key).all(|(byte, of)| byte ^ MASK == *of))
                .count();
        }
    }
    buffer.fill(0);
    count
}

/// The heap, and what is mapped without a name beside it.
fn writable() -> Vec<(usize, usize)> {
    let maps = read_to_string("/proc/self/maps").unwrap();
    let lines = maps.lines().filter(|line| line.contains(" rw-p "));
    let heaps = lines.filter(|line| line.ends_with("[heap]") || line.ends_with(" 0 "));
    heaps.map(|line| range(line).unwrap()).collect()
}

fn range(line: &str) -> Option<(usize, usize)> {
    let (from, to) = line.split_whitespace().next()?.split_once('-')?;
    Some((usize::from_str_radix(from, 16).ok()?, usize::from_str_radix(to, 16).ok()?))
}

fn node(own: u8) -> Node {
    Node::new(PrivateKey::clamped([own; 32]), Entropy::new([own; 32]), WALL, START)
}

fn tunnel(node: &Node, peer: u8) -> Tunnel {
    let (peer, entropy) = (PrivateKey::clamped([peer; 32]).public_key(), Entropy::new([peer; 32]));
    Tunnel::new(node, peer, None, Profile::PLAIN, 7, entropy).unwrap()
}

fn main() {
    let nodes = [node(1), node(2)];
    let mut tunnels = [tunnel(&nodes[0], 2), tunnel(&nodes[1], 1)];
    let mut message = [0; 148];
    tunnels[0].initiate(START);
    tunnels[0].poll_transmit(&mut message, START).unwrap();
    let initiation = nodes[1].read_initiation(&message).unwrap();
    tunnels[1].handle_initiation(initiation, START).unwrap();
    let len = tunnels[1].poll_transmit(&mut message, START).unwrap();
    tunnels[0].handle_response(&message[..len], START).unwrap();

    let exported = tunnels[0].export_and_stop(START);
    let keys = KEYS.map(|at| {
        let mut masked = [0; 32];
        masked.iter_mut().zip(&exported.as_bytes()[at..]).for_each(|(to, of)| *to = of ^ MASK);
        masked
    });
    let bytes = Zeroizing::new(exported.as_bytes().to_vec());
    drop(exported);
    let exported = Exported::from_bytes(bytes).unwrap();
    tunnels[0] = tunnel(&nodes[0], 2);
    tunnels[0].inherit(&exported, START).unwrap();
    drop(exported);
    assert_eq!(keys.map(|key| found(&key)), [2, 2], "each end has both, and nobody else");

    for end in &mut tunnels {
        end.handle_timeout(START + Profile::PLAIN.reject_after);
    }
    assert_eq!(keys.map(|key| found(&key)), [0, 0], "the session is over");
}
