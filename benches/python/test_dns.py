"""Answers to a DNS query with dnslib and dnspython: what the stub of the core is far below."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dns.message
import dns.rrset
from benches.python.harness import Row
from dnslib import QTYPE, RR, A, DNSRecord

if TYPE_CHECKING:
    from benches.python.harness import Measure

NAME, ADDRESSES = "app.site500.example", ("100.96.0.1", "100.96.0.2", "100.96.0.3", "100.96.0.4")
QUERY = bytes(DNSRecord.question(NAME).pack())
WHAT, CASE = "stub answer of four records", "1k resources"


def with_dnslib() -> bytes:
    """Read the question, append four records, write it."""
    reply = DNSRecord.parse(QUERY).reply()
    for address in ADDRESSES:
        reply.add_answer(RR(NAME, QTYPE.A, rdata=A(address), ttl=1))
    packed: bytes = reply.pack()
    return packed


def with_dnspython() -> bytes:
    """Do the same with dnspython."""
    query = dns.message.from_wire(QUERY)
    reply = dns.message.make_response(query)
    reply.answer.append(dns.rrset.from_text(query.question[0].name, 1, "IN", "A", *ADDRESSES))
    return reply.to_wire()


def test_dnslib(measure: Measure) -> None:
    """The stub beside dnslib."""
    row = Row(WHAT, CASE, "dnslib")
    measure.core(row, 1, python=with_dnslib, words=("stub",), is_ours=True)


def test_dnspython(measure: Measure) -> None:
    """The stub beside dnspython."""
    row = Row(WHAT, CASE, "dnspython")
    measure.core(row, 1, python=with_dnspython, words=("stub",), is_ours=True)
