"""The exceptions of firezone, and what each means for a person and for an exit code.

    FirezoneError
    ├── ConfigError         a setting, a file or the environment is wrong
    ├── AuthError           who you are was not accepted
    ├── AccessDenied        a policy says no
    ├── PortalUnreachable   the portal did not answer
    ├── ResourceNotFound    no resource has this name or id
    ├── GatewayOffline      no Gateway serves the resource now
    ├── TunnelTimeout       something did not happen in time
    ├── EndpointNotRunning  nothing answers on the control socket
    ├── NeedsPrivilege      the operating system does not allow it
    ├── InvalidArgument     a caller gave what cannot be used
    └── CaptureUnreadable   a capture file is none, is broken or holds no IP packets

Each carries a hint: the next thing to do. Ids are attributes, not parts of the text alone.
"""

from __future__ import annotations

__all__ = [
    "AccessDenied",
    "AuthError",
    "CaptureUnreadable",
    "ConfigError",
    "EndpointNotRunning",
    "FirezoneError",
    "GatewayOffline",
    "InvalidArgument",
    "NeedsPrivilege",
    "PortalUnreachable",
    "ResourceNotFound",
    "TunnelTimeout",
]


class FirezoneError(Exception):
    """Something that firezone cannot do, whose fault it is, and what to do next.

    Args:
        message: What happened.
        hint: The next thing to do, if there is one.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class ConfigError(FirezoneError):
    """A setting, a file or the environment is wrong.

    Args:
        message: What happened.
        setting: The name of the setting.
        origin: What gives it: a file, a variable, the command line.
        hint: The next thing to do.
    """

    exit_code = 3

    def __init__(
        self,
        message: str,
        *,
        setting: str | None = None,
        origin: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.setting = setting
        self.origin = origin


class AuthError(FirezoneError, PermissionError):
    """Who you are was not accepted."""

    exit_code = 4


class AccessDenied(FirezoneError, PermissionError):
    """A policy says no.

    Args:
        message: What happened.
        resource: The id of the resource.
        hint: The next thing to do.
    """

    exit_code = 4

    def __init__(
        self, message: str, *, resource: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.resource = resource


class PortalUnreachable(FirezoneError, ConnectionError):
    """The portal did not answer."""

    exit_code = 5


class ResourceNotFound(FirezoneError, LookupError):
    """No resource has this name or id.

    Args:
        message: What happened.
        resource: What was looked for.
        hint: The next thing to do.
    """

    def __init__(
        self, message: str, *, resource: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.resource = resource


class GatewayOffline(FirezoneError, ConnectionError):
    """No Gateway serves the resource now.

    Args:
        message: What happened.
        resource: The id of the resource.
        hint: The next thing to do.
    """

    def __init__(
        self, message: str, *, resource: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.resource = resource


class TunnelTimeout(FirezoneError, TimeoutError):
    """Something did not happen in time."""

    exit_code = 7


class EndpointNotRunning(FirezoneError, ConnectionError):
    """Nothing answers on the control socket.

    Args:
        message: What happened.
        path: The socket.
        hint: The next thing to do.
    """

    def __init__(self, message: str, *, path: str | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.path = path


class NeedsPrivilege(FirezoneError, PermissionError):
    """The operating system does not allow it."""

    exit_code = 6


class InvalidArgument(FirezoneError, ValueError):
    """A caller gave what cannot be used; the text says what could."""


class CaptureUnreadable(FirezoneError, ValueError):
    """A capture file is none, is broken, or holds something else than IP packets."""
