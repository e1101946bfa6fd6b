"""A portal on a host of its own, beside the Client's and the Gateway's; both have a token."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any, Final, Self

from tests.system.two_machines import FIREZONE, NAME, QUIET, RESOLVER, Role, TwoMachines

from firezone.lab.namespaces import Namespace

if TYPE_CHECKING:
    import signal

__all__ = ["PortalBetween"]

PORT: Final = 8080
WAYS: Final[dict[Role, tuple[str, str]]] = {
    "client": ("198.51.100.1", "198.51.100.2"),
    "gateway": ("203.0.113.1", "203.0.113.2"),
}
"""Each role's address towards the portal, and the portal's."""


class PortalBetween:
    """Runs a portal, whose only resource is the site's name, and both roles by their tokens.

    Args:
        machines: The hosts of both roles, and the site.
    """

    def __init__(self, machines: TwoMachines) -> None:
        self.machines = machines
        self._host = Namespace("portal")
        self.policy = ""
        self.tokens: dict[Role, str] = {}

    def __enter__(self) -> Self:
        self._host.create()
        self._host.sysctl(QUIET)
        for role, (own, portal) in WAYS.items():
            host, device = self.machines.host(role), f"to-{role}"
            host.ip(f"link add portal type veth peer name {device} netns {self._host.name}")
            for namespace, name, address in (
                (host, "portal", own),
                (self._host, device, portal),
            ):
                namespace.ip(f"address add {address}/24 dev {name}", f"link set {name} up")
        made = self.command("init", "--email", "ann@example.net")
        self.tokens = {"gateway": made["tokens"]["gateway"], "client": made["tokens"]["client"]}
        self.command("resource", "create", "web", "--address", NAME, "--site", "main")
        policy = ("policy", "create", "--group", "everyone", "--resource", "web")
        self.policy = self.command(*policy)["policy"]["id"]
        return self

    def __exit__(self, *_: object) -> None:
        for name in ("client", "gateway", "portal"):
            if name in self.machines.running:
                self.machines.end(name)
        self._host.remove()

    def command(self, *words: str) -> Any:
        """Run a command of the portal's administrator; return what it tells."""
        done = subprocess.run(
            [*FIREZONE, "portal", "--database", self._database, *words, "--json"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def begin(self) -> None:
        """Start the portal, and wait until it listens."""
        logs = f"FIREZONE_PORTAL_LOG_DIR={self.machines.folder}/logs"
        command = ("env", logs, *FIREZONE, "portal", "--database", self._database)
        self.machines.start("portal", self._host, *command, "run", "--listen", f"0.0.0.0:{PORT}")
        listening = ("ss", "-Hltn", f"sport = :{PORT}")
        self.machines.wait(lambda: self.machines.inside(self._host, *listening).stdout, "portal")

    def end(self, by: signal.Signals) -> None:
        """End the portal."""
        self.machines.end("portal", by)

    def begin_roles(self) -> None:
        """Start both roles, and let programs on the Client's host ask it."""
        for role in ("gateway", "client"):
            token = self.machines.folder / f"{role}.token"
            token.touch(mode=0o600)
            token.write_text(self.tokens[role] + "\n")
            settings: dict[str, object] = {
                "api_url": f"ws://{WAYS[role][1]}:{PORT}",
                "token_file": str(token),
                "dns_servers": [RESOLVER if role == "gateway" else "192.0.2.53"],
            }
            self.machines.write(role, settings, {})
        self.machines.begin_both()

    def is_known(self, role: Role) -> bool:
        """Tell whether a role is connected to the portal now."""
        return bool(self.machines.call(role, "status")["portal"]["connected"])

    def passed(self) -> int:
        """Return how many packets of the Client the Gateway has let pass."""
        shown = ("ip", "-json", "-stats", "link", "show", "dev", "tun-firezone")
        (link,) = json.loads(self.machines.inside(self.machines.gateway, *shown).stdout)
        return int(link["stats64"]["rx"]["packets"])

    @property
    def _database(self) -> str:
        return f"sqlite:///{self.machines.folder}/portal.db"
