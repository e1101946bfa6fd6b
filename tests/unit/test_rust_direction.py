"""The direction of dependencies between crates, and the bans below `runtime`."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
ALLOWED = {
    "packet": set(),
    "aead": set(),
    "dns": {"packet"},
    "nat": {"packet", "dns"},
    "wireguard": {"packet", "aead"},
    "connection": {"packet", "wireguard"},
    "netstack": {"packet"},
    "tunnel": {"packet", "dns", "nat", "connection", "netstack"},
    "link": {"packet", "connection"},
    "runtime": {"packet", "tunnel", "link"},
    "simulation": {"packet", "dns", "nat", "tunnel", "link"},
    "reference": {"packet", "dns"},
    "bench-core": set(),
}
"""What each crate may use of ours; `bindings` may use all."""
SANS_IO = {
    "packet",
    "aead",
    "dns",
    "nat",
    "wireguard",
    "connection",
    "netstack",
    "tunnel",
    "link",
    "simulation",
}


def workspace() -> dict[str, set[str]]:
    """Map each crate of ours to the crates of ours that it uses outside its tests."""
    output = subprocess.run(
        ["cargo", "metadata", "--format-version", "1", "--no-deps", "--locked"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout
    packages = json.loads(output)["packages"]
    ours = {package["name"] for package in packages}
    return {
        short(package["name"]): {
            short(dependency["name"])
            for dependency in package["dependencies"]
            if dependency["name"] in ours and dependency["kind"] != "dev"
        }
        for package in packages
    }


def short(package: str) -> str:
    """Return what a crate is called here; the package of one is not, the registry has another."""
    return package.removeprefix("firezone-")


def test_crates_depend_in_one_direction() -> None:
    found = workspace()

    assert set(found) == set(ALLOWED) | {"bindings"}
    too_much = {name: found[name] - allowed for name, allowed in ALLOWED.items()}
    assert {name: extra for name, extra in too_much.items() if extra} == {}


def test_r37_no_crate_below_runtime_lifts_a_ban_but_for_an_origin_of_time() -> None:
    lifted = [
        str(source.relative_to(ROOT))
        for crate in sorted(SANS_IO)
        for source in (ROOT / "rust" / crate / "src").rglob("*.rs")
        if "allow(clippy::disallowed" in source.read_text()
        or "expect(clippy::disallowed" in source.read_text()
    ]

    # Decision 0014: the agents of ICE take an instant of the standard library as their argument.
    assert lifted == ["rust/connection/src/ice/seams.rs"]


def test_only_the_root_configures_clippy() -> None:
    assert list(ROOT.glob("rust/**/clippy.toml")) == []


def test_unsafe_code_is_allowed_where_it_must_be_and_nowhere_else() -> None:
    allowed = {
        str(source.relative_to(ROOT))
        for source in (ROOT / "rust").rglob("*.rs")
        if "unsafe_code" in source.read_text()
    }

    assert allowed == {
        "rust/aead/src/backend.rs",
        "rust/aead/src/chacha20/avx2.rs",
        "rust/aead/src/chacha20/avx512.rs",
        "rust/aead/src/poly1305/avx2.rs",
        "rust/aead/src/poly1305/ifma.rs",
        "rust/aead/src/tests/constant_time.rs",
        "rust/bindings/src/lib.rs",
        "rust/nat/src/processor.rs",
        "rust/packet/tests/counting/mod.rs",
        "rust/runtime/examples/tun_copy.rs",
        "rust/runtime/src/dns/exchange.rs",
        "rust/runtime/src/tap.rs",
        "rust/runtime/src/scheduling.rs",
        "rust/runtime/src/tun/device.rs",
        "rust/runtime/src/udp/message.rs",
        "rust/runtime/src/udp/sorting.rs",
    }
