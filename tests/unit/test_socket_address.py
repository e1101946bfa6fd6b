"""Addresses with ports, as people and the core write them."""

from __future__ import annotations

import pytest

from firezone.socket_address import SocketAddress, parse


@pytest.mark.parametrize(
    ("text", "address", "port", "written"),
    [
        ("192.0.2.1", "192.0.2.1", 53, "192.0.2.1:53"),
        ("192.0.2.1:5353", "192.0.2.1", 5353, "192.0.2.1:5353"),
        ("2001:DB8:0::1", "2001:db8::1", 53, "[2001:db8::1]:53"),
        ("[2001:db8::1]:5353", "2001:db8::1", 5353, "[2001:db8::1]:5353"),
        ("fe80::1%eth0", "fe80::1%eth0", 53, "[fe80::1%eth0]:53"),
    ],
)
def test_they_are_read_and_written(text: str, address: str, port: int, written: str) -> None:
    found = parse(text, port=53)

    assert found == SocketAddress(address, port)
    assert str(found) == written
    assert parse(written) == found


@pytest.mark.parametrize(
    "text",
    ["", ":53", "nonsense", "localhost:53", "192.0.2.1:", "192.0.2.1:0", "192.0.2.1:65536",
     "192.0.2.1:x", "192.0.2.1:0000001999999", "192.0.2.1:\u0665", "[192.0.2.1]:53", "[::1]",
     "[::1]:", "[]:53", "[[::1]]:53", "[::1:53", "::1]:53", "[::1]:53:53", ":::"],
)  # fmt: skip
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse(text, port=53)


@pytest.mark.parametrize("text", ["192.0.2.1", "2001:db8::1", "2001:db8::1:53"])
def test_where_no_port_is_given_one_must_be_written(text: str) -> None:
    with pytest.raises(ValueError, match="expected an address and a port"):
        parse(text)


def test_the_core_takes_devices_by_number() -> None:
    assert str(parse("[fe80::1%lo]:53").numbered()) == "[fe80::1%1]:53"
    assert str(parse("[fe80::1%7]:53").numbered()) == "[fe80::1%7]:53"
    assert str(parse("192.0.2.1:53").numbered()) == "192.0.2.1:53"
    with pytest.raises(ValueError, match="there is no device nonesuch0"):
        parse("[fe80::1%nonesuch0]:53").numbered()
