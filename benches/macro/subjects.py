"""What is measured: firezone and its variants, other WireGuard programs, and two ceilings.

Data alone; `carriers` has how each begins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from firezone.settings import EndpointSettings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = [
    "COPY",
    "OURS",
    "RING",
    "VARIANTS",
    "VECTORED",
    "VETH",
    "Setting",
    "Subject",
    "defaults",
    "ours",
    "peers",
]

Kind = Literal["ours", "peer", "veth", "copy"]

OURS: Final = "firezone"
RING: Final = f"{OURS} ring"
VECTORED: Final = f"{OURS} vectored"
VETH: Final = "bare veth"
COPY: Final = "TUN-to-TUN copy"

VARIANTS: Final[dict[str, dict[str, Any]]] = {
    OURS: {},
    RING: {"aead": "ring"},
    VECTORED: {"aead": "auto"},
    f"{OURS} plain": {"offloads": False},
}
"""Settings of both ends. What this build has not, or has by default, gets no row of its own."""


@dataclass(frozen=True)
class Setting:
    """One way to run a program.

    Args:
        name: `default`, or what it is.
        command: What starts it in the foreground; the name of the device follows.
    """

    name: str
    command: tuple[str, ...]


@dataclass(frozen=True)
class Subject:
    """Something that carries packets from the application to the site.

    Args:
        name: What tables call it.
        kind: How it begins.
        setting: The way a peer is run.
        variant: Settings of ours.
    """

    name: str
    kind: Kind
    setting: Setting | None = None
    variant: Mapping[str, Any] | None = None

    @property
    def command(self) -> str:
        """What starts it, for people."""
        if self.setting is not None:
            words = [word.rpartition("/")[2] for word in self.setting.command]
            return f"`{' '.join(words)} DEVICE`"
        if self.kind == "ours":
            said = "`firezone client up`, `firezone gateway run`"
            settings = ", ".join(
                f"`{key} = {value}`" for key, value in (self.variant or {}).items()
            )
            return f"{said}; {settings}" if settings else said
        return {
            "veth": "routes of the kernel",
            "copy": "`tun_copy`: one read, one write, offloads on",
        }[self.kind]


def defaults() -> dict[str, object]:
    """Return the settings of this build, as they are where nobody sets them."""
    return {name: field.default for name, field in EndpointSettings.model_fields.items()}


def ours(known: Mapping[str, object]) -> list[Subject]:
    """Return our variants.

    Args:
        known: The settings that there are, with their defaults.
    """
    return [
        Subject(name, "ours", variant=variant)
        for name, variant in VARIANTS.items()
        if name == OURS or (variant.keys() <= known.keys() and variant.items() - known.items())
    ]


def peers(folder: Path) -> dict[str, list[Subject]]:
    """Return the programs in `folder`, each with its settings: the better of them counts.

    Every one runs in the foreground, since it is ended with the measurement, and without dropping
    root, since it has to make a device in a namespace. Nothing else differs from what its authors
    give, or from what they offer as its setting for one thread.
    """
    boringtun = (str(folder / "boringtun-cli"), "--foreground", "--disable-drop-privileges")
    quiet = ("--verbosity", "error")
    gotatun = (str(folder / "gotatun"), "--foreground", "--disable-drop-privileges", *quiet)
    go = (str(folder / "wireguard"), "--foreground")
    settings = {
        "wireguard-go": (
            Setting("default", go),
            Setting("one thread", ("env", "GOMAXPROCS=1", *go)),
        ),
        "boringtun": (
            Setting("default", boringtun),
            Setting("one thread", (*boringtun, "-t", "1", "--disable-multi-queue")),
        ),
        "gotatun": (
            Setting("default", gotatun),
            Setting("one thread", ("env", "TOKIO_WORKER_THREADS=1", *gotatun)),
        ),
    }
    return {
        name: [Subject(name, "peer", setting) for setting in ways]
        for name, ways in settings.items()
    }
