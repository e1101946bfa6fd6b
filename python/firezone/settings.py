"""The schema of every setting: type, unit, default and what it is.

`firezone.config` loads them; made directly they have their defaults, whatever the environment.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, SecretStr
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from . import socket_address

__all__ = ["PREFIX", "ClientSettings", "EndpointSettings", "GatewaySettings"]

PREFIX: Final = "FIREZONE_"


def _split(value: object) -> object:
    """Read a list as a variable or a flag has it: separated by commas."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _server(value: object) -> object:
    """Check a server: an address, with `:port` where it is not 53."""
    socket_address.parse(str(value), port=53)
    return value


def _listen(value: object) -> object:
    """Check where to listen: an address and a port."""
    if value is not None:
        socket_address.parse(str(value))
    return value


Listen = Annotated[str | None, BeforeValidator(_listen)]
Server = Annotated[str, BeforeValidator(_server)]
Servers = Annotated[tuple[Server, ...], NoDecode, BeforeValidator(_split)]
Pair = Annotated[tuple[IPv4Address, IPv6Address] | None, NoDecode, BeforeValidator(_split)]
Networks = Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode, BeforeValidator(_split)]


def _setting(default: object, description: str, *, unit: str = "", **limits: Any) -> Any:
    return Field(default, description=description, json_schema_extra={"unit": unit}, **limits)


class EndpointSettings(BaseSettings):
    """The settings of every role."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="forbid", frozen=True
    )

    token: SecretStr | None = _setting(None, "What proves to a portal who this endpoint is.")
    api_url: str | None = _setting(
        None,
        "The portal that says who may reach what, like wss://portal.example.net; without one,"
        " tables of the file do.",
    )
    token_file: Path | None = _setting(
        None, "A file with the token, which its owner alone may read."
    )
    portal_ca: Path | None = _setting(
        None, "Certificates that the portal may prove itself with, beside those of the system."
    )
    name: str | None = _setting(
        None, "What the portal calls this host; by default its host name.", max_length=255
    )
    id: str | None = _setting(
        None, "By what the portal knows this host again; by default state_dir keeps one."
    )
    log_level: Literal["trace", "debug", "info", "warn", "error"] = _setting(
        "info", "The least severity that is logged."
    )
    log_format: Literal["auto", "human", "json"] = _setting(
        "auto", "Form of the log on stderr; auto is human on a terminal, JSON otherwise."
    )
    log_dir: Path | None = _setting(
        None,
        "Folder of the log files; by default /var/log/firezone for root, else the user's.",
        validation_alias="log_dir",
    )
    log_file_size: int = _setting(
        10 * 2**20, "Size at which a new log file is begun.", unit="bytes", ge=4096
    )
    log_total_size: int = _setting(
        100 * 2**20, "Size of a role's log files at which the oldest go.", unit="bytes", ge=4096
    )
    tun: str = _setting("tun-firezone", "Name of the TUN device.")
    tunnel_addresses: Pair = _setting(
        None, "Tunnel addresses, IPv4 and IPv6; by default those that follow from the key."
    )
    state_dir: Path = _setting(Path("/var/lib/firezone"), "Folder of what a restart needs.")
    run_dir: Path = _setting(
        Path("/run/firezone"), "Folder of the record of what is to be undone on this host."
    )
    descriptor_store: Literal["off", "restart", "always"] = _setting(
        "off",
        "Whether SIGTERM leaves all with the service manager: if it restarts this, or always.",
    )
    udp_send_buffer_size: int = _setting(
        2 * 2**20, "Datagrams that the kernel holds to be sent.", unit="bytes", ge=2**16
    )
    udp_recv_buffer_size: int = _setting(
        16 * 2**20, "Datagrams that the kernel holds to be received.", unit="bytes", ge=2**16
    )
    aead: Literal["auto", "ring"] = _setting(
        "auto",
        "What seals and opens packets: the fastest that this processor has, or ring always.",
    )
    offloads: bool = _setting(
        True,
        "Whether the kernel cuts and joins packets for us (TSO, USO, GSO, GRO) where it can.",
    )
    scheduling: Literal["realtime", "fair"] = _setting(
        "realtime",
        "Whether the data plane goes before other programs, where the host allows it.",
    )
    control_socket: Path | None = _setting(
        None,
        "The control socket; by default /run/firezone/<role>.sock, or in the user's run folder.",
    )
    metrics: Listen = _setting(
        None, "Where metrics are served for Prometheus, like 127.0.0.1:9090; nowhere by default."
    )
    buffer_queue_size: int = _setting(
        2**20, "Packets held for one name that is not ready (R11).", unit="bytes", ge=1280
    )
    buffer_queue_packets: int = _setting(
        1024, "Packets held for one name that is not ready (R11).", unit="packets", ge=1
    )
    buffer_total_size: int = _setting(
        64 * 2**20, "Packets held for all names (R11).", unit="bytes", ge=1280
    )
    buffer_max_age: float = _setting(
        60.0, "How long a packet is held (R14).", unit="seconds", gt=0, le=600
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the library's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take what is given and nothing else: `firezone.config` joins the sources."""
        return (init_settings,)


class ClientSettings(EndpointSettings):
    """The settings of a Client."""

    private_key_file: Path = _setting(
        Path("/etc/firezone/client.key"), "The Client's private key; `firezone keys new` makes one."
    )
    port: int = _setting(0, "UDP port of this end; 0 lets the kernel choose.", ge=0, le=65535)
    dns_control: Literal["systemd-resolved", "etc-resolv-conf", "disabled"] = _setting(
        "disabled", "How programs of this host come to ask the Client."
    )

    dns_servers: Servers = _setting(
        (), "Servers that other names are forwarded to; by default those of /etc/resolv.conf."
    )
    activate_internet_resource: bool = _setting(
        False, "Whether what no other resource covers goes through the file's Internet resource."
    )
    refresh_floor: float = _setting(
        1.0,
        "No translation is refreshed again sooner than this (R06).",
        unit="seconds",
        ge=0,
        le=30,
    )
    proxy_ipv4: IPv4Network = _setting(
        IPv4Network("100.96.0.0/11"), "Where IPv4 proxy addresses come from."
    )
    proxy_ipv6: IPv6Network = _setting(
        IPv6Network("fd00:2021:1111:8000::/107"), "Where IPv6 proxy addresses come from."
    )


class GatewaySettings(EndpointSettings):
    """The settings of a Gateway."""

    private_key_file: Path = _setting(
        Path("/etc/firezone/gateway.key"),
        "The Gateway's private key; `firezone keys new` makes one.",
    )
    port: int = _setting(52625, "UDP port that Clients send to.", ge=0, le=65535)
    masquerade: bool = _setting(
        True, "Whether what Clients send leaves with an address of this host."
    )

    dns_servers: Servers = _setting((), "The site's DNS servers; by default those of resolv_conf.")
    resolv_conf: Path = _setting(
        Path("/etc/resolv.conf"), "Where the site's DNS servers are read from."
    )
    hosts: Path = _setting(Path("/etc/hosts"), "Names that are known without asking a server.")
    cache_floor: float = _setting(
        1.0, "No name is looked up again sooner than this (R20).", unit="seconds", ge=0, le=300
    )
    failure_cache: float = _setting(
        5.0, "How long a failed look-up is not tried again (R20).", unit="seconds", ge=0, le=300
    )
    allow_addresses: Networks = _setting(
        (), "Networks that names may lead to although R18 forbids them."
    )
    flow_logs: bool = _setting(False, "Whether flows are recorded at info.")
