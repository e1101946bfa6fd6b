"""The token by which a component may hand in reports of flows: a JWT whose shape peers check.

They check its three parts, the algorithm and the claims, never the signature, and silently drop an
authorization whose token is not so. We make no use of it: read, any text will do.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Annotated, Any, Final, Literal

from pydantic import (
    BeforeValidator,
    SecretStr,
    StrictBool,
    StrictStr,
    ValidationError,
    ValidationInfo,
)
from pydantic_core import from_json

from .message import Part
from .wire import Count, Lenient, Reading, Secret

__all__ = ["IngestClaims", "IngestToken"]

_SEGMENT: Final = re.compile(r"[A-Za-z0-9_-]+")


class IngestClaims(Part):
    """What a token says. Times of an authorization as texts, in the form of ISO 8601."""

    account_id: StrictStr
    initiator_device_id: StrictStr
    responder_device_id: StrictStr
    policy_authorization_id: StrictStr
    policy_id: StrictStr
    resource_id: StrictStr
    resource_name: StrictStr
    initiator_actor_id: StrictStr
    initiator_actor_name: StrictStr
    authorized_at: StrictStr
    authorization_expires_at: StrictStr
    iat: Count
    exp: Count
    uploads_enabled: StrictBool
    role: Literal["initiator", "responder"]
    resource_address: StrictStr | None = None
    initiator_actor_email: StrictStr | None = None
    initiator_auth_provider_id: StrictStr | None = None
    initiator_client_version: StrictStr | None = None
    initiator_device_os_name: StrictStr | None = None
    initiator_device_os_version: StrictStr | None = None
    initiator_device_serial: StrictStr | None = None
    initiator_device_uuid: StrictStr | None = None
    initiator_device_identifier_for_vendor: StrictStr | None = None
    initiator_device_firebase_installation_id: StrictStr | None = None


def _shaped(value: object, info: ValidationInfo) -> object:
    if value is None or isinstance(info.context, Reading):
        return value
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    if not isinstance(text, str):
        raise ValueError("expected a text")
    parts = text.split(".")
    if len(parts) != 3 or not all(_SEGMENT.fullmatch(part) for part in parts):  # noqa: PLR2004
        raise ValueError("a token has three parts in base64url without padding")
    header, claims = _object(parts[0]), _object(parts[1])
    if not isinstance(header, dict) or header.get("alg") != "HS256":
        raise ValueError("a token's algorithm is HS256")
    try:
        IngestClaims.model_validate(claims)
    except ValidationError as error:
        place = error.errors(include_url=False, include_input=False)[0]["loc"]
        raise ValueError(
            f"the token's claim {'.'.join(map(str, place))} is missing or wrong"
        ) from None
    return value


def _object(part: str) -> Any:
    try:
        return from_json(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, binascii.Error):
        raise ValueError("a part of the token is no JSON in base64url") from None


IngestToken = Lenient[Annotated[Secret | None, BeforeValidator(_shaped)]]
