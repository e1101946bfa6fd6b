"""The README's two machines, as it says, from a wheel in an environment with nothing else."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from tests.system.two_machines import SITE

if TYPE_CHECKING:
    from tests.system.two_machines import Role, TwoMachines

ROOT: Final = Path(__file__).parents[2]
RESOLVER: Final = "10.77.0.3"
PAGE: Final = "the wiki of the site\n"

_HOST: Final = """
set -e
mount -t tmpfs tmpfs /run
for folder in etc var; do
  mkdir -p /run/host/$folder /run/host/$folder-work
  options=lowerdir=/$folder,upperdir=/run/host/$folder,workdir=/run/host/$folder-work
  mount -t overlay overlay -o $options /$folder
done
rm -rf /etc/firezone /etc/resolv.conf
echo "nameserver $1" > /etc/resolv.conf
echo "192.0.2.2 gw.example.net" >> /etc/hosts
echo ready
exec sleep 600
"""


class Machine:
    """A host as a person finds it: /etc, /var and /run of its own, that outlive each command.

    Args:
        machines: What has its network.
        role: What will run on it.
        programs: Folder of the installed command.
    """

    def __init__(self, machines: TwoMachines, role: Role, programs: Path) -> None:
        self._machines = machines
        namespace = machines.host(role)
        name = f"{role}-host"
        server = {"client": "192.0.2.2", "gateway": RESOLVER}[role]
        holder = machines.start(name, namespace, "sh", "-c", _HOST, "sh", server)
        machines.wait(lambda: "ready" in machines.output(name), name)
        self._inside = ("nsenter", "-t", str(holder.pid), "-m", "-n", "--")
        self._environment = {"PATH": f"{programs}:{os.environ['PATH']}", "HOME": "/root"}

    def command(self, line: str) -> tuple[str, ...]:
        """Return what runs a line of a shell on this host."""
        given = (f"{name}={value}" for name, value in self._environment.items())
        return (*self._inside, "env", "-i", *given, "sh", "-e", "-c", line)

    def run(self, line: str) -> str:
        """Run a line of a shell to its end; return what it wrote."""
        done = subprocess.run(
            self.command(line), capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, f"{line}: {done.stderr}"
        return done.stdout

    def start(self, name: str, line: str) -> None:
        """Start a line of a shell that goes on, and wait until its program is ready."""
        machines = self._machines
        with (machines.folder / f"{name}.out").open("ab") as out:
            command = ["setpriv", "--pdeathsig", "KILL", "--", *self.command(f"exec {line}")]
            process = subprocess.Popen(command, stdout=out, stderr=out)
        machines.running[name] = process

        def is_ready() -> bool:
            assert process.poll() is None, machines.output(name)
            status = self.command(f"firezone {name} status")
            return subprocess.run(status, capture_output=True, check=False).returncode == 0

        machines.wait(is_ready, line)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel into an empty environment; return the folder of its command."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    wheels = list((target / "wheels" / "ci").glob("firezone-*.whl"))
    assert len(wheels) == 1, "make build makes it"
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", *wheels], check=True)
    return folder / "bin"


def lines_of_readme() -> list[str]:
    """Return the commands of "Two machines", without comments."""
    section = (ROOT / "README.md").read_text().partition("## Two machines")[2]
    block = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)[0]
    lines = [re.sub(r"\s+# .*$", "", line) for line in block.splitlines()]
    return [line for line in lines if not line.startswith("#")]


@pytest.mark.timeout(240)
def test_the_ten_lines_of_the_readme_connect_two_machines(
    machines: TwoMachines, installed: Path
) -> None:
    lines = lines_of_readme()
    assert len(lines) == 10
    assert lines[0] == "pip install ."
    *gateway_lines, gateway_run = lines[1:5]
    *client_lines, client_up, last = lines[5:]
    # A host without systemd-resolved does as the comment says.
    client_up = client_up.replace("systemd-resolved", "etc-resolv-conf")
    (machines.folder / "www" / "index.html").write_text(PAGE)
    machines.site.ip(f"address add {RESOLVER}/24 dev lan", "address add 10.0.3.7/16 dev lan")
    machines.gateway.ip("address add 10.0.0.1/16 dev lan")
    machines.start(
        "corp", machines.site, "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null",
        "--no-hosts", "--no-resolv", "--user=root", f"--listen-address={RESOLVER}",
        "--bind-interfaces", f"--address=/corp.example/{SITE[0]}", "--pid-file",
    )  # fmt: skip
    gateway = Machine(machines, "gateway", installed)
    client = Machine(machines, "client", installed)

    keys = {
        "Gateway": gateway.run(gateway_lines[0]).strip(),
        "Client": client.run(client_lines[0]).strip(),
    }
    for machine, own in ((gateway, gateway_lines[1:]), (client, client_lines[1:])):
        for line in own:
            machine.run(re.sub(r"<key of the (\w+)>", lambda found: keys[found[1]], line))
    gateway.start("gateway", gateway_run)
    client.start("client", client_up)

    assert client.run(last) == PAGE
    assert client.run("curl -sS -m 20 http://10.0.3.7/") == PAGE
    assert "office" in client.run("firezone client status")
    resolving = client.run("cat /etc/resolv.conf")
    assert machines.end("client") == 0
    assert client.run("cat /etc/resolv.conf") == "nameserver 192.0.2.2\n" != resolving
    assert machines.end("gateway") == 0
