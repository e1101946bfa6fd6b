"""Two hosts with the underlay between them, and a site behind the second: all in namespaces."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from tests.system.leftovers import watch
from tests.system.nginx import write_settings

from firezone.control import ControlClient
from firezone.errors import FirezoneError
from firezone.lab import namespaces
from firezone.lab.namespaces import Namespace

if TYPE_CHECKING:
    from tests.system.service_manager import ServiceManager

Role = Literal["client", "gateway"]

FIREZONE: Final = (sys.executable, "-m", "firezone")
PATIENCE: Final = 30.0
"""Seconds that anything may take to begin or to end on a loaded machine."""
UNDERLAY: Final = {"client": ("192.0.2.1", "2001:db8::1"), "gateway": ("192.0.2.2", "2001:db8::2")}
SITE: Final = ("10.77.0.11", "fd77::11")
RESOLVER: Final = "10.77.0.2"
NAME: Final = "app.site.example"
QUIET: Final = {
    "ipv6/conf/all/accept_dad": "0",
    "ipv6/conf/default/accept_dad": "0",
    "ipv6/conf/all/autoconf": "0",
}


class TwoMachines:
    """The hosts, their files, and the programs on them; everything goes at the end."""

    def __init__(self) -> None:
        self.client, self.gateway = Namespace("client"), Namespace("gateway")
        self.site = Namespace("site")
        self.folder = Path()
        self.keys: dict[str, str] = {}
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.managers: dict[str, ServiceManager] = {}
        """Who starts a program, if that is more than this test."""

    def __enter__(self) -> Self:
        watch()
        namespaces.remove_stale()
        self.folder = Path(tempfile.mkdtemp(prefix=f"firezone-lab-{os.getpid()}-"))
        self.folder.chmod(0o755)
        try:
            self._build()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def hosts(self) -> tuple[Namespace, ...]:
        """Every namespace, in the order in which they are removed."""
        return (self.client, self.gateway, self.site)

    def close(self) -> None:
        # From the last to the first; what fails keeps nothing of the others.
        with contextlib.ExitStack() as stack:
            stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
            for namespace in self.hosts:
                stack.callback(namespace.remove)
            for name in self.running:
                stack.callback(self.end, name)

    def start(self, name: str, namespace: Namespace, *argv: str) -> subprocess.Popen[bytes]:
        """Start a program whose output goes to a file; it dies with this process."""
        command = ["setpriv", "--pdeathsig", "KILL", "--", *namespace.command(*argv)]
        manager = self.managers.get(name)
        environment, numbers = dict(os.environ), list[int]()
        if manager is not None:
            around, numbers = manager.start()
            command = [*around, *command]
            environment |= manager.environment
        with (self.folder / f"{name}.out").open("ab") as out:
            self.running[name] = subprocess.Popen(
                command, stdout=out, stderr=out, env=environment, pass_fds=numbers
            )
        for number in numbers:
            os.close(number)
        return self.running[name]

    def end(self, name: str, by: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal to a program and wait for its end."""
        process = self.running.pop(name)
        if process.poll() is None:
            process.send_signal(by)
        try:
            return process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise

    def output(self, name: str) -> str:
        return (self.folder / f"{name}.out").read_text(errors="replace")

    def inside(
        self, namespace: Namespace, *argv: str, patience: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end."""
        command = namespace.command(*argv)
        return subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=patience
        )

    def sends_datagrams_alone(self, role: Role) -> None:
        """Let the underlay show each datagram by itself, for whoever catches them there."""
        self.host(role).ip("link set wan gso_max_segs 1")

    def script(self, name: str, text: str) -> tuple[str, str]:
        """Write a program in Python; return what runs it."""
        path = self.folder / f"{name}.py"
        path.write_text(text)
        return sys.executable, str(path)

    def write_client(self, endpoint: str = "192.0.2.2:52625", **settings: object) -> None:
        """Write the Client's file: the site's names and its network, through the Gateway."""
        gateway = {"name": "office", "public_key": self.keys["gateway"], "endpoint": endpoint}
        self.write("client", settings, {"gateway": [gateway], "resource": RESOURCES})

    def write_gateway(self, **settings: object) -> None:
        """Write the Gateway's file: one Client that may use both resources."""
        laptop = {
            "name": "laptop",
            "public_key": self.keys["client"],
            "resources": [resource["name"] for resource in RESOURCES],
        }
        settings = {"dns_servers": [RESOLVER], **settings}
        self.write("gateway", settings, {"client": [laptop], "resource": RESOURCES})

    def write(
        self, role: Role, settings: dict[str, object], tables: dict[str, list[dict[str, Any]]]
    ) -> None:
        """Write a role's file, with everything that it leaves behind inside the folder."""
        own = {
            "private_key_file": str(self.folder / f"{role}.key"),
            "state_dir": str(self.folder / "state"),
            "run_dir": str(self.folder / "run"),
            "log_dir": str(self.folder / "logs"),
            "control_socket": str(self.socket(role)),
            "log_level": "debug",
            **settings,
        }
        lines = [f"{name} = {_toml(value)}" for name, value in own.items()]
        for table, rows in tables.items():
            for row in rows:
                lines += [f"[[{table}]]", *(f"{name} = {_toml(v)}" for name, v in row.items())]
        self.file(role).touch(mode=0o600)
        self.file(role).write_text("\n".join(lines) + "\n")

    def host(self, role: Role) -> Namespace:
        return {"client": self.client, "gateway": self.gateway}[role]

    def file(self, role: Role) -> Path:
        return self.folder / f"{role}.toml"

    def socket(self, role: Role) -> Path:
        return self.folder / f"{role}.sock"

    def start_again(self, role: Role, *options: str) -> subprocess.Popen[bytes]:
        """Start a role and wait for nothing."""
        verb = {"client": "up", "gateway": "run"}[role]
        command = (*FIREZONE, role, verb, "--config", str(self.file(role)), *options)
        return self.start(role, self.host(role), *command)

    def upgrade(self, role: Role) -> int:
        """Start a role in the place of the one that runs; return how that ended."""
        former = self.running[role]
        self.running[f"former {role}"] = former
        process = self.start_again(role, "--take-over")
        code = former.wait(PATIENCE)
        del self.running[f"former {role}"]
        self.wait(lambda: self._is_ready(role, process), f"{role} ready")
        return code

    def manage(self, role: Role, manager: ServiceManager) -> None:
        """Let a service manager start a role from now on; it keeps what is left at SIGTERM."""
        self.managers[role] = manager

    def begin(self, role: Role) -> None:
        """Start a role and wait until it is ready."""
        process = self.start_again(role)
        self.wait(lambda: self._is_ready(role, process), f"{role} ready")

    def begin_both(self) -> None:
        """Start the Gateway and the Client, and let programs on the Client's host ask it."""
        self.begin("gateway")
        self.begin("client")
        self.use_client_dns()

    def call(self, role: Role, method: str, **params: object) -> Any:
        with ControlClient(self.socket(role)) as control:
            return control.call(method, **params)

    def wait(self, condition: Any, what: str) -> None:
        """Wait until something is the case."""
        give_up = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > give_up:
                message = f"{what} did not happen in {PATIENCE:g} s"
                raise AssertionError(message)
            time.sleep(0.05)

    def sentinel(self, family: int = 4) -> str:
        """Return the address at which the Client answers DNS."""
        sentinels: list[str] = self.call("client", "status")["sentinels"]
        return next(address for address in sentinels if (":" in address) == (family == 6))

    def use_client_dns(self) -> None:
        """Let programs on the Client's host ask the Client."""
        self.client.use_nameserver(self.sentinel())

    def payload(self, size: int) -> str:
        """Write the file that is downloaded; its SHA-256."""
        digest = hashlib.sha256()
        with (self.folder / "www" / "file").open("wb") as file:
            for _ in range(size // 2**20):
                chunk = os.urandom(2**20)
                digest.update(chunk)
                file.write(chunk)
        return digest.hexdigest()

    def _build(self) -> None:
        for namespace in self.hosts:
            namespace.create()
            namespace.sysctl(QUIET)
        wan = {self.client: UNDERLAY["client"], self.gateway: UNDERLAY["gateway"]}
        lan = {self.gateway: ("10.77.0.1", "fd77::1"), self.site: (RESOLVER, "fd77::2")}
        for device, ends in (("wan", wan), ("lan", lan)):
            _join(device, ends)
            # The kernel gives link-local addresses and their routes a moment later.
            for host in ends:
                shown = ("ip", "-6", "address", "show", "dev", device, "scope", "link")
                self.wait(lambda h=host, a=shown: self.inside(h, *a).stdout, f"{device} is up")
        self.site.ip(f"address add {SITE[0]}/24 dev lan", f"address add {SITE[1]}/64 dev lan nodad")
        for role in ("client", "gateway"):
            made = subprocess.run(
                [*FIREZONE, "keys", "new", str(self.folder / f"{role}.key")],
                capture_output=True,
                text=True,
                check=True,
            )
            self.keys[role] = made.stdout.strip()
        for name in ("www/upload", "body"):
            (self.folder / name).mkdir(parents=True)
        listen = ("listen 80 reuseport;", "listen [::]:80 reuseport;")
        settings = write_settings(self.folder, self.folder / "www", *listen)
        self.start("nginx", self.site, "nginx", "-c", settings)
        self.start(
            "dnsmasq", self.site, "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null",
            "--no-hosts", "--no-resolv", "--user=root", f"--listen-address={RESOLVER}",
            "--bind-interfaces", f"--address=/site.example/{SITE[0]}",
            f"--address=/site.example/{SITE[1]}", f"--mx-host={NAME},mail.site.example,10",
            f"--txt-record={NAME},a text", f"--pid-file={self.folder}/dnsmasq.pid",
        )  # fmt: skip

    def _is_ready(self, role: Role, process: subprocess.Popen[bytes]) -> bool:
        if process.poll() is not None:
            message = f"the {role} ended with {process.returncode}: {self.output(role)[-2000:]}"
            raise AssertionError(message)
        with contextlib.suppress(FirezoneError):
            return bool(self.call(role, "status"))
        return False


RESOURCES: Final[list[dict[str, Any]]] = [
    {"name": "site", "dns": "*.site.example"},
    {"name": "net4", "cidr": "10.77.0.0/24"},
    {"name": "net6", "cidr": "fd77::/64"},
]


def _join(device: str, ends: dict[Namespace, tuple[str, str]]) -> None:
    """Join two hosts by a cable whose ends have one name."""
    here, there = ends
    here.ip(f"link add {device} type veth peer name {device} netns {there.name}")
    for namespace, (ipv4, ipv6) in ends.items():
        namespace.ip(
            f"address add {ipv4}/24 dev {device}",
            f"address add {ipv6}/64 dev {device} nodad",
            f"link set {device} up",
        )


def _toml(value: object) -> str:
    # JSON's texts, numbers, booleans and lists are TOML's too.
    return json.dumps(value)
