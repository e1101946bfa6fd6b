"""Private keys in files."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from firezone import keys
from firezone.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


def test_a_new_key_is_its_owners_alone(tmp_path: Path) -> None:
    path, before = tmp_path / "deep" / "client.key", os.umask(0)
    try:
        public = keys.create(path)
    finally:
        os.umask(before)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(path.read_text()) == 45
    assert keys.public_key(keys.read(path)) == public
    assert len(keys.decode(public, what="it")) == keys.BYTES


def test_a_key_that_exists_stays(tmp_path: Path) -> None:
    path = tmp_path / "client.key"
    keys.create(path)
    before = path.read_bytes()

    with pytest.raises(ConfigError, match="a key that is overwritten is lost"):
        keys.create(path)

    assert path.read_bytes() == before


def test_a_key_that_could_not_be_written_whole_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(ConfigError, match="No space left"):
        keys.create(tmp_path / "client.key")

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601])
def test_a_key_that_others_can_use_is_refused(mode: int, tmp_path: Path) -> None:
    path = tmp_path / "client.key"
    keys.create(path)
    path.chmod(mode)

    with pytest.raises(ConfigError, match="others can read this private key") as caught:
        keys.read(path)

    assert (caught.value.setting, caught.value.hint) == ("private_key_file", f"chmod 600 {path}")


def test_a_key_that_its_owner_cannot_change_is_good(tmp_path: Path) -> None:
    path = tmp_path / "client.key"
    public = keys.create(path)
    path.chmod(0o400)

    assert keys.public_key(keys.read(path)) == public


@pytest.mark.parametrize(
    "content", [b"", b"c2hvcnQ=\n", b"\xff" * 32, b"not base64 at all!", b"A" * 44]
)
def test_what_is_no_key_is_not_repeated(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "client.key"
    path.touch(mode=0o600)
    path.write_bytes(content)

    with pytest.raises(ConfigError, match="holds no key") as caught:
        keys.read(path)

    assert str(caught.value).startswith(str(path))
    assert caught.value.setting == "private_key_file"
    assert not content or content.decode("latin-1") not in str(caught.value)


def test_a_missing_key_is_told_how_to_make(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist") as caught:
        keys.read(tmp_path / "client.key")

    assert caught.value.hint == f"make one: firezone keys new {tmp_path}/client.key"
    with pytest.raises(ConfigError, match="directory"):
        keys.read(tmp_path)


def test_random_keys_differ() -> None:
    assert keys.random_key() != keys.random_key()
