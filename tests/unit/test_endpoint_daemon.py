"""What both roles on a host do alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from firezone.endpoint_daemon import checked
from firezone.errors import ConfigError
from firezone.standalone.tables import read_client

if TYPE_CHECKING:
    from pathlib import Path

RESOURCE = '[[resource]]\nname = "intranet"\ndns = "{}"\n'


def test_a_pattern_that_the_core_does_not_take_is_told_with_file_table_and_field(
    tmp_path: Path,
) -> None:
    file = tmp_path / "client.toml"
    file.write_text(RESOURCE.format("a..example"))

    with pytest.raises(ConfigError) as caught:
        checked(file, read_client(file))

    assert str(caught.value).startswith(f"{file}: [[resource]] intranet: dns: 'a..example' is no")
    assert "*.example.net" in str(caught.value.hint)


def test_patterns_that_it_takes_are_left(tmp_path: Path) -> None:
    file = tmp_path / "client.toml"
    file.write_text(RESOURCE.format("**.example.net"))

    tables = read_client(file)

    assert checked(file, tables) is tables
