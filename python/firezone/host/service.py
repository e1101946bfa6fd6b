"""systemd units of the roles: their text, and putting them in place."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Final

from firezone.errors import ConfigError, NeedsPrivilege

from . import programs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .dns.control import Method
    from .journal import Role

__all__ = [
    "USER",
    "Action",
    "disable_service",
    "enable_service",
    "polkit_rules",
    "unit_name",
    "unit_text",
]

USER: Final = "firezone"
UNITS: Final = Path("/etc/systemd/system")
_SYSUSERS: Final = Path("/etc/sysusers.d/firezone.conf")
_POLKIT_RULES: Final = Path("/etc/polkit-1/rules.d/50-firezone.rules")
_SYSUSERS_TEXT: Final = f'u {USER} - "Firezone" /var/lib/firezone\n'


@dataclass(frozen=True)
class Action:
    """Something that is done to the host.

    Args:
        command: A program and its arguments; none if a file is written or removed.
        path: The file.
        text: What is written to it; None removes it.
    """

    command: tuple[str, ...] = ()
    path: Path | None = None
    text: str | None = None

    def __str__(self) -> str:
        """Return it in words."""
        if self.path is None:
            return " ".join(self.command)
        return f"write {self.path}" if self.text is not None else f"remove {self.path}"

    def carry_out(self) -> None:
        """Do it.

        Raises:
            NeedsPrivilege: It is not allowed.
            FirezoneError: The program failed.
        """
        if self.path is None:
            programs.run(self.command)
            return
        try:
            if self.text is None:
                self.path.unlink(missing_ok=True)
            else:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self.path.write_text(self.text)
                self.path.chmod(0o644)
        except OSError as error:
            raise NeedsPrivilege(
                f"{self.path} cannot be written: {error.strerror}", hint="run it with sudo"
            ) from error


def unit_name(role: Role) -> str:
    """Return the name of a role's unit."""
    return f"firezone-{role}.service"


def unit_text(
    role: Role,
    *,
    command: Sequence[str] | None = None,
    dns_control: Method = "systemd-resolved",
    has_polkit: bool = True,
) -> str:
    """Return a role's unit.

    It runs as user `firezone` with CAP_NET_ADMIN. A Client that writes /etc/resolv.conf runs as
    root, whose file it is, with no other right than that one; so does one that tells
    systemd-resolved where no polkit could allow it to a user.

    Args:
        role: Whose.
        command: What starts firezone; None is the one that runs.
        dns_control: How the Client is asked.
        has_polkit: Whether polkit decides on this host.
    """
    writes = role == "client" and dns_control == "etc-resolv-conf"
    tells = role == "client" and dns_control == "systemd-resolved"
    is_root = writes or (tells and not has_polkit)
    folder = resources.files("firezone.host") / "units"
    template = Template((folder / f"{role}.service").read_text())
    # Writing a file in /etc needs all of it: its backup is put beside it as a whole.
    paths = ["ProtectSystem=strict", *(["ReadWritePaths=/etc"] if writes else [])]
    return template.substitute(
        command=" ".join(command or _own_command()),
        dns_control=dns_control,
        user="User=root" if is_root else f"User={USER}\nGroup={USER}",
        hardening=(folder / "hardening.conf").read_text().rstrip(),
        paths="\n".join(paths),
    )


def polkit_rules() -> str:
    """Return the rules by which polkit lets a Client tell systemd-resolved."""
    return (resources.files("firezone.host") / "units" / _POLKIT_RULES.name).read_text()


def enable_service(
    role: Role,
    *,
    dry_run: bool = False,
    command: Sequence[str] | None = None,
    dns_control: Method = "systemd-resolved",
    folder: Path = UNITS,
) -> list[Action]:
    """Put a role's unit in place, start it now and at every boot.

    Args:
        role: Whose.
        dry_run: Only tell what would be done.
        command: What starts firezone; None is the one that runs.
        dns_control: How the Client is asked.
        folder: Where units are.

    Returns:
        What is done, in order.

    Raises:
        ConfigError: systemd is not there.
        NeedsPrivilege: It is not allowed.
        FirezoneError: A program failed.
    """
    has_polkit = _POLKIT_RULES.parent.exists()
    text = unit_text(role, command=command, dns_control=dns_control, has_polkit=has_polkit)
    actions = [
        Action(path=_SYSUSERS, text=_SYSUSERS_TEXT),
        Action(("systemd-sysusers", str(_SYSUSERS))),
    ]
    if role == "client" and dns_control == "systemd-resolved" and has_polkit:
        actions.append(Action(path=_POLKIT_RULES, text=polkit_rules()))
    actions += [
        Action(path=folder / unit_name(role), text=text),
        Action(("systemctl", "daemon-reload")),
        Action(("systemctl", "enable", "--now", unit_name(role))),
    ]
    return _carry_out(actions, dry_run=dry_run)


def disable_service(role: Role, *, dry_run: bool = False, folder: Path = UNITS) -> list[Action]:
    """Stop a role's unit and take it away.

    Args:
        role: Whose.
        dry_run: Only tell what would be done.
        folder: Where units are.

    Returns:
        What is done, in order.
    """
    actions = [
        Action(("systemctl", "disable", "--now", unit_name(role))),
        Action(path=folder / unit_name(role)),
        *([Action(path=_POLKIT_RULES)] if role == "client" else []),
        Action(("systemctl", "daemon-reload")),
    ]
    return _carry_out(actions, dry_run=dry_run)


def _carry_out(actions: list[Action], *, dry_run: bool) -> list[Action]:
    if not dry_run:
        programs.find("systemctl", hint="start it by hand, or by what starts services here")
        for action in actions:
            action.carry_out()
    return actions


def _own_command() -> list[str]:
    """Return what starts this firezone, as a unit may say it."""
    beside = Path(sys.executable).parent / "firezone"
    found = str(beside) if beside.exists() else shutil.which("firezone")
    command = [found] if found else [sys.executable, "-m", "firezone"]
    if any(set(word) & set(" \t\"'\\$%") for word in command):
        raise ConfigError(
            f"{command[0]} cannot stand in a unit",
            hint="install firezone in a folder without blanks",
        )
    return command
