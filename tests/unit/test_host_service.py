"""The units; systemd itself judges them, if it is here."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from firezone.cli import main
from firezone.errors import ConfigError
from firezone.host import programs, service
from firezone.host.service import disable_service, enable_service, unit_name, unit_text

if TYPE_CHECKING:
    from pathlib import Path

    from firezone.host.dns.control import Method
    from firezone.host.journal import Role

UNITS: list[tuple[Role, Method]] = [
    ("gateway", "disabled"),
    ("client", "systemd-resolved"),
    ("client", "etc-resolv-conf"),
]


def exposure(words: str) -> float:
    return float(words.rsplit(":", 1)[1].split(maxsplit=1)[0])


@pytest.mark.parametrize(("role", "method"), UNITS)
def test_systemd_finds_no_fault(role: Role, method: Method, tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd is not here")
    path = tmp_path / unit_name(role)
    path.write_text(unit_text(role, command=["/bin/true"], dns_control=method))

    verify = subprocess.run(
        [analyze, "verify", "--man=no", path], capture_output=True, text=True, check=False
    )
    security = subprocess.run(
        [analyze, "security", "--offline=true", path], capture_output=True, text=True, check=True
    )

    assert (verify.returncode, verify.stderr) == (0, "")
    assert exposure(security.stdout.strip().splitlines()[-1]) <= 3.0


@pytest.mark.parametrize(("role", "method"), UNITS)
def test_a_unit_has_one_right(role: Role, method: Method) -> None:
    lines = unit_text(role, command=["/bin/true"], dns_control=method).splitlines()

    assert "CapabilityBoundingSet=CAP_NET_ADMIN" in lines
    assert "AmbientCapabilities=CAP_NET_ADMIN" in lines
    assert "NoNewPrivileges=yes" in lines
    unknown = [line.replace("$MAINPID", "").replace("$$SERVICE_RESULT", "") for line in lines]
    assert not [line for line in unknown if "$" in line]


def test_only_who_writes_resolv_conf_is_root() -> None:
    users = {
        (role, method): [
            line
            for line in unit_text(role, command=["/x"], dns_control=method).splitlines()
            if line.startswith(("User=", "ReadWritePaths="))
        ]
        for role, method in UNITS
    }

    assert users == {
        ("gateway", "disabled"): ["User=firezone"],
        ("client", "systemd-resolved"): ["User=firezone"],
        ("client", "etc-resolv-conf"): ["User=root", "ReadWritePaths=/etc"],
    }


def test_without_polkit_who_tells_systemd_resolved_is_root() -> None:
    text = unit_text("client", command=["/x"], has_polkit=False)

    assert "User=root" in text
    assert "ReadWritePaths" not in text
    assert "User=firezone" in unit_text("client", command=["/x"], dns_control="disabled")


def test_what_a_crash_leaves_is_kept_for_the_next_start() -> None:
    assert "RuntimeDirectoryPreserve=yes" in unit_text("client", command=["/x"])


@pytest.mark.parametrize("role", ["client", "gateway"])
def test_r38_systemd_keeps_what_a_restart_leaves_and_nothing_of_a_failed_start(role: Role) -> None:
    lines = unit_text(role, command=["/x"]).splitlines()

    assert "FileDescriptorStoreMax=8" in lines
    assert "Environment=FIREZONE_DESCRIPTOR_STORE=restart" in lines
    assert "KillMode=mixed" in lines, "systemctl would be ended with who asks it"
    (post,) = [line for line in lines if line.startswith("ExecStopPost=")]
    assert post.endswith(f"exit-code ]; then exec /x host cleanup --role {role}; fi'")


def test_a_dry_run_tells_and_does_nothing(tmp_path: Path) -> None:
    actions = enable_service("gateway", dry_run=True, command=["/x"], folder=tmp_path)

    assert [str(action) for action in actions] == [
        "write /etc/sysusers.d/firezone.conf",
        "systemd-sysusers /etc/sysusers.d/firezone.conf",
        f"write {tmp_path}/firezone-gateway.service",
        "systemctl daemon-reload",
        "systemctl enable --now firezone-gateway.service",
    ]
    assert list(tmp_path.iterdir()) == []


def test_a_service_is_put_in_place_and_taken_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []
    monkeypatch.setattr(programs, "run", lambda argv, **_: ran.append(" ".join(argv)) or "")
    monkeypatch.setattr(programs, "find", lambda program, **_: program)
    monkeypatch.setattr(service, "_SYSUSERS", tmp_path / "sysusers")
    rules = tmp_path / "rules.d" / "50-firezone.rules"
    rules.parent.mkdir()
    monkeypatch.setattr(service, "_POLKIT_RULES", rules)

    enable_service("client", command=["/x"], folder=tmp_path)
    assert (tmp_path / "firezone-client.service").stat().st_mode & 0o777 == 0o644
    assert "polkit.Result.YES" in rules.read_text()
    assert ran[-1] == "systemctl enable --now firezone-client.service"

    disable_service("client", folder=tmp_path)
    assert not rules.exists()
    assert not (tmp_path / "firezone-client.service").exists()
    assert ran[-2:] == [
        "systemctl disable --now firezone-client.service",
        "systemctl daemon-reload",
    ]


def test_without_systemd_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(programs, "_EXTRA_FOLDERS", ())

    with pytest.raises(ConfigError, match="systemctl"):
        enable_service("client", command=["/x"], folder=tmp_path)


@pytest.mark.parametrize("role", ["client", "gateway"])
def test_the_command_line_tells_what_it_would_do(
    role: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([role, "enable-service", "--dry-run", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "firezone.service/1"
    assert document["actions"][-1]["command"][:2] == ["systemctl", "enable"]
    assert main([role, "enable-service", "--dry-run"]) == 0
    assert f"    ExecStart={service._own_command()[0]}" in capsys.readouterr().out

    assert main([role, "disable-service", "--dry-run"]) == 0
    assert f"systemctl disable --now firezone-{role}.service" in capsys.readouterr().out


def test_the_way_of_dns_says_who_the_client_runs_as(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["client", "enable-service", "--dry-run", "--dns-control=etc-resolv-conf"]) == 0

    assert "    User=root\n" in capsys.readouterr().out
