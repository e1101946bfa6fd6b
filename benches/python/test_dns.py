"""An answer to a DNS query, made with dnslib: what the stub is far below. Nothing here passes."""

from __future__ import annotations

from typing import Any

from dnslib import QTYPE, RR, A, DNSRecord

NAME, ADDRESSES = "app.site500.example", ("100.96.0.1", "100.96.0.2", "100.96.0.3", "100.96.0.4")


def test_dnslib(benchmark: Any) -> None:
    """Read the question, append four records, write it."""
    query = DNSRecord.question(NAME).pack()

    def answer() -> bytes:
        reply = DNSRecord.parse(query).reply()
        for address in ADDRESSES:
            reply.add_answer(RR(NAME, QTYPE.A, rdata=A(address), ttl=1))
        packed: bytes = reply.pack()
        return packed

    benchmark.extra_info.update(what="dnslib: an answer of four records", packets=1)

    benchmark(answer)
