"""Programs that people use, through a name: ssh, rsync, git, psql, HTTP/2, WebSocket."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from tests.system.site_servers import POSTGRES, Http2Server, Postgres, SshServer, unpacked
from tests.system.transfers import MIB, sha256
from tests.system.two_machines import NAME, TwoMachines

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROWS = 100_000
SECONDS = 6
"""How long messages go both ways."""

WEBSOCKET_SERVER = r'''
"""Sends numbered messages and checks those that come, for as long as the other end likes."""
import asyncio, contextlib, sys
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

async def talk(socket):
    async def tell():
        number = 0
        with contextlib.suppress(ConnectionClosed):
            while True:
                await socket.send(f"{number} " + "x" * (number * 37 % 3000))
                number += 1
                await asyncio.sleep(0.005)
    telling = asyncio.create_task(tell())
    expected = 0
    async for message in socket:
        if message == "enough":
            telling.cancel()
            await socket.send(f"heard {expected}")
            continue
        assert message.split()[0] == str(expected), (message[:20], expected)
        expected += 1

async def main():
    async with serve(talk, sys.argv[1], 8765, compression=None) as server:
        print("listening", flush=True)
        await server.serve_forever()

asyncio.run(main())
'''

WEBSOCKET_CLIENT = r'''
"""The other end, which asks for the name all the time. Prints: sent, heard by the other, received,
queries."""
import asyncio, socket, sys, time
from websockets.asyncio.client import connect

name, seconds = sys.argv[1], float(sys.argv[2])

async def main():
    end = time.monotonic() + seconds
    async with connect(f"ws://{name}:8765/", proxy=None, compression=None) as there:
        async def tell():
            number = 0
            while time.monotonic() < end:
                await there.send(f"{number} " + "y" * (number * 37 % 5000))
                number += 1
                await asyncio.sleep(0.005)
            await there.send("enough")
            return number
        async def ask():
            asked = 0
            while time.monotonic() < end:
                await asyncio.get_running_loop().getaddrinfo(name, 8765)
                asked += 1
                await asyncio.sleep(0.01)
            return asked
        telling, asking = asyncio.create_task(tell()), asyncio.create_task(ask())
        expected = 0
        async for message in there:
            if message.startswith("heard "):
                heard = int(message.split()[1])
                break
            assert message.split()[0] == str(expected), (message[:20], expected)
            expected += 1
        print(await telling, heard, expected, await asking)

asyncio.run(main())
'''


@pytest.fixture(scope="module")
def people() -> Iterator[TwoMachines]:
    """Two hosts with a tunnel, for all the programs."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    with TwoMachines() as machines:
        machines.write_gateway()
        machines.write_client()
        machines.begin_both()
        yield machines


@pytest.fixture(scope="module")
def ssh(people: TwoMachines) -> SshServer:
    server = SshServer(people)
    server.begin()
    return server


@pytest.fixture(autouse=True)
def through_the_tunnel(people: TwoMachines) -> Iterator[None]:
    """What a test moves must have gone through the tunnel."""

    def moved() -> int:
        peer = people.call("client", "status")["peers"][0]
        received, sent = peer["received_bytes"], peer["sent_bytes"]
        assert isinstance(received, int)
        assert isinstance(sent, int)
        return received + sent

    before = moved()
    yield
    assert moved() - before > MIB


def run(machines: TwoMachines, *argv: str) -> str:
    """Run a program on the Client's host; return what it wrote."""
    done = machines.inside(machines.client, *argv)
    assert done.returncode == 0, f"{argv[0]}: {done.stderr}{done.stdout[-500:]}"
    return done.stdout


def tree(folder: Path, files: int, size: int) -> dict[str, str]:
    """Fill a folder with files of random bytes; return what is in it."""
    for number in range(files):
        path = folder / f"folder {number % 7}" / f"file {number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(size + number))
    return contents(folder)


def contents(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file below a folder."""
    files = (path for path in folder.rglob("*") if path.is_file() and ".git" not in path.parts)
    return {str(path.relative_to(folder)): sha256(path) for path in files}


def test_ssh_runs_commands_and_carries_large_files_both_ways(
    people: TwoMachines, ssh: SshServer
) -> None:
    digest = people.payload(24 * MIB)
    source, copy = people.folder / "www" / "file", people.folder / "ssh" / "copy"
    command = " ".join(f"'{word}'" for word in (*ssh.client, NAME))

    assert run(people, *ssh.client, NAME, "echo", "$SSH_CONNECTION").split()[3] == "22"
    down = run(people, "sh", "-c", f"{command} cat {source} | sha256sum")
    run(people, "sh", "-c", f"{command} 'cat > {copy}' < {source}")

    assert down.split()[0] == digest
    assert sha256(copy) == digest


def test_rsync_carries_a_tree_there_and_back(people: TwoMachines, ssh: SshServer) -> None:
    here, there, back = (people.folder / "rsync" / name for name in ("here", "there", "back"))
    sent = tree(here, files=200, size=40_000)
    rsync = ("rsync", "--archive", "--rsh", " ".join(ssh.client))

    run(people, *rsync, f"{here}/", f"{NAME}:{there}/")
    (here / "folder 0" / "file 0").write_bytes(b"changed")
    (there / "folder 1" / "file 1").unlink()
    changed = run(people, *rsync, "--itemize-changes", f"{here}/", f"{NAME}:{there}/")
    run(people, *rsync, f"{NAME}:{there}/", f"{back}/")

    names = {line.split(maxsplit=1)[1] for line in changed.splitlines() if line.startswith("<f")}
    assert names == {"folder 0/file 0", "folder 1/file 1"}
    assert contents(back) == contents(here)
    assert contents(back).keys() == sent.keys()


def test_git_clones_and_pushes(people: TwoMachines, ssh: SshServer) -> None:
    folder = people.folder / "git"
    bare, clone, other = (str(folder / name) for name in ("bare.git", "clone", "other"))
    said_by = ("-c", "user.name=people", "-c", "user.email=people@site.example")
    git = ("env", f"GIT_SSH_COMMAND={' '.join(ssh.client)}", "git", *said_by)
    url = f"ssh://root@{NAME}{bare}"
    made = people.inside(people.site, "git", "init", "--quiet", "--bare", bare)
    assert made.returncode == 0, made.stderr

    run(people, *git, "clone", "--quiet", url, clone)
    written = tree(folder / "clone", files=100, size=50_000)
    run(people, *git, "-C", clone, "add", ".")
    run(people, *git, "-C", clone, "commit", "--quiet", "-m", "files")
    run(people, *git, "-C", clone, "push", "--quiet", "origin", "HEAD:main")
    run(people, *git, "clone", "--quiet", "--branch", "main", url, other)

    assert contents(folder / "other") == written
    run(people, *git, "-C", other, "fsck", "--strict")


def test_psql_copies_many_rows_both_ways(people: TwoMachines) -> None:
    Postgres(people).begin()
    rows = people.folder / "rows.csv"
    texts = (os.urandom(24).hex() for _ in range(ROWS))
    rows.write_text("".join(f"{number},{text}\n" for number, text in enumerate(texts)))
    back = people.folder / "back.csv"
    psql = (str(unpacked(*POSTGRES, "psql")), "-X", "-q", "-v", "ON_ERROR_STOP=1")
    psql = (*psql, "-h", NAME, "-U", "people", "postgres")
    out = f"\\copy (select * from things order by number) to '{back}' csv"  # noqa: S608 - the test's own

    run(people, *psql, "-c", "create table things (number int primary key, text text)")
    run(people, *psql, "-c", f"\\copy things from '{rows}' csv")
    run(people, *psql, "-c", out)
    counted = run(people, *psql, "-A", "-t", "-c", "select count(*), min(number) from things")

    assert counted.strip() == f"{ROWS}|0"
    assert sha256(back) == sha256(rows)


def test_http2_carries_many_files_over_one_connection(people: TwoMachines) -> None:
    server = Http2Server(people)
    server.begin()
    sent = tree(people.folder / "www" / "many", files=24, size=500_000)
    paths = {f"{number}": name for number, name in enumerate(sorted(sent))}
    loaded = people.folder / "http2" / "loaded"
    loaded.mkdir()
    url = f"https://{NAME}"
    curl = ("curl", "-sS", "--fail", "-m", "60", "--http2", "--cacert", str(server.ca))
    outcome = ("-w", "%{http_version} %{num_connects}\n")
    asked = [
        word
        for number, name in paths.items()
        for word in ("-o", str(loaded / number), f"{url}/many/{name.replace(' ', '%20')}")
    ]

    told = run(people, *curl, "--parallel", *outcome, *asked)
    source, copy = people.folder / "www" / "file", people.folder / "www" / "upload" / "by-http2"
    digest = people.payload(16 * MIB)
    up = run(people, *curl, *outcome, "-T", str(source), f"{url}/upload/by-http2")

    assert {number: sha256(loaded / number) for number in paths} == {
        number: sent[name] for number, name in paths.items()
    }
    lines = [line.split() for line in told.splitlines()]
    assert {version for version, _ in lines} == {"2"}
    assert sum(int(connects) for _, connects in lines) < len(lines), "connections are shared"
    assert up.split()[0] == "2"
    assert sha256(copy) == digest


def test_a_websocket_lives_on_while_its_name_is_asked_for(people: TwoMachines) -> None:
    server = people.script("websocket_server", WEBSOCKET_SERVER)
    people.start("websocket", people.site, *server, "0.0.0.0")  # noqa: S104 - in a namespace
    people.wait(lambda: "listening" in people.output("websocket"), "the server")

    client = people.script("websocket_client", WEBSOCKET_CLIENT)
    sent, heard, received, queries = run(people, *client, NAME, str(SECONDS)).split()

    assert sent == heard, people.output("websocket")
    assert min(int(sent), int(received)) > 100
    assert int(queries) > 50
