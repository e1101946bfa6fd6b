"""What each error means for a program, for an exit code and for a person."""

from __future__ import annotations

import pytest

from firezone import errors
from firezone.errors import FirezoneError

CODES = {
    "FirezoneError": 1,
    "ConfigError": 3,
    "AuthError": 4,
    "AccessDenied": 4,
    "PortalUnreachable": 5,
    "ResourceNotFound": 1,
    "GatewayOffline": 1,
    "TunnelTimeout": 7,
    "EndpointNotRunning": 1,
    "NeedsPrivilege": 6,
    "InvalidArgument": 1,
    "CaptureUnreadable": 1,
}


def test_the_exit_codes_are_those_of_the_command_line() -> None:
    assert {name: getattr(errors, name).exit_code for name in errors.__all__} == CODES


@pytest.mark.parametrize("name", errors.__all__)
def test_an_error_has_a_text_and_a_hint(name: str) -> None:
    error = getattr(errors, name)("it failed", hint="do that")

    assert isinstance(error, FirezoneError)
    assert str(error) == "it failed"
    assert error.hint == "do that"
    assert getattr(errors, name)("it failed").hint is None


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("AuthError", PermissionError),
        ("AccessDenied", PermissionError),
        ("PortalUnreachable", ConnectionError),
        ("ResourceNotFound", LookupError),
        ("GatewayOffline", ConnectionError),
        ("TunnelTimeout", TimeoutError),
        ("EndpointNotRunning", ConnectionError),
        ("NeedsPrivilege", PermissionError),
        ("InvalidArgument", ValueError),
        ("CaptureUnreadable", ValueError),
    ],
)
def test_an_error_is_also_what_python_calls_it(name: str, kind: type[Exception]) -> None:
    assert issubclass(getattr(errors, name), kind)


def test_ids_are_attributes() -> None:
    assert errors.AccessDenied("no", resource="r").resource == "r"
    assert errors.ResourceNotFound("none", resource="r").resource == "r"
    assert errors.GatewayOffline("off", resource="r").resource == "r"
    assert errors.EndpointNotRunning("off", path="/p").path == "/p"
