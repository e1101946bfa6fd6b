"""The machine of a run, so that its figures can be judged."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path
from typing import Any, Final

__all__ = ["describe", "flags_of", "model_of"]

_FLAGS: Final = (
    "avx2", "avx512f", "avx512bw", "avx512vl", "avx512ifma", "vaes", "vpclmulqdq", "sha_ni",
    "hypervisor",
)  # fmt: skip
_SYSCTLS: Final = (
    "net.core.rmem_max", "net.core.wmem_max", "net.core.netdev_max_backlog",
    "net.ipv4.tcp_congestion_control", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem",
    "net.core.default_qdisc",
)  # fmt: skip
_MEMORY: Final = "MemTotal:"


def describe() -> dict[str, Any]:
    """Return what it is: processors, kernel, settings and versions of programs."""
    info = Path("/proc/cpuinfo").read_text()
    memory = Path("/proc/meminfo").read_text().splitlines()
    total = next(int(line.split()[1]) for line in memory if line.startswith(_MEMORY))
    return {
        "processors": os.cpu_count(),
        "model": model_of(info),
        "flags": flags_of(info),
        "memory_gib": round(total / 2**20),
        "kernel": platform.release(),
        "pinned": False,
        "sysctls": {key: _sysctl(key) for key in _SYSCTLS},
        "iperf3": _first_line("iperf3", "--version"),
        "python": platform.python_version(),
        "commit": _first_line("git", "describe", "--always", "--dirty"),
    }


def model_of(info: str) -> str:
    """Return the processor's name out of /proc/cpuinfo, with numbers, since names may hide it."""
    named = ("model name", "cpu family", "model")
    name, family, model = (_field(info, key) for key in named)
    return f"{name} (family {family}, model {model})"


def flags_of(info: str) -> list[str]:
    """Return those of its features that matter here."""
    has = set(_field(info, "flags").split())
    return [flag for flag in _FLAGS if flag in has]


def _field(info: str, key: str) -> str:
    for line in info.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return "?"


def _sysctl(key: str) -> str:
    path = Path("/proc/sys", *key.split("."))
    return " ".join(path.read_text().split()) if path.exists() else "absent"


def _first_line(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.splitlines()[0] if done.stdout else "unknown"
