"""The connection against real servers on loopback, good ones and bad ones."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import subprocess
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr
from tests.unit.signaling import examples
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from firezone.errors import AccessDenied, AuthError, PortalUnreachable
from firezone.signaling import backoff, channel, connection, dial
from firezone.signaling.address import Device, PortalAddress
from firezone.signaling.channel import Joined, Passed, Received
from firezone.signaling.connection import Happening, Offline, PortalConnection
from firezone.signaling.messages import (
    NewGatewayIceCandidates,
    NoRelays,
    ResourceDeleted,
    SetSnownetCapabilities,
)
from firezone.signaling.portal_channel import JoinAsked, PortalChannel

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

CANDIDATES = NewGatewayIceCandidates(gateway_id=examples.GATEWAY_ID, candidates=examples.CANDIDATES)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let everything that takes seconds take less; how often is what counts."""
    monkeypatch.setattr(backoff, "FIRST_DELAY", 0.01)
    monkeypatch.setattr(backoff, "FIRST_BUDGET", 0.1)
    monkeypatch.setattr(backoff, "INITIAL", 0.01)
    for name in ("http_proxy", "https_proxy", "all_proxy", "ws_proxy", "wss_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


class Portal:
    """A portal that does as it is told.

    Args:
        script: What it does with the first connections, one after the other: a callable of the
            socket, or a response to the request. The last one goes on for all that follow.
    """

    def __init__(self, *script: Any) -> None:
        self.script = list(script)
        self.requests: list[Request] = []
        self.said: list[str] = []
        self.port = 0

    def answer(self, _socket: ServerConnection, request: Request) -> Response | None:
        self.requests.append(request)
        now = self.script[0]
        if isinstance(now, Response):
            if len(self.script) > 1:
                self.script.pop(0)
            return now
        return None

    async def serve(self, websocket: ServerConnection) -> None:
        act = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        with contextlib.suppress(ConnectionClosed):
            await act(self, websocket)


@contextlib.asynccontextmanager
async def running(portal: Portal, tls: ssl.SSLContext | None = None) -> AsyncIterator[Portal]:
    async with serve(
        portal.serve, "127.0.0.1", 0, process_request=portal.answer, ssl=tls, close_timeout=0.1
    ) as server:
        portal.port = next(iter(server.sockets)).getsockname()[1]
        yield portal


async def good(portal: Portal, websocket: ServerConnection) -> None:
    """Join, then tell what the component says."""
    half = PortalChannel("client", now=0.0)
    async for text in websocket:
        half.receive(text, 0.0)
        for event in half.events():
            if isinstance(event, JoinAsked):
                half.accept()
                half.send(ResourceDeleted(id=examples.DNS_ID))
        read = json.loads(text)
        portal.said.append(read["event"])
        for answer in half.frames():
            await websocket.send(answer)


def saying(*frames: str | bytes, close: int | None = None) -> Any:
    async def act(portal: Portal, websocket: ServerConnection) -> None:
        await websocket.recv()
        for each in frames:
            await websocket.send(each)
        if close is not None:
            await websocket.close(close)
        else:
            await websocket.wait_closed()
        del portal

    return act


def response(status: int, body: bytes = b"", **headers: str) -> Response:
    fields = {"Content-Length": str(len(body)), "Content-Type": "application/problem+json"}
    return Response(status, HTTPStatus(status).phrase, Headers(fields | headers), body)


OK = '{"topic":"client","event":"phx_reply","payload":{"status":"ok","response":{}},"ref":0}'


def component(
    portal: Portal, scheme: str = "ws", host: str = "127.0.0.1", **options: Any
) -> PortalConnection:
    return PortalConnection(
        PortalAddress.parse(f"{scheme}://{host}:{portal.port}/x"),
        Device("client", "laptop", "id"),
        SecretStr("canary-token"),
        public_key=examples.CLIENT_KEY,
        **options,
    )


async def until(
    held: PortalConnection, enough: Callable[[list[Happening]], bool]
) -> list[Happening]:
    """Run a connection until enough has happened, then close it."""
    seen: list[Happening] = []

    def take(event: Happening) -> None:
        seen.append(event)
        if enough(seen):
            held.close()

    await held.run(take)
    return seen


def joins(count: int) -> Callable[[list[Happening]], bool]:
    return lambda seen: seen.count(Joined()) == count


def kinds(seen: list[Happening]) -> list[str]:
    return [type(event).__name__ for event in seen]


async def test_a_component_asks_and_joins() -> None:
    async with running(Portal(good)) as portal:
        held = component(portal)
        seen = await until(held, lambda seen: isinstance(seen[-1], Received))

    (request,) = portal.requests
    assert seen == [Joined(), Received(ResourceDeleted(id=examples.DNS_ID))]
    assert request.path.startswith("/x/client/v2/websocket?external_id=id&name=laptop&public_key=")
    assert request.headers["X-Authorization"] == "Bearer canary-token"
    assert request.headers.get_all("Host") == ["127.0.0.1"]
    assert "headless-client/" in request.headers.get_all("User-Agent")[0]
    for absent in ("Origin", "Authorization", "Sec-WebSocket-Extensions", "Sec-WebSocket-Protocol"):
        assert absent not in request.headers


async def test_what_is_said_goes_out_once_joined() -> None:
    async with running(Portal(good)) as portal:
        held = component(portal)
        running_ = asyncio.create_task(
            held.run(lambda event: held.send(NoRelays()) if event == Joined() else None)
        )
        held.send(SetSnownetCapabilities(iceless=False))
        await eventually(lambda: len(portal.said) == 3)
        held.close()
        await running_

    assert portal.said == ["phx_join", "set_snownet_capabilities", "no_relays"]


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("code", ["invalid_token", "missing_token", "other"])
async def test_a_refused_token_ends_it(code: str) -> None:
    refused = response(401, json.dumps({"code": code, "detail": "no"}).encode())
    async with running(Portal(refused)) as portal:
        with pytest.raises(AuthError, match=f"401 {code}: no") as ended:
            await component(portal).run(lambda _: None)

    assert ("sign in" in str(ended.value.hint)) == (code != "other")
    assert len(portal.requests) == 1


@pytest.mark.parametrize("status", [302, 400, 403, 409, 429, 500, 503])
async def test_other_answers_are_tried_again(status: int) -> None:
    async with running(Portal(response(status, Location="/elsewhere"), good)) as portal:
        seen = await until(component(portal), joins(1))

    assert kinds(seen) == ["Offline", "Joined"]
    assert all("/elsewhere" not in request.path for request in portal.requests)


async def test_a_portal_says_when_and_that_costs_no_patience() -> None:
    later = response(503, **{"Retry-After": "0"})
    async with running(Portal(*[later] * 40, good)) as portal:
        seen = await until(component(portal), joins(1))

    assert seen[:-1] == [Offline("the portal answered 503", 0.0)] * 40


async def test_a_portal_that_was_never_there_is_given_up() -> None:
    async with running(Portal(response(500))) as portal:
        with pytest.raises(PortalUnreachable, match="500"):
            await component(portal).run(lambda _: None)

    assert 9 <= len(portal.requests) <= 12


async def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        portal = Portal(good)
        portal.port = free.getsockname()[1]
    with pytest.raises(PortalUnreachable, match=r"127\.0\.0\.1"):
        await component(portal).run(lambda _: None)


async def test_after_a_join_a_partition_may_end_it() -> None:
    async with running(Portal(saying(OK, close=1012))) as portal:
        with pytest.raises(PortalUnreachable):
            await component(portal, partition=0.0).run(lambda _: None)


@pytest.mark.parametrize("code", [1000, 1001, 1011, 1012, 4000])
async def test_any_close_is_followed_by_another_try(code: int) -> None:
    async with running(Portal(saying(OK, close=code), good)) as portal:
        seen = await until(component(portal), joins(2))

    assert kinds(seen)[:3] == ["Joined", "Offline", "Joined"]


@pytest.mark.parametrize(
    "bad",
    [
        saying('{"topic":"client","event":"phx_close","payload":{},"ref":null}'),
        saying('{"topic":"client","ev'),
        saying("x" * 20_000),
    ],
)
async def test_a_broken_connection_is_followed_by_another(
    bad: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dial, "LARGEST_FRAME", 10_000)
    async with running(Portal(bad, good)) as portal:
        seen = await until(component(portal), joins(1))

    assert kinds(seen)[:2] == ["Offline", "Joined"]


async def test_malformed_frames_are_passed_over() -> None:
    act = saying(OK, "nothing", b"\x00\x01", '[null,"0","client","init",{}]')
    async with running(Portal(act)) as portal:
        seen = await until(component(portal), lambda seen: len(seen) == 3)

    assert kinds(seen) == ["Joined", "Passed", "Passed"]
    assert isinstance(seen[1], Passed)


async def test_a_refused_join_ends_it() -> None:
    no = OK.replace('"ok","response":{}', '"error","response":{"reason":"disabled"}')
    async with running(Portal(saying(no))) as portal:
        with pytest.raises(AccessDenied, match="disabled"):
            await component(portal).run(lambda _: None)

    assert len(portal.requests) == 1


async def test_an_expired_token_ends_a_session() -> None:
    over = '{"topic":"client","event":"disconnect","payload":{"reason":"token_expired"}}'
    async with running(Portal(saying(OK, over))) as portal:
        with pytest.raises(AuthError, match="expired"):
            await component(portal).run(lambda _: None)


async def test_a_portal_that_answers_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "JOIN_PATIENCE", 0.05)
    async with running(Portal(saying(), good)) as portal:
        seen = await until(component(portal), joins(1))

    assert seen[0] == Offline("the join was not answered", seen[0].retry_in)  # type: ignore[union-attr]


async def test_a_half_open_connection_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "HEARTBEAT_INTERVAL", 0.02)
    async with running(Portal(saying(OK), good)) as portal:
        seen = await until(component(portal), joins(2))

    assert "heartbeats" in getattr(seen[1], "reason", "")


async def test_a_portal_that_never_upgrades_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dial, "WHOLE_PATIENCE", 0.05)
    monkeypatch.setattr(backoff, "FIRST_BUDGET", 0.02)

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        portal = Portal(good)
        portal.port = server.sockets[0].getsockname()[1]
        with pytest.raises(PortalUnreachable):
            await component(portal).run(lambda _: None)


async def test_a_slow_portal_is_waited_for() -> None:
    async def slow(portal: Portal, websocket: ServerConnection) -> None:
        await asyncio.sleep(0.1)
        await good(portal, websocket)

    async with running(Portal(slow)) as portal:
        seen = await until(component(portal), joins(1))

    assert kinds(seen) == ["Joined"]


async def test_candidates_wait_for_the_next_connection() -> None:
    async with running(Portal(saying(OK, close=1012), response(503), good)) as portal:
        held = component(portal)

        def take(event: Happening) -> None:
            if isinstance(event, Offline):
                held.send(CANDIDATES)
                held.send(NoRelays())

        running_ = asyncio.create_task(held.run(take))
        await eventually(lambda: len(portal.said) == 2)
        held.close()
        await running_

    assert portal.said == ["phx_join", "new_gateway_ice_candidates"]


async def test_a_new_connection_on_demand_has_the_new_key() -> None:
    closes: list[Any] = []

    async def noting(portal: Portal, websocket: ServerConnection) -> None:
        await good(portal, websocket)
        closes.append(websocket.close_code)

    async with running(Portal(noting)) as portal:
        held = component(portal)

        def take(event: Happening) -> None:
            if isinstance(event, Received):
                held.reconnect(examples.GATEWAY_KEY) if not closes else held.close()

        await held.run(take)
        await eventually(lambda: len(closes) == 2)

    assert "public_key=ICEi" in portal.requests[1].path
    assert closes[0] == 1000


async def test_a_new_connection_on_demand_does_not_wait() -> None:
    async with running(Portal(response(503, **{"Retry-After": "3600"}), good)) as portal:
        held = component(portal)

        def take(event: Happening) -> None:
            held.reconnect() if isinstance(event, Offline) else held.close()

        await held.run(take)

    assert len(portal.requests) == 2


async def test_closing_ends_a_wait_and_an_attempt() -> None:
    async with running(Portal(response(503, **{"Retry-After": "3600"}))) as portal:
        seen = await until(component(portal), bool)

    assert seen == [Offline("the portal answered 503", 3600.0)]


async def test_all_addresses_are_tried_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(Portal(good)) as portal:
        loop = asyncio.get_running_loop()
        prepared: list[socket.socket] = []

        async def several(_host: str, port: int, **_options: Any) -> list[Any]:
            addresses: list[tuple[Any, ...]] = [("127.0.0.2", port), ("127.0.0.1", port)]
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", each) for each in addresses]

        monkeypatch.setattr(loop, "getaddrinfo", several)
        held = component(portal, host="portal.example", prepare=prepared.append)
        seen = await until(held, joins(1))

    assert kinds(seen) == ["Joined"]
    assert len(prepared) == 2
    assert portal.requests[0].headers["Host"] == "portal.example"


AUTHORITY = """
[ca]
default_ca = one
[one]
database = index
new_certs_dir = .
rand_serial = yes
default_md = sha256
policy = any
x509_extensions = names
[any]
commonName = supplied
[names]
basicConstraints = critical, CA:TRUE
subjectAltName = {alternative}
"""


def certificate(folder: Path, alternative: str, last_year: int) -> tuple[Path, Path]:
    """Return a key and a certificate that proves itself, valid until the end of January."""
    key, made = folder / "portal.key", folder / "portal.pem"
    (folder / "config").write_text(AUTHORITY.format(alternative=alternative))
    (folder / "index").touch()
    request = "openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=portal"
    sign = (
        "openssl ca -batch -selfsign -config config -in request -notext -startdate 20200101000000Z"
    )
    for command in (
        f"{request} -keyout {key} -out request",
        f"{sign} -keyfile {key} -out {made} -enddate {last_year}0131000000Z",
    ):
        subprocess.run(command.split(), check=True, capture_output=True, cwd=folder)
    return key, made


def server_tls(key: Path, made: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made, key)
    return context


@pytest.mark.parametrize(
    ("alternative", "last_year", "is_known", "problem"),
    [
        ("IP:127.0.0.1", 2049, True, None),
        ("IP:127.0.0.1", 2049, False, "self-signed"),
        ("DNS:other.example", 2049, True, "not valid for"),
        ("IP:127.0.0.1", 2021, True, "expired"),
    ],
)
async def test_a_portal_proves_itself(
    alternative: str, last_year: int, is_known: bool, problem: str | None, tmp_path: Path
) -> None:
    key, made = certificate(tmp_path, alternative, last_year)
    async with running(Portal(good), server_tls(key, made)) as portal:
        held = component(portal, "wss", authority=made if is_known else None)
        if problem is None:
            assert kinds(await until(held, joins(1))) == ["Joined"]
        else:
            with pytest.raises(PortalUnreachable, match=problem):
                await held.run(lambda _: None)
            assert portal.requests == []


async def test_the_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        asked.append(head.decode().splitlines()[0])
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        _, other = await asyncio.open_connection("127.0.0.1", portal.port)
        back = asyncio.create_task(pump(_, writer))
        await pump(reader, other)
        await back

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(4096):
            writer.write(data)
        writer.close()

    async with (
        running(Portal(good)) as portal,
        await asyncio.start_server(proxy, "127.0.0.1", 0) as at,
    ):
        port = at.sockets[0].getsockname()[1]
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("no_proxy", "")
        held = component(portal, host="portal.example")
        seen = await until(held, joins(1))

    assert kinds(seen) == ["Joined"]
    assert asked == [f"CONNECT portal.example:{portal.port} HTTP/1.1"]
    assert portal.requests[0].headers.get_all("Host") == ["portal.example"]


def test_the_token_is_shown_nowhere() -> None:
    held = component(Portal(good))

    assert "canary" not in repr(vars(held)) + repr(held)


def test_patience_is_that_of_the_protocol() -> None:
    assert (dial.TCP_PATIENCE, dial.WHOLE_PATIENCE, connection.SEND_PATIENCE) == (5, 15, 40)
