"""The way to the portal: its addresses, its proof, a proxy."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.signaling.scripted_portal import (
    Portal,
    component,
    good,
    joins,
    kinds,
    running,
    until,
)

from firezone.errors import PortalUnreachable

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("soon")


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
