"""The site's authoritative server, without its sockets."""

from __future__ import annotations

import dns.message
import dns.rcode

from firezone.lab.dns_server import Server, Zone
from firezone.lab.records import Records


def ask(zone: Zone, name: str, kind: str) -> dns.message.Message:
    answer = zone.answer(dns.message.make_query(name, kind).to_wire())
    assert answer is not None
    return dns.message.from_wire(answer[0])


def test_answers_have_ttl_0_and_the_order_of_the_records() -> None:
    response = ask(Zone(Records(1)), "app.site.example", "A")

    (rrset,) = response.answer
    assert rrset.ttl == 0
    assert [record.address for record in rrset] == [f"10.77.0.{host}" for host in range(11, 15)]


def test_every_name_of_the_zone_exists_and_no_other() -> None:
    zone = Zone(Records(1))

    assert ask(zone, "IDLE.Site.Example", "AAAA").answer
    assert ask(zone, "app.site.example", "TXT").rcode() == dns.rcode.NOERROR
    assert ask(zone, "elsewhere.example", "A").rcode() == dns.rcode.REFUSED


def test_garbage_and_responses_get_no_answer() -> None:
    zone = Zone(Records(1))
    response = dns.message.make_response(dns.message.make_query("app.site.example", "A"))

    assert zone.answer(b"\x00" * 5) is None
    assert zone.answer(response.to_wire()) is None


def test_commands_change_the_records() -> None:
    server = Server("127.0.0.1", 0, 1)

    assert server.command({"do": "begin", "mode": "nxdomain"}) == {"done": "begin"}
    assert ask(server.zone, "app.site.example", "A").rcode() == dns.rcode.NXDOMAIN
    server.command({"do": "end"})
    assert ask(server.zone, "app.site.example", "A").answer
    assert server.command({"do": "report"})["answered"] == 2
    server.command({"do": "reset"})
    assert server.command({"do": "report"})["answered"] == 0
    assert "error" in server.command({"do": "dance"})
