"""A payload of each message as Firezone's components and portal send it."""

from __future__ import annotations

import base64
import json
from typing import Any


def jwt(**changes: object) -> str:
    """Return a token of the shape that peers check."""
    texts = (
        "account_id initiator_device_id responder_device_id policy_authorization_id policy_id"
        " resource_id resource_name initiator_actor_id initiator_actor_name authorized_at"
        " authorization_expires_at"
    )
    claims: dict[str, object] = dict.fromkeys(texts.split(), "x")
    claims |= {"iat": 1, "exp": 2, "uploads_enabled": False, "role": "initiator"}
    parts = [{"alg": "HS256", "typ": "JWT"}, claims | changes]
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()) for part in parts]
    return ".".join([*(part.decode().rstrip("=") for part in encoded), "c2lnbmF0dXJl"])


CLIENT_ID = "11111111-1111-4111-8111-111111111111"
GATEWAY_ID = "22222222-2222-4222-8222-222222222222"
DNS_ID = "7a1f1a0e-6c3c-4a55-9a0b-1f6f0f2f3d01"
CIDR_ID = "7a1f1a0e-6c3c-4a55-9a0b-1f6f0f2f3d02"
INTERNET_ID = "7a1f1a0e-6c3c-4a55-9a0b-1f6f0f2f3d03"
POOL_ID = "b2c3d4e5-f6a7-4901-8cde-f12345678901"
SITE = {"id": "0d5a9e0c-57a4-4f0e-8f6e-b1b6d2d9e001", "name": "DC 1"}
EXIT = {"id": "0d5a9e0c-57a4-4f0e-8f6e-b1b6d2d9e002", "name": "Exit"}
RELAY_ID = "60e05bd1-b195-4f2f-9411-2fa7197a5c88"
CLIENT_KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
GATEWAY_KEY = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8="
PRESHARED_KEY = "nf/zxFPO6UthXqXx5mQvtNZLT0cwCJiO6nYyJhnspc4="
CLIENT_ICE = {"username": "w7up", "password": "ksqwm66pilnb7skdwwfw3r"}
GATEWAY_ICE = {"username": "kwe6", "password": "mzkrj52x5h5ebrfdsh5iyq"}
FLOW_LOGS = {
    "api_url": "https://portal.example",
    "upload_interval_secs": 0,
    "upload_batch_size": 0,
}
RELAY = {
    "type": "turn",
    "id": RELAY_ID,
    "addr": "203.0.113.10:3478",
    "username": "1900000000:kF8o3vGOqsBa5vErLDRSdEr69ibaE0PVezlbVE4FGbY",
    "password": "lOdc4Pk3jf36aE8fujtQC6KXX0VBhvCA0dELF8ZHCWI",
    "expires_at": 1900000000,
}
RELAY_V6 = RELAY | {"addr": "[2001:db8::10]:3478"}
AUTHORIZATION = {"client_id": CLIENT_ID, "resource_id": DNS_ID, "expires_at": 1900000000}
HTTPS = {"protocol": "tcp", "port_range_start": 443, "port_range_end": 443}
CLIENT_DNS = {
    "type": "dns",
    "id": DNS_ID,
    "name": "GitLab",
    "address": "gitlab.corp.example",
    "address_description": None,
    "ip_stack": "dual",
    "filters": [HTTPS, {"protocol": "icmp"}],
    "sites": [SITE],
}
CLIENT_CIDR = {
    "type": "cidr",
    "id": CIDR_ID,
    "name": "Lab net",
    "address": "10.20.0.0/16",
    "address_description": "lab",
    "filters": [],
    "sites": [SITE],
}
CLIENT_INTERNET = {
    "type": "internet",
    "id": INTERNET_ID,
    "can_be_disabled": True,
    "sites": [EXIT],
}
STATIC_POOL = {
    "type": "static_device_pool",
    "id": POOL_ID,
    "name": "Laptops",
    "devices": [{"client_id": CLIENT_ID, "ipv4": "100.64.0.7/32", "ipv6": "fd00:2021:1111::7/128"}],
    "filters": [],
}
DYNAMIC_POOL = {
    "type": "dynamic_device_pool",
    "id": POOL_ID,
    "name": "Laptops",
    "address": "*.devices.corp.example",
}
GATEWAY_DNS = {
    "type": "dns",
    "id": DNS_ID,
    "name": "GitLab",
    "address": "gitlab.corp.example",
    "filters": [],
}
GATEWAY_CIDR = GATEWAY_DNS | {"type": "cidr", "address": "10.20.0.0/16", "filters": [HTTPS]}
CANDIDATES = [
    "candidate:fffe0001 1 udp 2130706175 203.0.113.11 52625 typ host ufrag l37z",
    "candidate:1 1 udp 37748479 203.0.113.10 50485 typ relay raddr 0.0.0.0 rport 0 ufrag l37z",
]
POOL_GRANT = {
    "client_id": CLIENT_ID,
    "client_name": "alice-laptop",
    "client_public_key": CLIENT_KEY,
    "client_ipv4": "100.64.0.2",
    "client_ipv6": "fd00:2021:1111::2",
    "preshared_key": PRESHARED_KEY,
    "local_ice_credentials": GATEWAY_ICE,
    "remote_ice_credentials": CLIENT_ICE,
    "ice_role": "controlled",
    "use_iceless": False,
    "resource": {"id": POOL_ID, "filters": []},
    "expires_at": 1900000000,
    "flow_logs_ingest_token": jwt(),
}
RESOLVED = {
    "resource_id": POOL_ID,
    "domain": "laptop-7.devices.corp.example",
    "ipv4": "100.64.0.7",
    "ipv6": "fd00:2021:1111::7",
}
CLIENT_INIT = {
    "interface": {
        "ipv4": "100.64.0.2",
        "ipv6": "fd00:2021:1111::2",
        "search_domain": "corp.example",
        "upstream_do53": [{"ip": "1.1.1.1"}],
        "upstream_doh": [{"url": "https://dns.quad9.net/dns-query"}],
        "upstream_dns": [{"protocol": "ip_port", "address": "[2001:db8::53]:53"}],
    },
    "resources": [CLIENT_DNS, CLIENT_CIDR, CLIENT_INTERNET, STATIC_POOL, DYNAMIC_POOL],
    "relays": [RELAY, RELAY_V6, {"type": "stun", "id": RELAY_ID, "addr": "203.0.113.10:3478"}],
    "authorizations": [AUTHORIZATION],
    "flow_logs": FLOW_LOGS,
}
CLIENT_GRANT = {
    "resource_id": DNS_ID,
    "gateway_id": GATEWAY_ID,
    "gateway_public_key": GATEWAY_KEY,
    "gateway_ipv4": "100.64.0.9",
    "gateway_ipv6": "fd00:2021:1111::9",
    "site_id": SITE["id"],
    "preshared_key": PRESHARED_KEY,
    "client_ice_credentials": CLIENT_ICE,
    "gateway_ice_credentials": GATEWAY_ICE,
    "use_iceless": False,
    "flow_logs_ingest_token": jwt(),
}
GATEWAY_INIT = {
    "interface": {"ipv4": "100.64.0.9", "ipv6": "fd00:2021:1111::9"},
    "config": {"ipv4_masquerade_enabled": True, "ipv6_masquerade_enabled": True},
    "relays": [RELAY],
    "account_slug": "corp",
    "authorizations": [AUTHORIZATION],
    "flow_logs": FLOW_LOGS,
}
GATEWAY_GRANT = {
    "ref": "auth-3f0c9d",
    "client": {
        "id": CLIENT_ID,
        "public_key": CLIENT_KEY,
        "preshared_key": PRESHARED_KEY,
        "ipv4": "100.64.0.2",
        "ipv6": "fd00:2021:1111::2",
    },
    "resource": GATEWAY_DNS,
    "client_ice_credentials": CLIENT_ICE,
    "gateway_ice_credentials": GATEWAY_ICE,
    "expires_at": 1900000000,
    "use_iceless": False,
    "flow_logs_ingest_token": jwt(role="responder"),
}
PRESENCE = {"disconnected_ids": [RELAY_ID], "connected": [RELAY]}
REJECT = {"client_id": CLIENT_ID, "resource_id": DNS_ID}
OF_GATEWAY = {"gateway_id": GATEWAY_ID, "candidates": CANDIDATES}
OF_CLIENT = {"client_id": CLIENT_ID, "candidates": CANDIDATES}
TO_CLIENTS = {"client_ids": [CLIENT_ID], "candidates": CANDIDATES}
TO_GATEWAYS = {"gateway_ids": [GATEWAY_ID], "candidates": CANDIDATES}

FROM_PORTAL: list[tuple[str, str, Any]] = [
    ("client", "init", CLIENT_INIT),
    ("client", "config_changed", {"interface": CLIENT_INIT["interface"]}),
    ("client", "resource_created_or_updated", CLIENT_DNS),
    ("client", "resource_created_or_updated", CLIENT_CIDR),
    ("client", "resource_created_or_updated", CLIENT_INTERNET),
    ("client", "resource_deleted", CIDR_ID),
    ("client", "relays_presence", PRESENCE),
    ("client", "authorization_created", CLIENT_GRANT),
    (
        "client",
        "authorization_creation_failed",
        {"resource_id": DNS_ID, "reason": "forbidden", "violated_properties": ["remote_ip"]},
    ),
    ("client", "ice_candidates", OF_GATEWAY),
    ("client", "invalidate_ice_candidates", OF_GATEWAY),
    ("client", "client_ice_candidates", OF_CLIENT),
    ("client", "invalidate_client_ice_candidates", OF_CLIENT),
    ("client", "client_ice_candidate_error", {"client_id": CLIENT_ID, "reason": "offline"}),
    ("client", "device_pool_domain_resolved", RESOLVED),
    (
        "client",
        "device_pool_domain_resolution_failed",
        {"resource_id": POOL_ID, "domain": "x.example", "reason": "not_found"},
    ),
    ("client", "client_device_access_authorized", POOL_GRANT),
    (
        "client",
        "client_device_access_denied",
        {"ipv4": "100.64.0.7", "ipv6": None, "resource_id": POOL_ID, "reason": "offline"},
    ),
    ("client", "resource_filters_updated", {"id": POOL_ID, "filters": [HTTPS]}),
    ("client", "reject_access", REJECT),
    ("client", "access_authorization_expiry_updated", AUTHORIZATION),
    ("client", "disconnect", {"reason": "token_expired"}),
    ("gateway", "init", GATEWAY_INIT),
    ("gateway", "create_authorization", GATEWAY_GRANT),
    ("gateway", "create_authorization", GATEWAY_GRANT | {"resource": GATEWAY_CIDR}),
    ("gateway", "reject_access", REJECT),
    ("gateway", "resource_updated", GATEWAY_CIDR),
    ("gateway", "resource_updated", {"type": "internet", "id": INTERNET_ID}),
    ("gateway", "relays_presence", PRESENCE),
    ("gateway", "ice_candidates", OF_CLIENT),
    ("gateway", "invalidate_ice_candidates", OF_CLIENT),
    ("gateway", "access_authorization_expiry_updated", AUTHORIZATION),
    ("gateway", "disconnect", {"reason": "token_expired"}),
    ("relay", "init", {}),
]

FROM_COMPONENT: list[tuple[str, str, Any]] = [
    ("client", "request_authorization", {"resource_id": DNS_ID, "connected_gateway_ids": []}),
    (
        "client",
        "request_authorization",
        {"resource_id": POOL_ID, "connected_gateway_ids": [GATEWAY_ID], "ipv4": "100.64.0.7"},
    ),
    ("client", "new_gateway_ice_candidates", OF_GATEWAY),
    ("client", "invalidate_gateway_ice_candidates", OF_GATEWAY),
    ("client", "new_client_ice_candidates", OF_CLIENT),
    ("client", "invalidate_client_ice_candidates", OF_CLIENT),
    ("client", "broadcast_ice_candidates", TO_GATEWAYS),
    ("client", "broadcast_invalidated_ice_candidates", TO_GATEWAYS),
    ("client", "set_snownet_capabilities", {"iceless": True}),
    ("client", "no_relays", {}),
    (
        "client",
        "resolve_device_pool_domain",
        {"resource_id": POOL_ID, "domain": "laptop-7.devices.corp.example"},
    ),
    ("client", "request_device_access", {}),
    ("gateway", "authorization_created", {"ref": "auth-3f0c9d"}),
    ("gateway", "broadcast_ice_candidates", TO_CLIENTS),
    ("gateway", "broadcast_invalidated_ice_candidates", TO_CLIENTS),
    ("gateway", "set_snownet_capabilities", {"iceless": True}),
    ("gateway", "no_relays", {}),
]
