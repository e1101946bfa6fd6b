//! Against an independent implementation of the Noise protocol, `snow`, in both roles. What Noise
//! does not have (types, indices, MAC1) is put around it here.

use std::time::Duration;

use snow::{Builder, StatelessTransportState};
use wireguard::Profile;
use x25519_dalek::{PublicKey, StaticSecret};

use crate::mac::mac1;
use crate::pair::{End, START, private};

const PATTERN: &str = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";
const PROLOGUE: &[u8] = b"WireGuard v1 zx2c4 Jason@zx2c4.com";
const PSK: [u8; 32] = [7; 32];
const THEIR_INDEX: [u8; 4] = [0xaa, 0xbb, 0xcc, 0xdd];

/// The raw bytes behind `private(of)`.
fn clamped(of: u8) -> StaticSecret {
    let mut bytes = [of; 32];
    bytes[0] &= 248;
    bytes[31] = bytes[31] & 127 | 64;
    StaticSecret::from(bytes)
}

fn public(of: u8) -> [u8; 32] {
    let public = PublicKey::from(&clamped(of)).to_bytes();
    assert_eq!(&public, private(of).public_key().as_bytes());
    public
}

fn builder<'a>(own: &'a StaticSecret) -> Builder<'a> {
    Builder::new(PATTERN.parse().unwrap())
        .prologue(PROLOGUE)
        .unwrap()
        .local_private_key(own.as_bytes())
        .unwrap()
        .psk(2, &PSK)
        .unwrap()
}

/// Packets both ways between `end`, whose index is `ours`, and the other implementation.
fn exchange(end: &mut End, ours: [u8; 4], theirs: &StatelessTransportState) {
    for counter in 0..20u64 {
        let text = vec![counter as u8; 16 * counter as usize];
        let mut message = [&[4, 0, 0, 0], &ours[..], &counter.to_le_bytes()].concat();
        let mut sealed = vec![0; text.len() + 16];
        let len = theirs.write_message(counter, &text, &mut sealed).unwrap();
        message.extend_from_slice(&sealed[..len]);
        end.receive(&message, START).unwrap();
        let got = end.packets.last().map_or(&[][..], Vec::as_slice);
        assert_eq!(got, text, "an empty one gives no packet");
    }
    for len in 1..20usize {
        let packet = vec![9; len * 16];
        let message = end.seal(&[&packet], START).unwrap().remove(0);
        assert_eq!((&message[..4], &message[4..8]), (&[4, 0, 0, 0][..], &THEIR_INDEX[..]));
        let counter = u64::from_le_bytes(message[8..16].try_into().unwrap());
        let mut text = vec![0; message.len()];
        let got = theirs.read_message(counter, &message[16..], &mut text).unwrap();
        assert_eq!(&text[..got], packet);
    }
}

#[test]
fn our_initiation_is_understood_and_its_response_too() {
    let mut ours = End::new(1, 2, Some(PSK), Profile::PLAIN);
    let secret = clamped(2);
    let mut theirs = builder(&secret).build_responder().unwrap();

    ours.tunnel.initiate(START);
    let initiation = ours.drain(START).remove(0);
    assert_eq!(initiation[116..132], mac1(2, &initiation[..116]));
    assert_eq!(initiation[132..], [0; 16], "no cookie, no MAC2");
    let mut stamp = [0; 200];
    let len = theirs.read_message(&initiation[8..116], &mut stamp).unwrap();
    // 1,700,000,000 s after the epoch, as TAI64N.
    assert_eq!(stamp[..len], [0x40, 0, 0, 0, 0x65, 0x53, 0xf1, 0x0a, 0, 0, 0, 0]);
    assert_eq!(theirs.get_remote_static().unwrap(), public(1));

    let index: [u8; 4] = initiation[4..8].try_into().unwrap();
    let mut noise = [0; 200];
    let len = theirs.write_message(&[], &mut noise).unwrap();
    let mut response = [&[2, 0, 0, 0], &THEIR_INDEX[..], &index, &noise[..len]].concat();
    response.extend_from_slice(&mac1(1, &response));
    response.extend_from_slice(&[0; 16]);
    ours.receive(&response, START).unwrap();
    let theirs = theirs.into_stateless_transport_mode().unwrap();
    exchange(&mut ours, index, &theirs);
}

#[test]
fn their_initiation_is_understood_and_our_response_too() {
    let mut ours = End::new(1, 2, Some(PSK), Profile::PLAIN);
    let secret = clamped(2);
    let remote = public(1);
    let builder = builder(&secret).remote_public_key(&remote).unwrap();
    let mut theirs = builder.build_initiator().unwrap();

    let stamp = [0x40, 0, 0, 0, 0x65, 0x53, 0xf1, 0x0a, 0, 0, 0, 0];
    let mut noise = [0; 200];
    let len = theirs.write_message(&stamp, &mut noise).unwrap();
    let mut initiation = [&[1, 0, 0, 0], &THEIR_INDEX[..], &noise[..len]].concat();
    initiation.extend_from_slice(&mac1(1, &initiation));
    initiation.extend_from_slice(&[0; 16]);
    ours.receive(&initiation, START).unwrap();
    assert_eq!(ours.receive(&initiation, START + Duration::from_secs(1)).unwrap_err(), "Replayed");

    let response = ours.drain(START).remove(0);
    assert_eq!((&response[..4], &response[8..12]), (&[2, 0, 0, 0][..], &THEIR_INDEX[..]));
    assert_eq!(response[60..76], mac1(2, &response[..60]));
    let mut nothing = [0; 200];
    assert_eq!(theirs.read_message(&response[12..60], &mut nothing).unwrap(), 0);
    let index = response[4..8].try_into().unwrap();
    let theirs = theirs.into_stateless_transport_mode().unwrap();
    exchange(&mut ours, index, &theirs);
}
