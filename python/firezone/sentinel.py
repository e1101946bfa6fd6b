"""Questions to the address at which a running Client answers DNS."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

import dns.exception
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import dns.reversename

from .errors import ConfigError, FirezoneError, TunnelTimeout

__all__ = ["Reply", "ask"]

PATIENCE: Final = 10.0
"""Seconds; a site's own resolver may be asked through the tunnel."""


@dataclass(frozen=True)
class Reply:
    """An answer.

    Args:
        rcode: Like `NOERROR`.
        answer: Records, each as a zone file has it.
        addresses: The addresses among them.
        milliseconds: How long it took.
    """

    rcode: str
    answer: tuple[str, ...]
    addresses: tuple[str, ...]
    milliseconds: float


def ask(sentinel: str, name: str, kind: str) -> Reply:
    """Ask for records.

    Args:
        sentinel: The address.
        name: The name; with PTR an address as well.
        kind: The type, like `A`.

    Raises:
        ConfigError: Name or type is none.
        TunnelTimeout: No answer came.
        FirezoneError: The question could not be sent, or the answer not be read.
    """
    try:
        wanted = dns.rdatatype.from_text(kind)
        if wanted == dns.rdatatype.PTR:
            name = _reversed(name)
        query = dns.message.make_query(name, wanted, use_edns=0, payload=1232)
    except (dns.exception.DNSException, ValueError) as error:
        message = f"{name} {kind} cannot be asked for: {error}"
        raise ConfigError(message, hint="like: firezone dns query app.example.net MX") from error
    began = time.monotonic()
    try:
        reply, _ = dns.query.udp_with_fallback(query, sentinel, timeout=PATIENCE)
    except dns.exception.Timeout as error:
        message = f"{sentinel} did not answer within {PATIENCE:g} s"
        hint = "firezone explain NAME tells whether the site can be reached"
        raise TunnelTimeout(message, hint=hint) from error
    except (dns.exception.DNSException, OSError) as error:
        message = f"{sentinel}: {error}"
        raise FirezoneError(message, hint="does the Client still run?") from error
    took = (time.monotonic() - began) * 1000
    records = [(rrset, record) for rrset in reply.answer for record in rrset]
    return Reply(
        dns.rcode.to_text(reply.rcode()),
        tuple(
            f"{rrset.name} {rrset.ttl} {dns.rdatatype.to_text(rrset.rdtype)} {record}"
            for rrset, record in records
        ),
        tuple(
            str(record)
            for rrset, record in records
            if rrset.rdtype in (dns.rdatatype.A, dns.rdatatype.AAAA)
        ),
        took,
    )


def _reversed(name: str) -> str:
    try:
        return str(dns.reversename.from_address(name))
    except dns.exception.SyntaxError:
        return name
