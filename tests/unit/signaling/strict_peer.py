"""What Firezone's components take, written down apart from our models: strict, field by field.

A key with `?` may be missing, one with `~` may also be null; all others are required.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import json
import uuid
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

Shape = Any


def accepts(shape: Shape, value: Any) -> bool:
    """Tell whether a strict peer takes a value."""
    if isinstance(shape, dict):
        return isinstance(value, dict) and all(
            _field(name, inner, value) for name, inner in shape.items()
        )
    if isinstance(shape, list):
        return isinstance(value, list) and all(accepts(shape[0], item) for item in value)
    if isinstance(shape, Tagged):
        return shape.accepts(value)
    try:
        return bool(shape(value))
    except (ValueError, TypeError, AttributeError, KeyError):
        return False


def _field(name: str, shape: Shape, value: dict[str, Any]) -> bool:
    plain = name.rstrip("?~")
    if plain not in value:
        return name != plain
    if value[plain] is None and name.endswith("~"):
        return True
    return accepts(shape, value[plain])


class Tagged:
    """An object whose shape one of its fields tells."""

    def __init__(self, tag: str, shapes: dict[str, Shape], *, lax: bool = False) -> None:
        self.tag, self.shapes, self.lax = tag, shapes, lax

    def accepts(self, value: Any) -> bool:
        """Tell whether a value is one of them; a lax one passes over what it does not know."""
        if not isinstance(value, dict) or not isinstance(value.get(self.tag), str):
            return False
        return self.lax or accepts(self.shapes.get(value[self.tag], never), value)


def never(_value: Any) -> bool:
    return False


def text(value: Any) -> bool:
    return isinstance(value, str)


def boolean(value: Any) -> bool:
    return isinstance(value, bool)


def number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**64


def port(value: Any) -> bool:
    return number(value) and value < 2**16


def ident(value: Any) -> bool:
    return str(uuid.UUID(value)) == value


def ip4(value: Any) -> bool:
    return text(value) and bool(ipaddress.IPv4Address(value))


def ip6(value: Any) -> bool:
    return text(value) and "%" not in value and bool(ipaddress.IPv6Address(value))


def ip(value: Any) -> bool:
    return accepts(ip4, value) or accepts(ip6, value)


def cidr(value: Any) -> bool:
    return text(value) and "/" in value and bool(ipaddress.ip_network(value))


def socket_address(value: Any) -> bool:
    host, _, digits = value.rpartition(":")
    is_ok = accepts(ip6, host[1:-1]) if host.startswith("[") else accepts(ip4, host)
    return is_ok and digits.isdigit() and int(digits) < 2**16


def key(value: Any) -> bool:
    return len(value) == 44 and len(base64.b64decode(value, validate=True)) == 32


def https(value: Any) -> bool:
    return bool(value.startswith("https://")) and "?" not in value


def domain(value: Any) -> bool:
    return text(value) and bool(value) and not value.startswith(".")


def one_of(*choices: str) -> Callable[[Any], bool]:
    return lambda value: value in choices


def ingest_token(value: Any) -> bool:
    header, claims, signature = value.split(".")
    try:
        parts = [json.loads(base64.urlsafe_b64decode(part + "==")) for part in (header, claims)]
    except binascii.Error:
        return False
    shape = dict.fromkeys(TOKEN_TEXTS, text) | {
        "iat": number,
        "exp": number,
        "uploads_enabled": boolean,
        "role": one_of("initiator", "responder"),
    }
    return bool(signature) and parts[0]["alg"] == "HS256" and accepts(shape, parts[1])


TOKEN_TEXTS = (
    "account_id",
    "initiator_device_id",
    "responder_device_id",
    "policy_authorization_id",
    "policy_id",
    "resource_id",
    "resource_name",
    "initiator_actor_id",
    "initiator_actor_name",
    "authorized_at",
    "authorization_expires_at",
)

ICE = {"username": text, "password": text}
SITES = [{"id": ident, "name": text}]
PORTS = {"port_range_start?": port, "port_range_end?": port}
FILTERS = [Tagged("protocol", {"tcp": PORTS, "udp": PORTS, "icmp": {}})]
RELAYS = [
    Tagged(
        "type",
        {
            "turn": {
                "id": ident,
                "addr": socket_address,
                "username": text,
                "password": text,
                "expires_at": number,
            },
            "stun": {"id": ident, "addr": socket_address},
        },
    )
]
AUTHORIZATIONS = [{"client_id": ident, "resource_id": ident, "expires_at": number}]
FLOW_LOGS = {"api_url": text, "upload_interval_secs": number, "upload_batch_size": number}
ADDRESSES = {"ipv4": ip4, "ipv6": ip6}
INTERFACE = ADDRESSES | {
    "upstream_do53?": [{"ip": ip}],
    "upstream_doh?": [{"url": https}],
    "upstream_dns?": [{"protocol": one_of("ip_port"), "address": socket_address}],
    "search_domain?~": domain,
}
NAMED = {"id": ident, "name": text}
CLIENT_RESOURCE_SHAPES: dict[str, Shape] = {
    "dns": NAMED
    | {
        "address": text,
        "sites": SITES,
        "address_description?~": text,
        "ip_stack?~": one_of("dual", "ipv4_only", "ipv6_only"),
        "filters?": FILTERS,
    },
    "cidr": NAMED
    | {"address": cidr, "sites": SITES, "address_description?~": text, "filters?": FILTERS},
    "internet": {"id": ident, "sites": SITES, "name?": text},
    "static_device_pool": NAMED
    | {"devices?": [{"client_id": ident, "ipv4": cidr, "ipv6": cidr}], "filters?": FILTERS},
    "dynamic_device_pool": NAMED | {"address": text, "filters?": FILTERS},
}
CLIENT_RESOURCE = Tagged("type", CLIENT_RESOURCE_SHAPES)
GATEWAY_RESOURCE = Tagged(
    "type",
    {
        "dns": NAMED | {"address": text, "filters": FILTERS},
        "cidr": NAMED | {"address": cidr, "filters": FILTERS},
        "internet": {"id": ident},
    },
)
RELAYS_PRESENCE = {"disconnected_ids": [ident], "connected": RELAYS}
OF_CLIENT = {"client_id": ident, "candidates": [text]}
OF_GATEWAY = {"gateway_id": ident, "candidates": [text]}
REJECT = {"client_id": ident, "resource_id": ident}
DISCONNECT = {"reason": one_of("token_expired")}
LISTS: dict[str, Shape] = {"relays?": RELAYS, "authorizations?": AUTHORIZATIONS}

FROM_PORTAL: dict[tuple[str, str], Shape] = {
    ("client", "init"): {
        "interface": INTERFACE,
        "flow_logs": FLOW_LOGS,
        "resources?": [CLIENT_RESOURCE],
        **LISTS,
    },
    ("client", "config_changed"): {"interface": INTERFACE},
    ("client", "resource_created_or_updated"): CLIENT_RESOURCE,
    ("client", "resource_deleted"): ident,
    ("client", "relays_presence"): RELAYS_PRESENCE,
    ("client", "authorization_created"): {
        "resource_id": ident,
        "gateway_id": ident,
        "gateway_public_key": key,
        "gateway_ipv4": ip4,
        "gateway_ipv6": ip6,
        "site_id": ident,
        "preshared_key": key,
        "client_ice_credentials": ICE,
        "gateway_ice_credentials": ICE,
        "flow_logs_ingest_token": ingest_token,
        "use_iceless?": boolean,
    },
    ("client", "authorization_creation_failed"): {
        "resource_id": ident,
        "reason": text,
        "violated_properties?": [text],
    },
    ("client", "ice_candidates"): OF_GATEWAY,
    ("client", "invalidate_ice_candidates"): OF_GATEWAY,
    ("client", "client_ice_candidates"): OF_CLIENT,
    ("client", "invalidate_client_ice_candidates"): OF_CLIENT,
    ("client", "client_ice_candidate_error"): {"client_id": ident, "reason": text},
    ("client", "device_pool_domain_resolved"): {"resource_id": ident, "domain": text} | ADDRESSES,
    ("client", "device_pool_domain_resolution_failed"): {
        "resource_id": ident,
        "domain": text,
        "reason": text,
    },
    ("client", "client_device_access_authorized"): {
        "client_id": ident,
        "client_name": text,
        "client_public_key": key,
        "client_ipv4": ip4,
        "client_ipv6": ip6,
        "preshared_key": key,
        "local_ice_credentials": ICE,
        "remote_ice_credentials": ICE,
        "ice_role": one_of("controlling", "controlled"),
        "flow_logs_ingest_token": ingest_token,
        "use_iceless?": boolean,
        "resource?~": {"id": ident, "filters?": FILTERS},
        "expires_at?~": number,
    },
    ("client", "client_device_access_denied"): {"reason": text, "ipv4?~": ip4, "ipv6?~": ip6},
    ("client", "resource_filters_updated"): {"id": ident, "filters": FILTERS},
    ("client", "reject_access"): REJECT,
    ("client", "access_authorization_expiry_updated"): {},
    ("client", "disconnect"): DISCONNECT,
    ("gateway", "init"): {
        "interface": ADDRESSES,
        "config": {"ipv4_masquerade_enabled": boolean, "ipv6_masquerade_enabled": boolean},
        "flow_logs": FLOW_LOGS,
        "account_slug?~": text,
        **LISTS,
    },
    ("gateway", "create_authorization"): {
        "ref": text,
        "resource": GATEWAY_RESOURCE,
        "client": ADDRESSES | {"id": ident, "public_key": key, "preshared_key": key},
        "client_ice_credentials": ICE,
        "gateway_ice_credentials": ICE,
        "flow_logs_ingest_token": ingest_token,
        "expires_at?~": number,
        "use_iceless?": boolean,
    },
    ("gateway", "reject_access"): REJECT,
    ("gateway", "resource_updated"): GATEWAY_RESOURCE,
    ("gateway", "relays_presence"): RELAYS_PRESENCE,
    ("gateway", "ice_candidates"): OF_CLIENT,
    ("gateway", "invalidate_ice_candidates"): OF_CLIENT,
    ("gateway", "access_authorization_expiry_updated"): {},
    ("gateway", "disconnect"): DISCONNECT,
    ("relay", "init"): {},
}

FROM_COMPONENT: dict[tuple[str, str], Shape] = {
    ("client", "request_authorization"): {
        "resource_id": ident,
        "connected_gateway_ids": [ident],
        "ipv4?": ip4,
        "ipv6?": ip6,
    },
    ("client", "new_gateway_ice_candidates"): OF_GATEWAY,
    ("client", "invalidate_gateway_ice_candidates"): OF_GATEWAY,
    ("client", "new_client_ice_candidates"): OF_CLIENT,
    ("client", "invalidate_client_ice_candidates"): OF_CLIENT,
    ("client", "broadcast_ice_candidates"): {"gateway_ids": [ident], "candidates": [text]},
    ("client", "broadcast_invalidated_ice_candidates"): {
        "gateway_ids": [ident],
        "candidates": [text],
    },
    ("client", "set_snownet_capabilities"): {"iceless": boolean},
    ("client", "no_relays"): {},
    ("client", "resolve_device_pool_domain"): {"resource_id": ident, "domain": text},
    ("client", "request_device_access"): {},
    ("gateway", "authorization_created"): {"ref": text},
    ("gateway", "broadcast_ice_candidates"): {"client_ids": [ident], "candidates": [text]},
    ("gateway", "broadcast_invalidated_ice_candidates"): {
        "client_ids": [ident],
        "candidates": [text],
    },
    ("gateway", "set_snownet_capabilities"): {"iceless": boolean},
    ("gateway", "no_relays"): {},
}
