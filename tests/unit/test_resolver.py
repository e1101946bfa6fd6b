"""The Gateway's look-ups against servers that answer, lie, hang, refuse and fail."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Any

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from firezone import resolver as module
from firezone.errors import ConfigError
from firezone.resolver import Resolver, read_hosts, read_nameservers
from firezone.socket_address import SocketAddress

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

NAME = "app.site.example"


class DnsServer(asyncio.DatagramProtocol):
    """Answers on UDP, and on TCP at the same port, as a test says."""

    def __init__(self, over_udp: Any, over_tcp: Any) -> None:
        self.asked: list[dns.message.Message] = []
        self._over_udp, self._over_tcp = over_udp, over_tcp
        self._transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def datagram_received(self, data: bytes, addr: Any) -> None:
        query = dns.message.from_wire(data)
        self.asked.append(query)
        answer = self._over_udp(query)
        for each in answer if isinstance(answer, list) else [answer]:
            if each is not None:
                wire = each if isinstance(each, bytes) else each.to_wire(max_size=65535)
                self._transport.sendto(wire, addr)

    async def stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            size = int.from_bytes(await reader.readexactly(2), "big")
            query = dns.message.from_wire(await reader.readexactly(size))
            answer = self._over_tcp(query)
            if answer is not None:
                wire = answer.to_wire(max_size=65535)
                writer.write(len(wire).to_bytes(2, "big") + wire)
                await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def serving(
    over_udp: Any, over_tcp: Any = None
) -> AsyncIterator[tuple[SocketAddress, DnsServer]]:
    loop = asyncio.get_running_loop()
    protocol = DnsServer(over_udp, over_tcp)
    listener = None
    if over_tcp is not None:
        listener = await asyncio.start_server(protocol.stream, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1] if listener is not None else 0
    transport, _ = await loop.create_datagram_endpoint(
        lambda: protocol, local_addr=("127.0.0.1", port)
    )
    try:
        yield SocketAddress("127.0.0.1", transport.get_extra_info("sockname")[1]), protocol
    finally:
        transport.close()
        if listener is not None:
            listener.close()
            await listener.wait_closed()


def answering(*sets: tuple[str, int, str, list[str]]) -> Any:
    """Answer with record sets: name, TTL, type, data."""

    def answer(query: dns.message.Message) -> dns.message.Message:
        response = dns.message.make_response(query)
        for name, ttl, kind, data in sets:
            response.answer.append(dns.rrset.from_text(f"{name}.", ttl, "IN", kind, *data))
        return response

    return answer


def failing(code: dns.rcode.Rcode) -> Any:
    def answer(query: dns.message.Message) -> dns.message.Message:
        response = dns.message.make_response(query)
        response.set_rcode(code)
        return response

    return answer


def truncating(query: dns.message.Message) -> dns.message.Message:
    response = dns.message.make_response(query)
    response.flags |= dns.flags.TC
    return response


def silent(_query: dns.message.Message) -> None:
    return None


def unused_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def test_addresses_come_with_their_seconds() -> None:
    async with serving(answering((NAME, 30, "A", ["192.0.2.1", "192.0.2.2"]))) as (server, seen):
        result = await Resolver([server]).lookup(NAME, "ipv4")

    assert isinstance(result, dict)
    assert sorted(result["addresses"]) == [("192.0.2.1", 30), ("192.0.2.2", 30)]
    assert seen.asked[0].edns == 0
    assert seen.asked[0].payload == 1232


async def test_ipv6_is_asked_apart() -> None:
    async with serving(answering((NAME, 30, "AAAA", ["2001:db8::1"]))) as (server, seen):
        result = await Resolver([server]).lookup(NAME, "ipv6")

    assert result == {"addresses": [("2001:db8::1", 30)]}
    assert len(seen.asked) == 1


async def test_a_chain_of_aliases_gives_its_least_time() -> None:
    chain = (
        (NAME, 5, "CNAME", ["a.site.example."]),
        ("a.site.example", 300, "CNAME", ["b.site.example."]),
        ("b.site.example", 60, "A", ["192.0.2.1"]),
    )
    async with serving(answering(*chain)) as (server, _):
        assert await Resolver([server]).lookup(NAME, "ipv4") == {"addresses": [("192.0.2.1", 5)]}


async def test_an_alias_without_address_is_no_data() -> None:
    async with serving(answering((NAME, 5, "CNAME", ["a.site.example."]))) as (server, _):
        assert await Resolver([server]).lookup(NAME, "ipv4") == "no_data"


async def test_aliases_in_a_circle_give_no_address() -> None:
    circle = (
        (NAME, 5, "CNAME", ["a.site.example."]),
        ("a.site.example", 5, "CNAME", [f"{NAME}."]),
    )
    async with serving(answering(*circle)) as (server, _):
        assert await Resolver([server]).lookup(NAME, "ipv4") in ("other", "no_data")


async def test_records_of_another_name_are_not_taken() -> None:
    async with serving(answering(("evil.example", 5, "A", ["192.0.2.66"]))) as (server, _):
        assert await Resolver([server]).lookup(NAME, "ipv4") == "no_data"


@pytest.mark.parametrize(
    ("code", "result"),
    [
        (dns.rcode.NXDOMAIN, "nx_domain"),
        (dns.rcode.SERVFAIL, "serv_fail"),
        (dns.rcode.REFUSED, "refused"),
        (dns.rcode.FORMERR, "other"),
        (dns.rcode.NOTIMP, "other"),
    ],
)
async def test_failures_are_told_apart(code: dns.rcode.Rcode, result: str) -> None:
    async with serving(failing(code)) as (server, _):
        resolver = Resolver([server])
        assert await resolver.lookup(NAME, "ipv4") == result
        assert resolver.counters.failed == 1


@pytest.mark.parametrize("first", [dns.rcode.SERVFAIL, dns.rcode.REFUSED])
async def test_the_next_server_is_asked_when_one_is_broken(first: dns.rcode.Rcode) -> None:
    good = answering((NAME, 30, "A", ["192.0.2.1"]))
    async with serving(failing(first)) as (broken, _), serving(good) as (working, _):
        result = await Resolver([broken, working]).lookup(NAME, "ipv4")

    assert result == {"addresses": [("192.0.2.1", 30)]}


async def test_a_name_that_does_not_exist_is_not_asked_twice() -> None:
    async with (
        serving(failing(dns.rcode.NXDOMAIN)) as (first, _),
        serving(answering((NAME, 30, "A", ["192.0.2.1"]))) as (second, seen),
    ):
        assert await Resolver([first, second]).lookup(NAME, "ipv4") == "nx_domain"
    assert seen.asked == []


async def test_a_server_that_hangs_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DEADLINE", 0.1)
    async with serving(silent) as (server, _):
        assert await Resolver([server]).lookup(NAME, "ipv4") == "timed_out"


async def test_a_server_that_hangs_over_tcp_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DEADLINE", 0.1)
    async with serving(truncating, silent) as (server, _):
        assert await Resolver([server]).lookup(NAME, "ipv4") in ("timed_out", "other")


async def test_a_port_that_nobody_serves_is_no_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DEADLINE", 0.2)
    resolver = Resolver([SocketAddress("127.0.0.1", unused_port())])

    assert await resolver.lookup(NAME, "ipv4") in ("timed_out", "other")


async def test_no_server_at_all_is_no_exception() -> None:
    assert await Resolver([]).lookup(NAME, "ipv4") == "other"


@pytest.mark.parametrize("name", ["a" * 64 + ".example", "a..example", "x." * 200 + "example"])
async def test_a_name_that_dns_cannot_carry_is_no_exception(name: str) -> None:
    assert await Resolver([SocketAddress("127.0.0.1", 9)]).lookup(name, "ipv4") == "other"


async def test_an_answer_cut_short_is_asked_for_over_tcp() -> None:
    whole = answering((NAME, 30, "A", ["192.0.2.1"]))
    async with serving(truncating, whole) as (server, _):
        assert await Resolver([server]).lookup(NAME, "ipv4") == {"addresses": [("192.0.2.1", 30)]}


async def test_what_others_send_in_between_is_passed_over() -> None:
    good = answering((NAME, 30, "A", ["192.0.2.1"]))

    def forged(query: dns.message.Message) -> list[Any]:
        other = answering((NAME, 30, "A", ["192.0.2.66"]))(query)
        other.id = (query.id + 1) % 65536
        unasked = answering(("evil.example", 30, "A", ["192.0.2.66"]))(
            dns.message.make_query("evil.example", "A", id=query.id)
        )
        return [b"", b"\x00" * 5, b"\xff" * 512, other, unasked, good(query)]

    async with serving(forged) as (server, _):
        assert await Resolver([server]).lookup(NAME, "ipv4") == {"addresses": [("192.0.2.1", 30)]}


async def test_a_server_that_lies_with_thousands_of_records_is_cut_counted_and_logged() -> None:
    class Log:
        told: list[dict[str, Any]] = []  # noqa: RUF012 - one test, one list

        def warning(self, message: str, **fields: Any) -> None:
            self.told.append({"message": message, **fields})

    many = [f"10.0.{number // 250}.{number % 250 + 1}" for number in range(3500)]
    async with serving(truncating, answering((NAME, 30, "A", many))) as (server, _):
        resolver = Resolver([server], log=Log())  # type: ignore[arg-type]
        result = await resolver.lookup(NAME, "ipv4")

    assert isinstance(result, dict)
    assert len(result["addresses"]) == 64
    assert resolver.counters.truncated_lists == 1
    assert Log.told[0]["addresses"] == 3500
    assert Log.told[0]["event_name"] == "dns.truncated"


async def test_it_only_looks_up_and_does_not_judge() -> None:
    """Loopback and metadata addresses are the core's to refuse (R18), where it is fuzzed."""
    lies = ["127.0.0.1", "169.254.169.254", "0.0.0.0"]  # noqa: S104 - an answer, not a socket
    async with serving(answering((NAME, 0, "A", lies))) as (server, seen):
        resolver = Resolver([server])
        for _ in range(2):
            result = await resolver.lookup(NAME, "ipv4")
            assert isinstance(result, dict)
            assert sorted(result["addresses"]) == sorted((address, 0) for address in lies)

    # No cache either.
    assert len(seen.asked) == 2


async def test_the_hosts_file_wins() -> None:
    hosts = {NAME: ["192.0.2.9", "2001:db8::9"], "many": [f"192.0.2.{n}" for n in range(100)]}
    resolver = Resolver([], hosts)

    assert await resolver.lookup(NAME.upper(), "ipv4") == {"addresses": [("192.0.2.9", 60)]}
    assert await resolver.lookup(NAME, "ipv6") == {"addresses": [("2001:db8::9", 60)]}
    many = await resolver.lookup("many", "ipv4")
    assert isinstance(many, dict)
    assert len(many["addresses"]) == 64


def test_a_hosts_file_is_read_as_every_resolver_does(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    path.write_bytes(
        b"# comment\n\n192.0.2.1 App app.site.example # tail\n"
        b"2001:db8::1 app\nnonsense app\n192.0.2.7\nfe80::1%eth0 app\n\xff\xfe x\n"
    )

    assert read_hosts(path) == {
        "app": ["192.0.2.1", "2001:db8::1"],
        "app.site.example": ["192.0.2.1"],
    }
    assert read_hosts(tmp_path / "missing") == {}


def test_the_servers_of_a_resolv_conf(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text("# x\nsearch example\nnameserver 192.0.2.53\nnameserver 2001:db8::53\n")

    assert read_nameservers(path) == [
        SocketAddress("192.0.2.53", 53),
        SocketAddress("2001:db8::53", 53),
    ]


@pytest.mark.parametrize("content", [None, b"", b"search example\n", b"nameserver dns\n", b"\xff"])
def test_a_resolv_conf_without_servers_is_a_matter_of_configuration(
    content: bytes | None, tmp_path: Path
) -> None:
    path = tmp_path / "resolv.conf"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(ConfigError, match=r"resolv\.conf") as caught:
        read_nameservers(path)
    assert "settings" in str(caught.value.hint)
