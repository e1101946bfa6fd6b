"""Tables of a standalone file: what is read, and what a wrong one is told."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest

from firezone.errors import ConfigError
from firezone.standalone.tables import read_client, read_gateway

if TYPE_CHECKING:
    from pathlib import Path

KEY = "jLzA3oWrI2b8JvAB0kDVJG8mDT4BsVoJkSHnWtyl40Y="
OTHER = "bm90IHRoZSBzYW1lIG9uIGJvdGggc2lkZXMgISEhISE="
GATEWAY = f'[[gateway]]\nname = "office"\npublic_key = "{KEY}"\nendpoint = "192.0.2.2:52625"\n'
CLIENT = f'[[client]]\nname = "laptop"\npublic_key = "{KEY}"\n'
RESOURCE = '[[resource]]\nname = "web"\ndns = "*.corp.example"\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "role.toml"
    path.touch(mode=0o600)
    return path


def fault(file: Path, text: str) -> ConfigError:
    """Return what is said of a file; the role follows from its tables."""
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        (read_client if "[gateway]" in text else read_gateway)(file)
    return caught.value


def test_a_whole_client_file(file: Path) -> None:
    file.write_text(
        'log_level = "debug"\n' + GATEWAY + f'preshared_key = "{OTHER}"\n'
        'addresses = ["100.64.0.9", "fd00:2021:1111::9"]\npersistent_keepalive = 25\n'
        '[[resource]]\nname = "web"\ndns = "*.corp.example"\nports = ["tcp/443", "udp", "icmp"]\n'
        'ip_stack = "ipv4_only"\ngateways = ["office"]\n'
        '[[resource]]\nname = "net"\ncidr = "10.0.0.7"\n'
    )

    tables = read_client(file)

    office, (web, net) = tables.gateway[0], tables.resource
    assert office.command("192.0.2.2:52625") == {
        "id": office.id,
        "ipv4": "100.64.0.9",
        "ipv6": "fd00:2021:1111::9",
        "endpoint": {
            "session": "wireguard",
            "public_key": KEY,
            "profile": "firezone",
            "preshared_key": OTHER,
            "persistent_keepalive": 25.0,
            "address": "192.0.2.2:52625",
        },
    }
    assert OTHER not in repr(tables)
    assert web.command() == {
        "id": web.id,
        "name": "web",
        "type": "dns",
        "address": "*.corp.example",
        "ip_stack": "ipv4_only",
        "filters": [
            {"protocol": "tcp", "port_range_start": 443, "port_range_end": 443},
            {"protocol": "udp", "port_range_start": 0, "port_range_end": 65535},
            {"protocol": "icmp"},
        ],
    }
    assert net.command()["address"] == "10.0.0.7/32"


def test_a_whole_gateway_file(file: Path) -> None:
    file.write_text(
        CLIENT + 'resources = ["web"]\nuntil = 2027-01-31T18:00:00\n'
        'endpoint = "[2001:db8::1]:51820"\nplain = true\n' + RESOURCE
    )

    laptop = read_gateway(file).client[0]

    assert laptop.until == dt.datetime(2027, 1, 31, 18, tzinfo=dt.UTC)
    assert laptop.command(None)["endpoint"] == {
        "session": "wireguard",
        "public_key": KEY,
        "profile": "plain",
    }


@pytest.mark.parametrize(
    ("field", "reason"),
    [
        ('public_key = "short"', "44 characters"),
        (f'public_key = "{"A" * 43}="', None),
        (f'public_key = "{"A" * 42}B="', "44 characters"),
        ("public_key = 7", "44 characters"),
        ('preshared_key = "short"', "44 characters"),
        ('endpoint = "gw.example.net"', "host:port"),
        ('endpoint = "2001:db8::1:52625"', "[2001:db8::1]:52625"),
        ('endpoint = "[192.0.2.1]:5"', "host:port"),
        ('endpoint = "192.0.2.1:0"', "host:port"),
        ('endpoint = "192.0.2.1:65536"', "host:port"),
        ('endpoint = ":52625"', "host:port"),
        ("endpoint = 52625", "a text"),
        ('addresses = ["100.64.0.9"]', "an IPv4 and an IPv6 address"),
        ('addresses = ["fd00::1", "100.64.0.9"]', "an IPv4 and an IPv6 address"),
        ('addresses = "100.64.0.9"', "an IPv4 and an IPv6 address"),
        ("addresses = [1, 2]", "an IPv4 and an IPv6 address"),
        ("persistent_keepalive = -1", "a number of seconds"),
        ("persistent_keepalive = 65536", "a number of seconds"),
        ("persistent_keepalive = nan", "a number of seconds"),
        ('persistent_keepalive = "25"', "a number of seconds"),
        ("persistent_keepalive = true", "a number of seconds"),
        ('plain = "yes"', "true or false"),
        ("plain = 1", "true or false"),
    ],
)
def test_a_wrong_field_of_a_gateway(field: str, reason: str | None, file: Path) -> None:
    name = field.partition(" ")[0]
    lines = [line for line in GATEWAY.splitlines() if not line.startswith(f"{name} ")]
    text = "\n".join([*lines, field])
    if reason is None:
        file.write_text(text)
        assert read_client(file).gateway
        return

    error = fault(file, text)

    assert str(error).startswith(f"{file}: [[gateway]] office: {name}: ")
    assert reason in str(error)
    assert "short" not in str(error), "it may be secret"
    assert (error.setting, error.origin) == (name, str(file))


@pytest.mark.parametrize(
    ("field", "reason"),
    [
        ('until = "2027-01-31"', "without quotes"),
        ("until = 18:00:00", "a date and a time"),
        ("until = 2027-01-31", "a date and a time"),
        ("until = 5", "a date and a time"),
        ('endpoint = "laptop.example:5"', "'laptop.example' is a name"),
        ('resources = "web"', "a list"),
        ("resources = [1]", "a text"),
        ('resources = ["wob"]', "there is no [[resource]] wob"),
        ('resource = ["web"]', "there is no such field"),
    ],
)
def test_a_wrong_field_of_a_client(field: str, reason: str, file: Path) -> None:
    name = field.partition(" ")[0]

    error = fault(file, f"{CLIENT}{field}\n{RESOURCE}")

    assert str(error).startswith(f"{file}: [[client]] laptop: {name}: ")
    assert reason in str(error)
    assert error.setting == name


@pytest.mark.parametrize(
    ("field", "reason"),
    [
        ('cidr = "10.0.0.1/8"', "the network is 10.0.0.0/8"),
        ('cidr = "10.0.0.0/33"', "no network"),
        ('cidr = "corp"', "no network"),
        ("cidr = 5", "a text"),
        ('cidr = "0.0.0.0/0"', "that is everything"),
        ('cidr = "::/0"', "that is everything"),
        ('dns = ""', "not empty"),
        ('ports = "tcp/443"', "a list"),
        ('ports = ["tcp/http"]', "'tcp/http' is none of tcp, tcp/443"),
        ('ports = ["tcp/2-1"]', "no range of ports"),
        ('ports = ["udp/65536"]', "no range of ports"),
        ('ports = ["sctp"]', "none of tcp"),
        ("ports = [443]", "a text"),
        ('ip_stack = "ipv4"', "'dual', 'ipv4_only' or 'ipv6_only'"),
        ('gateways = ["offce"]', "there is no [[gateway]] offce"),
        ('gatewys = ["office"]', "there is no such field"),
    ],
)
def test_a_wrong_field_of_a_resource(field: str, reason: str, file: Path) -> None:
    name = field.partition(" ")[0]
    address = "" if name in {"cidr", "dns"} else 'dns = "a.example"\n'

    error = fault(file, f'{GATEWAY}[[resource]]\nname = "web"\n{address}{field}\n')

    assert str(error).startswith(f"{file}: [[resource]] web: {name}: ")
    assert reason in str(error)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (GATEWAY.replace("[[gateway]]", "[gateway]"), "gateway: write [[gateway]]"),
        ("gateway = 5 # [gateway]", "gateway: write [[gateway]]"),
        ("gateway = [5] # [gateway]", "[[gateway]] number 1: write [[gateway]]"),
        (GATEWAY.replace('name = "office"\n', ""), "[[gateway]] number 1: name: it is missing"),
        (GATEWAY.replace('"office"', '""'), "[[gateway]] number 1: name: expected a text"),
        (GATEWAY.replace('"office"', '"a\\nb"'), "name: expected a text"),
        (CLIENT + '[[resource]]\nname = "x"\n', "[[resource]] x: a resource has either dns, or"),
        (CLIENT + RESOURCE + 'cidr = "10.0.0.0/8"\n', "[[resource]] web: a resource has either"),
        (CLIENT + RESOURCE + 'gateways = ["a"]\n', "[[resource]] web: gateways: a Gateway's file"),
        (RESOURCE + '[[resource]]\nname = "x"\ncidr = "10.0.0.0/8"\ninternet = true\n',
         "[[resource]] x: a resource has either dns, or"),
        ('[[resource]]\nname = "x"\ninternet = true\n[[resource]]\nname = "y"\ninternet = true\n',
         "[[resource]] y: internet: the internet is already that of x"),
        (CLIENT + CLIENT, "[[client]] laptop: name: laptop is already that of another one"),
        (CLIENT + CLIENT.replace("laptop", "b"), f"b: public_key: {KEY} is already that of laptop"),
        (RESOURCE + '[[resource]]\nname = "B"\ndns = "*.CORP.example"\n',
         "[[resource]] B: dns: *.corp.example is already that of web"),
        (GATEWAY + "plain = true\n" + RESOURCE + 'gateways = ["office"]\n',
         "[[resource]] web: gateways: office is a plain WireGuard peer"),
        ("= 1", "is not TOML"),
        ("a = 1\na = 2", "is not TOML"),
    ],
)  # fmt: skip
def test_a_wrong_table(text: str, reason: str, file: Path) -> None:
    error = fault(file, text)

    assert str(error).startswith(str(file))
    assert reason in str(error)


def test_two_peers_may_not_have_one_address(file: Path) -> None:
    fixed = 'addresses = ["100.64.0.9", "fd00:2021:1111::9"]\n'
    second = f'[[client]]\nname = "b"\npublic_key = "{OTHER}"\n'

    error = fault(file, CLIENT + fixed + second + fixed)

    assert "[[client]] b: addresses: 100.64.0.9 is already that of laptop" in str(error)


def test_the_nearest_name_is_a_hint(file: Path) -> None:
    assert fault(file, CLIENT + 'resources = ["wbe"]\n' + RESOURCE).hint == "did you mean web?"
    assert fault(file, CLIENT + 'resorces = ["web"]\n').hint == "did you mean resources?"
    assert fault(file, CLIENT + 'resources = ["web"]\n').hint == "the file has none"


def test_a_preshared_key_that_others_can_read_is_refused(file: Path) -> None:
    file.chmod(0o640)

    error = fault(file, GATEWAY + f'preshared_key = "{OTHER}"\n')

    assert f"{file}: [[gateway]] office: preshared_key: others can read" in str(error)
    assert error.hint == f"chmod 600 {file}"
    file.write_text(GATEWAY)
    assert read_client(file).gateway, "without one, others may read it"


def test_a_secret_is_in_no_traceback(file: Path) -> None:
    error = fault(file, GATEWAY + 'preshared_key = "almost-a-key"\n')

    assert error.__cause__ is None
    assert error.__suppress_context__
    assert "almost-a-key" not in str(error.__context__)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist") as caught:
        read_client(tmp_path / "none.toml")
    assert "--config" in str(caught.value.hint)
    with pytest.raises(ConfigError, match="directory"):
        read_gateway(tmp_path)
