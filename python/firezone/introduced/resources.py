"""What a portal tells of resources, as the core takes it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from firezone.endpoint import check_pattern
from firezone.signaling.messages import (
    ClientCidrResource,
    ClientDnsResource,
    ClientInternetResource,
)

if TYPE_CHECKING:
    from firezone.signaling.messages import ClientResource, GatewayResource, IceCredentials

__all__ = ["AtSites", "covers", "credentials", "ice_endpoint", "matches", "of_client", "of_gateway"]

AtSites = ClientDnsResource | ClientCidrResource | ClientInternetResource
"""What Gateways serve; pools of devices are not among them."""


def of_client(resource: ClientResource) -> tuple[AtSites, dict[str, Any]] | None:
    """Return a resource that the core can use, and the core's `Resource`; None for another kind.

    Raises:
        ConfigError: Its pattern breaks the grammar.
    """
    if not isinstance(resource, AtSites):
        return None
    return resource, _command(resource)


def of_gateway(resource: GatewayResource) -> dict[str, Any]:
    """Return the core's `Resource` for one that a Gateway serves.

    Raises:
        ConfigError: Its pattern breaks the grammar.
    """
    return _command(resource)


def covers(resource: AtSites) -> str:
    """Return the names or the network of a resource."""
    return "everything else" if resource.type == "internet" else str(resource.address)


def matches(pattern: str, name: str) -> bool:
    """Tell whether a pattern of names covers one; the core knows only those of now."""
    labels = re.split(r"(?<=\.)", pattern.lower())
    text = "".join(_label(label, is_first=place == 0) for place, label in enumerate(labels))
    return re.fullmatch(text, name.lower().rstrip(".")) is not None


def ice_endpoint(
    public_key: str, preshared_key: str, *, local: IceCredentials, remote: IceCredentials
) -> dict[str, Any]:
    """Return the core's `Endpoint` of a peer that is found by ICE."""
    return {
        "session": "ice",
        "public_key": public_key,
        "preshared_key": preshared_key,
        "local": credentials(local),
        "remote": credentials(remote),
    }


def credentials(of: IceCredentials) -> dict[str, str]:
    """Return the core's `IceCredentials`."""
    return {"username": of.username, "password": of.password.get_secret_value()}


def _command(resource: AtSites | GatewayResource) -> dict[str, Any]:
    named = {"id": str(resource.id), "name": getattr(resource, "name", "Internet Resource")}
    if resource.type == "internet":
        return {**named, "type": "internet"}
    if resource.type == "dns":
        check_pattern(resource.address)
    command = {**named, "type": resource.type, "address": str(resource.address)}
    command["filters"] = [rule.model_dump(mode="json") for rule in resource.filters]
    stack = getattr(resource, "ip_stack", None)
    return command if stack is None else {**command, "ip_stack": stack}


def _label(label: str, *, is_first: bool) -> str:
    if label == "**.":
        return r"([^.]+\.)*"
    if label == "*." and is_first:
        # It covers the bare name, too.
        return r"([^.]+\.)?"
    text = re.escape(label).replace(r"\*\*", ".*")
    return text.replace(r"\*", "[^.]*").replace(r"\?", "[^.]")
