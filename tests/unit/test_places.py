"""Where Clients were heard of last."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from structlog.testing import CapturingLogger

from firezone.errors import ConfigError
from firezone.places import PlacesFile

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "places.json"


def opened(path: Path, told: CapturingLogger | None = None) -> PlacesFile:
    log = structlog.wrap_logger(told or CapturingLogger(), processors=[lambda _l, _m, e: e])
    return PlacesFile(path, log)


def peer(client: str, address: str | None, state: str = "connected") -> dict[str, Any]:
    return {"type": "peer", "client": client, "address": address, "state": state}


def test_a_new_process_knows_where_clients_were(path: Path) -> None:
    places = opened(path)
    places.record(peer("a", "192.0.2.1:5"))
    places.record(peer("b", "[2001:db8::1]:5"))
    places.record(peer("a", "192.0.2.9:6"))
    places.record(peer("a", None))
    places.record(peer("a", "192.0.2.1:7", "unreachable"))

    assert opened(path).places == {"a": "192.0.2.9:6", "b": "[2001:db8::1]:5"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_who_is_not_in_the_file_any_more_is_forgotten(path: Path) -> None:
    places = opened(path)
    for name in "abc":
        places.record(peer(name, "192.0.2.1:5"))

    places.keep({"b", "d"})

    assert opened(path).places == {"b": "192.0.2.1:5"}


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[]", b"5", b"[" * 100_000])
def test_what_cannot_be_read_is_nothing(content: bytes, path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(content)

    assert opened(path).places == {}


@pytest.mark.parametrize(
    "place",
    ["null", "5", '"here"', '"192.0.2.1"', '"192.0.2.1:0"', '"192.0.2.1:65536"',
     '"192.0.2.1:99999999999"', '"2001:db8::1:5"', '"[192.0.2.1]:5"', '"gw.example:5"', "[]"],
)  # fmt: skip
def test_a_place_that_the_core_could_not_read_is_passed_over(place: str, path: Path) -> None:
    path.parent.mkdir()
    path.write_text(f'{{"a": {place}, "b": "192.0.2.1:5"}}')

    assert opened(path).places == {"b": "192.0.2.1:5"}


def test_what_cannot_be_written_is_told(path: Path) -> None:
    told = CapturingLogger()
    places = opened(path, told)
    path.with_suffix(".new").mkdir()

    places.record(peer("a", "192.0.2.1:5"))

    assert [call.kwargs["event_name"] for call in told.calls] == ["places.unwritten"]
    assert places.places == {"a": "192.0.2.1:5"}


def test_a_folder_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ConfigError) as caught:
        opened(tmp_path / "file" / "places.json")

    assert "state_dir" in str(caught.value.hint)
