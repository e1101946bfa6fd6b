"""The guides tell the truth: their files can be used, and no key is left out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from firezone.config import Role, load
from firezone.standalone.tables import (
    ClientTable,
    GatewayTable,
    ResourceTable,
    read_client,
    read_gateway,
)

GUIDE = (Path(__file__).parents[2] / "docs" / "guides" / "standalone.md").read_text()


@pytest.mark.parametrize(("role", "place"), [("client", 0), ("gateway", 1)])
def test_the_files_of_the_guide_can_be_used(role: Role, place: int, tmp_path: Path) -> None:
    file = tmp_path / f"{role}.toml"
    file.write_text(re.findall(r"```toml\n(.*?)```", GUIDE, re.DOTALL)[place])

    assert load(role, file=file).settings
    tables = (read_client if role == "client" else read_gateway)(file)

    assert [resource.name for resource in tables.resource] == ["intranet", "printers"]


@pytest.mark.parametrize("table", [ClientTable, GatewayTable, ResourceTable])
def test_every_key_of_a_table_is_explained(table: type[ResourceTable]) -> None:
    rows = "\n".join(re.findall(r"^\| (?:`\[\[\w+\]\]`)? ?\| .*$", GUIDE, re.MULTILINE))

    assert [name for name in table.model_fields if f"`{name}`" not in rows] == []
