"""The portal is reached outside of the tunnel, whatever its names lead to."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest

from firezone.introduced.link import OutsideNames

PROXIES = (ip_network("100.96.0.0/11"), ip_network("fd00:2021:1111:8000::/107"))


def info(address: str) -> Any:
    return (2, 1, 6, "", (address, 443))


class System:
    def __init__(self, *answers: list[str] | OSError) -> None:
        self._answers = list(answers)

    async def __call__(self, _host: str, _port: int) -> list[Any]:
        answer = self._answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return [info(address) for address in answer]


async def found(names: OutsideNames) -> list[str]:
    return [known[4][0] for known in await names.lookup("portal.example", 443)]


async def test_proxy_addresses_are_never_the_portals() -> None:
    names = OutsideNames(PROXIES, System(["192.0.2.7", "100.96.0.1", "fd00:2021:1111:8000::1"]))

    assert await found(names) == ["192.0.2.7"]


async def test_where_a_resource_covers_the_name_the_last_addresses_count() -> None:
    names = OutsideNames(PROXIES, System(["192.0.2.7"], ["100.96.0.1"], OSError("no answer")))

    assert await found(names) == ["192.0.2.7"]
    assert await found(names) == ["192.0.2.7"]
    assert await found(names) == ["192.0.2.7"]


@pytest.mark.parametrize("answer", [["100.96.0.1"], OSError("no answer")])
async def test_a_name_that_never_had_an_address_has_none(answer: Any) -> None:
    with pytest.raises(OSError, match=r"no answer|a resource covers it"):
        await found(OutsideNames(PROXIES, System(answer)))
