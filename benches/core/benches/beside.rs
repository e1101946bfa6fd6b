//! What the core alone takes for the work of a benchmark in `benches/python`, which runs this in turns
//! with itself: `beside translate COUNT` or `beside stub` prints the least nanoseconds per packet or
//! query of so many rounds.

#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![allow(clippy::print_stdout, reason = "its line is its result")]

use std::hint::black_box;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant as Clock;

use dns::{Families, IpStack, Pattern, ProxyConfig, ResourceId, Stub, StubConfig};
use nat::flow_table::{Binding, Config, Direction, FlowTable, Hint, Outbound, PeerIndex};
use packet::{Instant, Train, build};

const PEER: PeerIndex = PeerIndex(0);
const NOW: Instant = Instant::from_nanos(1_000_000_000);
const PAYLOAD: usize = 1200;
/// Packets that are looked up ahead at a time.
const AHEAD: usize = 64;
const ROUNDS: usize = 400;
const QUERIES: usize = 256;

fn main() {
    let words: Vec<_> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["translate", count] => translate(count.parse().expect("a number of packets")),
        ["stub"] => stub(),
        // `cargo bench` without a word runs all benchmarks of the package.
        _ => {}
    }
}

/// The least of all rounds, per unit.
fn least(units: usize, mut work: impl FnMut()) {
    let mut nanos = f64::INFINITY;
    for _ in 0..ROUNDS {
        let begin = Clock::now();
        work();
        nanos = nanos.min(begin.elapsed().as_secs_f64() * 1e9);
    }
    println!("{}", nanos / units as f64);
}

/// Datagrams of as many flows, copied to where the translated ones are to lie and translated there: by
/// chunks, as the data plane does.
fn translate(count: usize) {
    let (proxy, real) = ([100, 96, 0, 1].into(), [10, 0, 0, 7].into());
    let (packets, len) = datagrams(count, proxy);
    let mut table = FlowTable::new(Config::default(), 1);
    let mut translated = vec![0; packets.len()];
    let mut hints = [Hint::default(); AHEAD];
    least(count, || {
        let chunks = packets.chunks(len * AHEAD).zip(translated.chunks_mut(len * AHEAD));
        for (packets, translated) in chunks {
            translated.copy_from_slice(packets);
            let parsed = translated.chunks_mut(len).map(Train::single);
            let mut trains: Vec<_> = parsed.map(|train| train.expect("valid")).collect();
            let sound = trains.iter().map(|train| (PEER, train.summary()));
            table.look_ahead(Direction::Outbound, sound, &mut hints);
            for (train, hint) in trains.iter_mut().zip(hints) {
                let (summary, bytes) = (*train.summary(), train.total_bytes() as u64);
                let found = table.outbound_at(hint, PEER, &summary, bytes, 1, NOW);
                let binding = Binding { real, epoch: 0, tag: 0 };
                let rewrite = match found {
                    Outbound::Hit(hit) => hit.rewrite,
                    Outbound::Miss | Outbound::Expired => {
                        let opened = table.create(PEER, &summary, binding, bytes, 1, NOW);
                        opened.expect("there is room").rewrite
                    }
                };
                train.rewrite(&rewrite);
            }
        }
        black_box(&mut translated);
    });
}

/// So many datagrams to `proxy`, one behind the other, and how long each is.
fn datagrams(count: usize, proxy: IpAddr) -> (Vec<u8>, usize) {
    let client = IpAddr::from([100, 64, 0, 1]);
    let (mut packets, mut packet, mut len) = (Vec::new(), [0; packet::MAX_PACKET], 0);
    for flow in 0..count {
        let from = SocketAddr::new(client, 5000 + flow as u16);
        let to = SocketAddr::new(proxy, 443);
        len = build::udp(from, to, &[0; PAYLOAD], &mut packet).expect("it fits");
        packets.extend_from_slice(&packet[..len]);
    }
    (packets, len)
}

/// Answers of four records to a name of one of 1,000 resources.
fn stub() {
    let mut stub = Stub::new(&StubConfig { proxies: ProxyConfig::default(), seed: 7 });
    for i in 0..1000 {
        let pattern = Pattern::parse(&format!("*.site{i}.example")).expect("a pattern");
        stub.resources_mut().insert(ResourceId(i), pattern, IpStack::Dual);
    }
    let mut query = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in ["app", "site500", "example"] {
        query.push(label.len() as u8);
        query.extend_from_slice(label.as_bytes());
    }
    query.extend_from_slice(&[0, 0, 1, 0, 1]);
    let (families, mut answer) = (|_| Families::ALL, [0; 512]);
    least(QUERIES, || {
        for _ in 0..QUERIES {
            black_box(stub.answer(&query, &families, 512, Instant::ZERO, &mut answer));
        }
    });
}
