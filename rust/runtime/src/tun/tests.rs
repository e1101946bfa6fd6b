//! Devices that are none, and what would be written to one.

use std::fs::File;

use super::*;

#[test]
fn impossible_names_are_refused_before_the_kernel_is_asked() {
    for name in ["", "a-name-that-is-too-long", "a/b", "a b", "a\0b"] {
        assert!(
            matches!(Tun::open(name, None, Offloads::Auto), Err(TunError::Name(_))),
            "{name:?}"
        );
    }
}

#[test]
fn a_descriptor_of_something_else_is_no_device() {
    let file = File::open("/dev/null").expect("it is everywhere");

    let adopted = Tun::adopt(file.into(), "tun-firezone", Offloads::Auto);

    let error = adopted.expect_err("no device").to_string();
    assert_eq!(error, "the descriptor that was left for TUN device tun-firezone is no TUN device");
}
