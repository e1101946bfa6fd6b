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

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "guides" / "standalone.md").read_text()
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize(("role", "place"), [("client", 0), ("gateway", 1)])
def test_the_files_of_the_guide_can_be_used(role: Role, place: int, tmp_path: Path) -> None:
    file = tmp_path / f"{role}.toml"
    file.write_text(re.findall(r"```toml\n(.*?)```", GUIDE, re.DOTALL)[place])

    assert load(role, file=file).settings
    tables = (read_client if role == "client" else read_gateway)(file)

    assert [resource.name for resource in tables.resource] == ["intranet", "printers"]


@pytest.mark.parametrize(("role", "place"), [("gateway", 0), ("client", 1)])
def test_the_files_of_the_readme_can_be_used(role: Role, place: int, tmp_path: Path) -> None:
    file = tmp_path / f"{role}.toml"
    lines = re.findall(rf"^echo '(.*)' >>? /etc/firezone/{role}\.toml$", README, re.MULTILINE)
    key = re.findall(r'public_key = "(.*?)"', GUIDE)[place]
    file.write_text(re.sub(r"<key of the \w+>", key, "\n".join(lines)))

    assert load(role, file=file).settings
    tables = (read_client if role == "client" else read_gateway)(file)

    assert [resource.name for resource in tables.resource] == ["intranet", "office"]


@pytest.mark.parametrize("table", [ClientTable, GatewayTable, ResourceTable])
def test_every_key_of_a_table_is_explained(table: type[ResourceTable]) -> None:
    rows = "\n".join(re.findall(r"^\| (?:`\[\[\w+\]\]`)? ?\| .*$", GUIDE, re.MULTILINE))

    assert [name for name in table.model_fields if f"`{name}`" not in rows] == []
