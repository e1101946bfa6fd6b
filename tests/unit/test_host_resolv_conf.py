"""/etc/resolv.conf: made ours in place, and given back with what others wrote in the meantime."""

from __future__ import annotations

import asyncio
import os
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from firezone.errors import ConfigError
from firezone.host.dns import resolver_source
from firezone.host.dns.control import Disabled, dns_control
from firezone.host.dns.resolv_conf import ResolvConfControl, write
from firezone.host.dns.resolv_conf_text import (
    MARKER,
    has_sentinel,
    is_ours,
    nameservers,
    original_of,
    rewrite,
)
from firezone.host.dns.resolver_source import SystemResolvers
from firezone.host.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SENTINELS = (IPv4Address("100.100.111.1"), IPv6Address("fd00:2021:1111:8000:100:100:111:0"))
NEXT = (IPv4Address("100.100.111.2"),)
ORIGINAL = """\
# Made by somebody
nameserver 10.0.0.1
domain lan.example
nameserver 10.0.0.2
options edns0 ndots:5
sortlist 10.0.0.0/8
"""
LOG = structlog.get_logger()

LINE = st.one_of(
    st.sampled_from(
        [
            "nameserver 10.0.0.1",
            "nameserver\t2001:db8::53",
            "nameserver fe80::1%eth0",
            "nameserver nonsense",
            "nameserver",
            "search a.example b.example",
            "domain c.example",
            "options ndots:3 edns0",
            "options ndots:3",
            "sortlist 10.0.0.0/8",
            "; comment",
            "",
            " nameserver 10.9.9.9",
        ]
    ),
    st.text(st.characters(blacklist_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=20),
)
TEXT = st.lists(LINE, max_size=12).map("\n".join)
PROPERTY = settings(derandomize=True, deadline=None, max_examples=300)


def test_ours_has_other_servers_and_keeps_the_rest() -> None:
    lines = rewrite(ORIGINAL, SENTINELS, ["corp.example"], "/etc/x").splitlines()

    assert lines[0] == MARKER
    assert [line for line in lines if not line.startswith("#")] == [
        *(f"nameserver {address}" for address in SENTINELS),
        "search corp.example",
        "options edns0",
        "sortlist 10.0.0.0/8",
        "options ndots:1",
    ]


def test_without_a_suffix_of_ours_the_hosts_stay() -> None:
    assert "domain lan.example\n" in rewrite(ORIGINAL, SENTINELS, [], "/etc/x")


@PROPERTY
@given(original=TEXT)
def test_ours_names_our_servers_alone(original: str) -> None:
    text = rewrite(original, SENTINELS, [], "/etc/x")

    assert nameservers(text) == SENTINELS
    assert is_ours(text)
    assert rewrite(text, SENTINELS, [], "/etc/x") == text


@PROPERTY
@given(original=TEXT)
def test_an_unedited_text_gives_the_original_back(original: str) -> None:
    assert original_of(rewrite(original, SENTINELS, [], "/x"), original, "ignored") is not None
    text = rewrite(original, SENTINELS, [], "/x")
    assert original_of(text, original, text) == original
    # Killed between two sets of sentinels: the text is of the ones before.
    assert original_of(text, original, rewrite(original, NEXT, [], "/x")) == original


@PROPERTY
@given(original=TEXT, more=LINE.filter(str.strip))
def test_a_line_that_was_added_comes_back_and_no_server_of_ours(original: str, more: str) -> None:
    text = rewrite(original, SENTINELS, [], "/x")

    merged = original_of(f"{text}{more}\n", original, text)

    assert not has_sentinel(merged)
    assert more in merged.splitlines() or more in text.splitlines()
    assert set(nameservers(original)) <= set(nameservers(merged))


def test_a_file_that_was_replaced_is_the_new_original() -> None:
    text = rewrite(ORIGINAL, SENTINELS, [], "/x")

    assert original_of("nameserver 9.9.9.9\n", ORIGINAL, text) == "nameserver 9.9.9.9\n"


def test_a_line_that_was_taken_away_stays_away() -> None:
    text = rewrite(ORIGINAL, SENTINELS, [], "/x")
    edited = text.replace("sortlist 10.0.0.0/8\n", "")

    assert original_of(edited, ORIGINAL, text) == ORIGINAL.replace("sortlist 10.0.0.0/8\n", "")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "resolv.conf"
    path.write_text(ORIGINAL)
    return path


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal.open("client", folder=tmp_path / "run")
    yield journal
    journal.release()


def control_of(path: Path, journal: Journal) -> ResolvConfControl:
    control = dns_control(
        "etc-resolv-conf",
        journal,
        log=LOG,
        path=path,
        backup=path.with_name("resolv.conf.before-firezone"),
    )
    assert isinstance(control, ResolvConfControl)
    return control


@pytest.fixture
def control(path: Path, journal: Journal) -> ResolvConfControl:
    return control_of(path, journal)


def test_it_is_ours_and_then_as_before(path: Path, control: ResolvConfControl) -> None:
    inode = path.stat().st_ino

    control.apply(tun="tun0", sentinels=SENTINELS)
    assert nameservers(path.read_text()) == SENTINELS
    control.revert()

    assert path.read_text() == ORIGINAL
    assert path.stat().st_ino == inode
    assert path.with_name("resolv.conf.before-firezone").read_text() == ORIGINAL
    control.revert()
    assert path.read_text() == ORIGINAL


def test_a_second_time_changes_nothing_and_other_sentinels_those(
    path: Path, control: ResolvConfControl, journal: Journal
) -> None:
    control.apply(tun="tun0", sentinels=SENTINELS)
    before = (path.read_text(), path.stat().st_mtime_ns)
    control.apply(tun="tun0", sentinels=SENTINELS)
    assert (path.read_text(), path.stat().st_mtime_ns) == before

    control.apply(tun="tun0", sentinels=NEXT)

    assert nameservers(path.read_text()) == NEXT
    assert len(journal.steps) == 1
    control.revert()
    assert path.read_text() == ORIGINAL


def test_no_sentinel_changes_nothing(path: Path, control: ResolvConfControl) -> None:
    control.apply(tun="tun0", sentinels=())

    assert path.read_text() == ORIGINAL


def test_bytes_that_are_no_text_survive(path: Path, control: ResolvConfControl) -> None:
    data = b"nameserver 10.0.0.1\noptions \xff\xfe\n# \x80\r\nno end"
    path.write_bytes(data)

    control.apply(tun="tun0", sentinels=SENTINELS)
    control.revert()

    assert path.read_bytes() == data


def test_what_a_crash_left_is_not_taken_for_an_original(path: Path, tmp_path: Path) -> None:
    first = Journal.open("client", folder=tmp_path / "first")
    control_of(path, first).apply(tun="tun0", sentinels=SENTINELS)
    first.release()
    second = Journal.open("client", folder=tmp_path / "second")
    control = control_of(path, second)

    control.apply(tun="tun0", sentinels=NEXT)
    assert nameservers(path.read_text()) == NEXT
    control.revert()

    assert path.read_text() == ORIGINAL
    second.release()


def test_without_a_backup_it_says_what_to_write(path: Path, control: ResolvConfControl) -> None:
    path.write_text(rewrite(ORIGINAL, SENTINELS, [], "/x"))

    with pytest.raises(ConfigError) as caught:
        control.apply(tun="tun0", sentinels=SENTINELS)
    assert "nameserver ADDRESS" in (caught.value.hint or "")


def test_an_edit_wins_and_survives(path: Path, control: ResolvConfControl) -> None:
    control.apply(tun="tun0", sentinels=SENTINELS)
    with path.open("a") as file:
        file.write("options rotate\n")
    for _ in range(3):
        control.check()
    assert "options rotate" in path.read_text()

    control.apply(tun="tun0", sentinels=NEXT)
    assert "options rotate" in path.read_text()
    assert nameservers(path.read_text()) == NEXT
    control.revert()

    assert path.read_text() == f"{ORIGINAL}options rotate\n"


def test_a_replaced_file_is_taken_over_once_and_then_left(
    path: Path, control: ResolvConfControl, journal: Journal
) -> None:
    control.apply(tun="tun0", sentinels=SENTINELS)

    path.write_text("nameserver 9.9.9.9\n")
    control.check()
    assert path.read_text() == "nameserver 9.9.9.9\n"  # it may be half written
    control.check()
    assert nameservers(path.read_text()) == SENTINELS

    path.write_text("nameserver 8.8.8.8\n")
    for _ in range(3):
        control.check()
    control.apply(tun="tun0", sentinels=NEXT)
    control.revert()

    assert path.read_text() == "nameserver 8.8.8.8\n"
    assert journal.steps == ()


def test_the_user_comes_before_what_was(path: Path, control: ResolvConfControl) -> None:
    control.apply(tun="tun0", sentinels=SENTINELS)
    path.write_text("nameserver 9.9.9.9\n")

    control.revert()

    assert path.read_text() == "nameserver 9.9.9.9\n"


@pytest.mark.parametrize("left", ["", "# nothing\n", MARKER + "\n"])
def test_a_host_is_never_left_without_a_server(
    path: Path, control: ResolvConfControl, left: str
) -> None:
    control.apply(tun="tun0", sentinels=SENTINELS)
    path.write_text(left)

    control.revert()

    assert nameservers(path.read_text())[:2] == (IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2"))


def test_a_link_is_refused_and_another_way_named(path: Path, control: ResolvConfControl) -> None:
    target = path.with_name("stub-resolv.conf")
    path.rename(target)
    path.symlink_to(target)

    with pytest.raises(ConfigError) as caught:
        control.apply(tun="tun0", sentinels=SENTINELS)

    assert "systemd-resolved" in (caught.value.hint or "")
    assert target.read_text() == ORIGINAL


@pytest.mark.parametrize("kind", ["missing", "folder", "fifo"])
def test_what_is_no_file_is_refused(path: Path, control: ResolvConfControl, kind: str) -> None:
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)

    with pytest.raises(Exception) as caught:  # noqa: PT011 - of which class is not the point
        control.apply(tun="tun0", sentinels=SENTINELS)
    assert str(path) in str(caught.value)


@PROPERTY
@given(old=TEXT, new=TEXT)
def test_a_reader_finds_whole_lines_whenever_writing_ends(
    tmp_path_factory: pytest.TempPathFactory, old: str, new: str
) -> None:
    path = tmp_path_factory.mktemp("write") / "resolv.conf"
    path.write_text(old)
    truncate = os.ftruncate

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    try:
        os.ftruncate = killed
        with pytest.raises(KeyboardInterrupt):
            write(path, new)
    finally:
        os.ftruncate = truncate
    assert nameservers(path.read_text()) == nameservers(new)

    write(path, new)
    assert path.read_text() == new


def test_the_hosts_servers_are_never_ours(
    path: Path, control: ResolvConfControl, journal: Journal
) -> None:
    resolvers = SystemResolvers(
        "etc-resolv-conf",
        control,
        tun="tun0",
        log=LOG,
        path=path,
        backup=path.with_name("resolv.conf.before-firezone"),
    )
    assert resolvers.read() == ("10.0.0.1", "10.0.0.2")

    control.apply(tun="tun0", sentinels=SENTINELS)
    assert resolvers.read() == ("10.0.0.1", "10.0.0.2")

    assert isinstance(dns_control("disabled", journal, log=LOG), Disabled)


async def test_another_server_is_told_and_an_edit_noticed(
    path: Path, control: ResolvConfControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolver_source, "EVERY", 0.001)
    control.apply(tun="tun0", sentinels=SENTINELS)
    resolvers = SystemResolvers(
        "etc-resolv-conf",
        control,
        tun="tun0",
        log=LOG,
        path=path,
        backup=path.with_name("resolv.conf.before-firezone"),
    )
    told: asyncio.Queue[tuple[str, ...]] = asyncio.Queue()
    looks = asyncio.Semaphore(0)
    loop, read = asyncio.get_running_loop(), resolvers.read

    def look() -> tuple[str, ...]:
        found = read()
        loop.call_soon_threadsafe(looks.release)
        return found

    monkeypatch.setattr(resolvers, "read", look)
    watching = asyncio.create_task(resolvers.watch(told.put_nowait))
    # What is there by its first look is no change.
    await looks.acquire()

    path.write_text("nameserver 9.9.9.9\n")

    assert await told.get() == ("9.9.9.9",)
    for _ in range(10_000):
        if nameservers(path.read_text()) == SENTINELS:
            break
        await asyncio.sleep(0.001)
    assert nameservers(path.read_text()) == SENTINELS
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    control.revert()
    assert path.read_text() == "nameserver 9.9.9.9\n"
