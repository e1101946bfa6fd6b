//! MAC1 as the paper defines it, made by hand: anybody who knows a node's public key can.

use std::sync::OnceLock;

use blake2::digest::consts::U16;
use blake2::digest::{FixedOutput, KeyInit, Update};
use blake2::{Blake2s256, Blake2sMac, Digest};

use crate::pair::private;

/// Keys of MAC1 by the number of the receiver's key, made once: floods need them often.
static KEYS: OnceLock<[[u8; 32]; 4]> = OnceLock::new();

fn key(of: u8) -> [u8; 32] {
    let public = private(of).public_key();
    Blake2s256::new().chain_update(b"mac1----").chain_update(public.as_bytes()).finalize().into()
}

/// MAC1 of `body` for the node with key number `receiver`.
pub(crate) fn mac1(receiver: u8, body: &[u8]) -> [u8; 16] {
    let keys = KEYS.get_or_init(|| std::array::from_fn(|of| key(of as u8)));
    let mac = <Blake2sMac<U16> as KeyInit>::new_from_slice(&keys[usize::from(receiver)]).unwrap();
    mac.chain(body).finalize_fixed().into()
}

/// Makes MAC1 of an initiation or a response right again; the place of MAC2 is left as it is.
pub(crate) fn sign(receiver: u8, message: &mut [u8]) {
    let body = message.len() - 32;
    let mac = mac1(receiver, &message[..body]);
    message[body..body + 16].copy_from_slice(&mac);
}
