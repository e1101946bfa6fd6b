"""The portal's settings: a flag, a variable `FIREZONE_PORTAL_…` or `/etc/firezone/portal.toml`.

The first of these that has one wins; else its default holds.
"""

from __future__ import annotations

import stat
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict

from firezone.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["DEFAULT_FILE", "PortalSettings", "load"]

DEFAULT_FILE: Final = Path("/etc/firezone/portal.toml")
PREFIX: Final = "FIREZONE_PORTAL_"


class PortalSettings(BaseSettings):
    """The settings of a portal."""

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, env_prefix=PREFIX
    )

    database: str = Field(
        default="sqlite:////var/lib/firezone/portal.db",
        description="sqlite:///path, or postgresql://user@host/name.",
        repr=False,
    )
    listen: str = Field(
        default="127.0.0.1:8080", description="Address and port that are listened at."
    )
    url: str | None = Field(
        default=None,
        description="How Clients and Gateways reach it, like wss://portal.example.",
    )
    certificate: Path | None = Field(default=None, description="Certificate chain for TLS, PEM.")
    key: Path | None = Field(default=None, description="Its private key, PEM.")
    trusted_proxies: str | None = Field(
        default=None,
        description="Addresses, by commas, whose X-Forwarded-For is believed; by default nobody's.",
    )
    log_level: Literal["trace", "debug", "info", "warn", "error"] = "info"
    log_format: Literal["auto", "human", "json"] = "auto"
    log_dir: Path | None = None

    @classmethod
    def settings_customise_sources(cls, *_given: Any, **sources: Any) -> Any:
        """Take what is given and nothing else: `load` joins the sources."""
        return (sources["init_settings"],)


def load(*, file: Path | None = None, flags: Mapping[str, object] | None = None) -> PortalSettings:
    """Load the settings.

    Args:
        file: Which file must be read; None reads the default one if it exists.
        flags: What the command line gives; None values are not given.

    Raises:
        ConfigError: A file cannot be read, a setting is unknown or has a wrong value.
    """
    path = file or DEFAULT_FILE
    content = _read(path, must_exist=file is not None)
    environment = EnvSettingsSource(PortalSettings, env_prefix=PREFIX, env_ignore_empty=True)()
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    try:
        return PortalSettings(**{**content, **environment, **given})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = str(first["loc"][0])
        if first["type"] == "extra_forbidden":
            known = ", ".join(sorted(PortalSettings.model_fields))
            message = f"{path}: {name} is no setting of the portal"
            raise ConfigError(message, setting=name, hint=f"there are {known}") from error
        where = "the command line" if name in given else f"environment {PREFIX}{name.upper()}"
        where = where if name in {*given, *environment} else str(path)
        raise ConfigError(f"{where}: {name}: {first['msg']}", setting=name) from error


def _read(path: Path, *, must_exist: bool) -> dict[str, Any]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        if not must_exist:
            return {}
        raise ConfigError(f"{path} does not exist", hint="name another file") from error
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        message = f"{path} is not TOML: {error}"
        raise ConfigError(message, hint='a line is like: listen = "0.0.0.0:8080"') from error
    url = str(content.get("database", ""))
    has_password = ":" in url.partition("://")[2].rpartition("@")[0]
    if has_password and stat.S_IMODE(path.stat().st_mode) & 0o077:
        message = f"{path}: others can read it, and it holds the database's password"
        raise ConfigError(message, setting="database", hint=f"chmod 600 {path}")
    return content
