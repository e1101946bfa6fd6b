"""The values that stand in messages: what each may be when it is read, and when it is sent.

Reading is tolerant where Firezone's portals of several ages differ; making a message, and sending
it, is not: what a peer's strict decoder would refuse cannot be made. A `Reading` as the context of
a validation tells the two apart.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Annotated, Any, Final, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    SecretStr,
    StrictInt,
    StrictStr,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import PydanticUseDefault

__all__ = [
    "Candidates",
    "Count",
    "Domain",
    "HttpsUrl",
    "Ipv4",
    "Ipv6",
    "Key",
    "Lenient",
    "LenientList",
    "Network",
    "Port",
    "Reading",
    "Secret",
    "SecretKey",
    "SocketAddress",
    "UnixSeconds",
    "is_key",
]

T = TypeVar("T")

_KEY: Final = re.compile(r"[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=")
"""32 bytes: the last of 43 digits carries four bits alone."""
_SOCKET_ADDRESS: Final = re.compile(r"(?:\[(?P<v6>[0-9a-fA-F:.]+)\]|(?P<v4>[0-9.]+)):(?P<port>\d+)")
_DIGITS: Final = re.compile(r"[0-9]{1,20}")
_LABEL: Final = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_LONGEST_DOMAIN: Final = 253
_HIGHEST_PORT: Final = 2**16 - 1


@dataclass(slots=True)
class Reading:
    """The context of a validation that reads what a peer has sent.

    Args:
        ignored: What was wrong and passed over, as places in the message.
    """

    ignored: list[str] = field(default_factory=list)


def is_key(text: str) -> bool:
    """Tell whether a text is 32 bytes in base64 with padding."""
    return _KEY.fullmatch(text) is not None


def _lenient(value: Any, check: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
    try:
        return check(value)
    except ValueError:
        if not isinstance(info.context, Reading):
            raise
        _note(info, info.context)
        raise PydanticUseDefault from None


def _lenient_list(value: Any, info: ValidationInfo) -> Any:
    # What stands in the list is not looked at: an entry that lacks something refuses the message.
    if isinstance(info.context, Reading) and not isinstance(value, list):
        _note(info, info.context)
        raise PydanticUseDefault
    return value


def _note(info: ValidationInfo, reading: Reading) -> None:
    reading.ignored.append(str(info.field_name))


def _plain_address(longest: int) -> BeforeValidator:
    def plain(value: object) -> object:
        if not isinstance(value, str | IPv4Address | IPv6Address):
            raise ValueError("expected an address as a text")
        if isinstance(value, str):
            if "%" in value:
                raise ValueError("an address of one link is of no use to others")
            # Some portals write the prefix of a single address.
            return value.removesuffix(f"/{longest}")
        return value

    return BeforeValidator(plain)


def _key(value: str) -> str:
    if not is_key(value):
        # What was given is not repeated: it may be secret.
        raise ValueError("a key is 32 bytes in base64, which are 44 characters")
    return value


def _secret_key(value: object) -> object:
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    if not isinstance(text, str):
        raise ValueError("expected a text")
    return SecretStr(_key(text))


def _secret(value: object) -> object:
    if not isinstance(value, str | SecretStr):
        raise ValueError("expected a text")
    return value


def _reveal(value: SecretStr) -> str:
    return value.get_secret_value()


def _socket_address(value: str) -> str:
    match = _SOCKET_ADDRESS.fullmatch(value)
    if match is None or int(match["port"]) > _HIGHEST_PORT:
        raise ValueError("expected an address and a port, an IPv6 address in brackets")
    address = IPv6Address(match["v6"]) if match["v6"] else IPv4Address(match["v4"])
    host = f"[{address}]" if address.version == 6 else str(address)  # noqa: PLR2004
    return f"{host}:{int(match['port'])}"


def _network(value: object) -> object:
    if isinstance(value, str):
        if "/" not in value:
            raise ValueError("a network has a prefix length, also that of one address")
        return ip_network(value)
    if isinstance(value, IPv4Network | IPv6Network):
        return value
    raise ValueError("expected a network as a text")


def _domain(value: str) -> str:
    labels = value.removesuffix(".").split(".")
    if len(value) > _LONGEST_DOMAIN or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError("expected a domain name without a leading dot")
    return value


def _https_url(value: str) -> str:
    if not value.startswith("https://") or "?" in value or value.count("/") < 3:  # noqa: PLR2004
        raise ValueError("expected an https URL with a path and without a query")
    return value


def _is_candidate(text: str) -> bool:
    fields = text.split(" ")
    # `int` raises for thousands of digits, and so one candidate would refuse its whole message.
    has_priority = len(fields) > 3 and _DIGITS.fullmatch(fields[3]) is not None  # noqa: PLR2004
    return text.startswith("candidate:") and has_priority and int(fields[3]) < 2**32


def _candidates(value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
    good = tuple(text for text in value if _is_candidate(text))
    if isinstance(info.context, Reading) and len(good) < len(value):
        info.context.ignored.append(f"{len(value) - len(good)} candidates")
    return good


Lenient = Annotated[T, WrapValidator(_lenient)]
"""An optional value: a wrong one that is read counts as missing."""
LenientList = Annotated[tuple[T, ...], BeforeValidator(_lenient_list)]
"""An optional list: something else that is read counts as missing; a wrong entry does not."""

Ipv4 = Annotated[IPv4Address, _plain_address(32)]
Ipv6 = Annotated[IPv6Address, _plain_address(128)]
Network = Annotated[IPv4Network | IPv6Network, BeforeValidator(_network)]
SocketAddress = Annotated[StrictStr, Field(max_length=64), AfterValidator(_socket_address)]
Key = Annotated[StrictStr, Field(max_length=44), AfterValidator(_key)]
Secret = Annotated[SecretStr, BeforeValidator(_secret), PlainSerializer(_reveal, return_type=str)]
"""Stars in every representation; its text stands in the encoded message alone."""
SecretKey = Annotated[
    SecretStr, BeforeValidator(_secret_key), PlainSerializer(_reveal, return_type=str)
]
Domain = Annotated[StrictStr, AfterValidator(_domain)]
HttpsUrl = Annotated[StrictStr, AfterValidator(_https_url)]
Candidates = Annotated[tuple[StrictStr, ...], AfterValidator(_candidates)]
Port = Annotated[StrictInt, Field(ge=0, le=_HIGHEST_PORT)]
Count = Annotated[StrictInt, Field(ge=0, lt=2**64)]
UnixSeconds = Annotated[StrictInt, Field(ge=0, lt=2**63)]
"""Seconds since 1970-01-01 UTC."""
