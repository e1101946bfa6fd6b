"""The site's authoritative DNS server: TTL 0, records that change as asked.

Run as `python -m firezone.lab.dns_server ADDRESS PORT SEED` inside the site's namespace. Commands
are JSON lines on stdin (`{"do": "begin", "mode": "rotate"}`, `{"do": "end"}`, `{"do": "reset"}`,
`{"do": "report"}`); each gets one JSON line on stdout. It ends with its stdin.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from typing import TYPE_CHECKING, Any, Final

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from .records import Family, Records

if TYPE_CHECKING:
    from collections.abc import Callable

ZONE: Final = "site.example."
_FAMILIES: Final[dict[dns.rdatatype.RdataType, Family]] = {
    dns.rdatatype.A: "ipv4",
    dns.rdatatype.AAAA: "ipv6",
}
_LENGTH: Final = 2
"""Bytes of the length before a message on TCP (RFC 1035 section 4.2.2)."""


class Zone:
    """Answers queries for every name below `site.example`.

    Args:
        records: Who says which addresses there are.
    """

    def __init__(self, records: Records) -> None:
        self.records = records

    def answer(self, wire: bytes) -> tuple[bytes, float] | None:
        """Answer a query.

        Args:
            wire: The message.

        Returns:
            The response and the seconds until it is to be sent; None for no response at all.
        """
        try:
            query = dns.message.from_wire(wire)
        except dns.exception.DNSException:
            return None
        if len(query.question) != 1 or query.flags & dns.flags.QR:
            return None
        question = query.question[0]
        response = dns.message.make_response(query)
        response.flags |= dns.flags.AA
        family = _FAMILIES.get(question.rdtype)
        if not question.name.to_text().lower().endswith(ZONE):
            response.set_rcode(dns.rcode.REFUSED)
            return response.to_wire(), 0.0
        if family is None:
            return response.to_wire(), 0.0
        reply = self.records.answer(family, time.time())
        if reply.delay is None:
            return None
        response.set_rcode(dns.rcode.from_text(reply.rcode))
        if reply.addresses:
            response.answer.append(
                dns.rrset.from_text(question.name, 0, "IN", question.rdtype, *reply.addresses)
            )
        # Shuffled records would hide what `rotate` does.
        return response.to_wire(want_shuffle=False), reply.delay


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, zone: Callable[[], Zone]) -> None:
        self._zone = zone
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        answer = self._zone().answer(data)
        if answer is None or self._transport is None:
            return
        response, delay = answer
        if delay == 0.0:
            self._transport.sendto(response, addr)
        else:
            loop = asyncio.get_running_loop()
            loop.call_later(delay, self._transport.sendto, response, addr)


class Server:
    """The zone on a UDP and a TCP port, and its commands.

    Args:
        address: Where it listens.
        port: Where it listens.
        seed: Of what is random in the records.
    """

    def __init__(self, address: str, port: int, seed: int) -> None:
        self._address, self._port, self._seed = address, port, seed
        self.zone = Zone(Records(seed))

    async def serve(self) -> None:
        """Serve until stdin ends."""
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(
            lambda: _Udp(lambda: self.zone), local_addr=(self._address, self._port)
        )
        await asyncio.start_server(self._serve_stream, self._address, self._port)
        commands = asyncio.StreamReader()
        await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(commands), sys.stdin.buffer
        )
        _say({"ready": True})
        async for line in commands:
            _say(self.command(json.loads(line)))

    def command(self, command: dict[str, Any]) -> dict[str, Any]:
        """Carry out a command and return its answer."""
        match command["do"]:
            case "reset":
                self.zone = Zone(Records(self._seed))
            case "begin":
                self.zone.records.begin(command["mode"], time.time())
            case "end":
                self.zone.records.end()
            case "report":
                records = self.zone.records
                return {"history": records.history, "answered": records.answered}
            case other:
                return {"error": f"unknown command {other!r}"}
        return {"done": command["do"]}

    async def _serve_stream(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                length = int.from_bytes(await reader.readexactly(_LENGTH), "big")
                answer = self.zone.answer(await reader.readexactly(length))
                if answer is None:
                    continue
                response, delay = answer
                await asyncio.sleep(delay)
                writer.write(len(response).to_bytes(_LENGTH, "big") + response)
                await writer.drain()
        writer.close()


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(Server(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])).serve())
