"""Every setting of every role: its unit, its default, where it came from.

A setting is given by a flag, an environment variable, or the role's file, and the first of these
that has it wins; else its default holds. The file is `/etc/firezone/<role>.toml`; its keys are the
names below. Variables are `FIREZONE_` and the name in capitals, but LOG_DIR.
"""

from __future__ import annotations

import difflib
import os
import stat
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, get_args, get_origin

from pydantic import ValidationError
from pydantic_settings import EnvSettingsSource

from .errors import ConfigError
from .settings import PREFIX, ClientSettings, EndpointSettings, GatewaySettings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic.fields import FieldInfo

__all__ = [
    "Loaded",
    "Role",
    "Setting",
    "default_file",
    "load",
]

Role = Literal["client", "gateway"]

TABLES: Final[dict[Role, frozenset[str]]] = {
    "client": frozenset({"gateway", "resource"}),
    "gateway": frozenset({"client", "resource"}),
}
"""Tables of a standalone file, which `firezone.standalone.tables` reads."""

FOLDER: Final = Path("/etc/firezone")
# Firezone's variables of parts that are not here; they are no mistakes.
_FOREIGN: Final = frozenset(
    f"FIREZONE_{name}"
    for name in (
        "INC_BUF",
        "MAX_PARTITION_TIME",
        "NO_INC_BUF",
        "NO_TELEMETRY",
        "TOKEN_PATH",
        "VALIDATE_CHECKSUMS",
    )
)


@dataclass(frozen=True)
class Setting:
    """One setting and where its value came from.

    Args:
        name: As in the file.
        value: As people write it; secrets are stars.
        unit: Of the value, if it has one.
        origin: `flag`, `environment NAME`, the file, or `default`.
        variable: Its environment variable.
        description: What it is.
    """

    name: str
    value: Any
    unit: str
    origin: str
    variable: str
    description: str


@dataclass(frozen=True)
class Loaded:
    """The settings of a role.

    Args:
        settings: The values.
        origins: Name to where the value came from.
        warnings: What looks like a mistake and is none for certain.
    """

    settings: EndpointSettings
    origins: Mapping[str, str]
    warnings: tuple[str, ...]

    def show(self) -> list[Setting]:
        """Return every setting, in the order of their names."""
        fields = type(self.settings).model_fields
        values = self.settings.model_dump(mode="json")
        return [
            Setting(
                name,
                values[name],
                _unit(fields[name]),
                self.origins[name],
                _variable(name),
                fields[name].description or "",
            )
            for name in sorted(fields)
        ]


def default_file(role: Role) -> Path:
    """Return the file of a role."""
    return FOLDER / f"{role}.toml"


def load(
    role: Role, *, file: Path | None = None, flags: Mapping[str, object] | None = None
) -> Loaded:
    """Load the settings of a role.

    Args:
        role: Whose.
        file: Which file must be read; None reads the role's own if it exists.
        flags: What the command line gives; None values are not given.

    Raises:
        ConfigError: A file cannot be read, a setting is unknown or has a wrong value.
    """
    kind: type[EndpointSettings] = ClientSettings if role == "client" else GatewaySettings
    path = file or default_file(role)
    content = _read(path, must_exist=file is not None)
    content = {name: value for name, value in content.items() if name not in TABLES[role]}
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    _check_names(kind, given, "the command line")
    _check_names(kind, content, str(path))
    _check_types(kind, content, path)
    _check_mode(kind, content, path)
    environment = EnvSettingsSource(kind, env_prefix=PREFIX, env_ignore_empty=True)()
    origins = dict.fromkeys(kind.model_fields, "default")
    origins |= dict.fromkeys(content, str(path))
    origins |= {name: f"environment {_variable(name)}" for name in environment}
    origins |= dict.fromkeys(given, "flag")
    try:
        settings: EndpointSettings = kind(**{**content, **environment, **given})
    except ValidationError as error:
        raise _wrong(kind, error, origins) from error
    return Loaded(settings, origins, tuple(_doubtful_variables(kind)))


def _read(path: Path, *, must_exist: bool) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        if not must_exist:
            return {}
        raise ConfigError(f"{path} does not exist", hint="name another file") from error
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        message = f"{path} is not TOML: {error}"
        raise ConfigError(message, hint='a line is like: log_level = "info"') from error


def _check_names(kind: type[EndpointSettings], given: Mapping[str, object], where: str) -> None:
    for name in given:
        if name not in kind.model_fields:
            message = f"{where}: {name} is no setting of the {_role(kind)}"
            hint = _nearest(name, kind.model_fields)
            raise ConfigError(message, setting=name, origin=where, hint=hint)


def _check_types(kind: type[EndpointSettings], content: Mapping[str, object], path: Path) -> None:
    """Hold a file to TOML's own types: there `"1"` is a text and no number."""
    for name, value in content.items():
        allowed = _toml_types(kind.model_fields[name])
        if type(value) not in allowed:
            expected = _expected(kind.model_fields[name])
            raise ConfigError(
                f"{path}: {name}: expected {expected}, found {_toml_name(value)}",
                setting=name,
                origin=str(path),
                hint=kind.model_fields[name].description,
            )


def _check_mode(kind: type[EndpointSettings], content: Mapping[str, object], path: Path) -> None:
    secret = [name for name in content if _is_secret(kind.model_fields[name])]
    if secret and stat.S_IMODE(path.stat().st_mode) & 0o077:
        message = f"{path}: others can read {secret[0]}"
        hint = f"chmod 600 {path}"
        raise ConfigError(message, setting=secret[0], origin=str(path), hint=hint)


def _wrong(
    kind: type[EndpointSettings], error: ValidationError, origins: Mapping[str, str]
) -> ConfigError:
    """Tell the first wrong setting; a secret's value is never told."""
    first = error.errors(include_url=False)[0]
    name = str(first["loc"][0])
    field = kind.model_fields[name]
    found = "a value" if _is_secret(field) else repr(first["input"])[:128]
    where = {"flag": "the command line"}.get(origins[name], origins[name])
    reason = str(first["msg"]).removeprefix("Value error, ")
    message = f"{where}: {name}: expected {_expected(field)}, found {found} ({reason})"
    return ConfigError(message, setting=name, origin=where, hint=field.description)


def _doubtful_variables(kind: type[EndpointSettings]) -> list[str]:
    known = {_variable(name) for name in kind.model_fields}
    other = {_variable(n) for k in (ClientSettings, GatewaySettings) for n in k.model_fields}
    return [
        f"{name} in the environment is no setting; {_nearest(name, known)}"
        for name in sorted(os.environ)
        if name.startswith(PREFIX) and name not in known | other | _FOREIGN
    ]


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return f"did you mean {near[0]}?"
    return f"there are {', '.join(sorted(known))}"


def _role(kind: type[EndpointSettings]) -> str:
    return "Client" if issubclass(kind, ClientSettings) else "Gateway"


def _variable(name: str) -> str:
    return "LOG_DIR" if name == "log_dir" else f"{PREFIX}{name.upper()}"


def _unit(field: FieldInfo) -> str:
    extra = field.json_schema_extra
    return str(extra.get("unit", "")) if isinstance(extra, dict) else ""


def _is_secret(field: FieldInfo) -> bool:
    return "SecretStr" in str(field.annotation)


def _toml_types(field: FieldInfo) -> tuple[type, ...]:
    if field.annotation is bool:
        return (bool,)
    if field.annotation is int:
        return (int,)
    if field.annotation is float:
        return (int, float)
    return (list,) if get_origin(field.annotation) is tuple else (str,)


def _expected(field: FieldInfo) -> str:
    if get_origin(field.annotation) is Literal:
        return "one of " + ", ".join(get_args(field.annotation))
    kinds: dict[type, str] = {
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        list: "a list of texts",
        str: "a text",
    }
    unit = _unit(field)
    limits = "".join(f", {_limit(limit)}" for limit in field.metadata if _limit(limit))
    return kinds[_toml_types(field)[-1]] + (f" of {unit}" if unit else "") + limits


def _limit(limit: object) -> str:
    words = {"ge": "at least", "gt": "more than", "le": "at most"}
    return " ".join(f"{word} {getattr(limit, k)}" for k, word in words.items() if hasattr(limit, k))


def _toml_name(value: object) -> str:
    names: dict[type, str] = {bool: "true or false", int: "a number", float: "a number"}
    names |= {str: "a text", list: "a list", dict: "a table"}
    return names.get(type(value), "a date or time")
