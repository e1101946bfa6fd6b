"""The portal: who may reach what, kept in one database, told to every Client and Gateway.

Needs the extra `portal`. It stands apart from the endpoints: of firezone it uses `errors`,
`config`, `logs` and the messages and channel of `signaling`, and nobody but the command line uses
it.

    model        what there is: accounts, users, sites, devices, resources, policies, tokens
    policy       who may what, as pure functions of these and a time
    revocation   what a change takes away, and whom it concerns
    derive       keys and credentials that are computed and never stored
    events       what one part of a portal tells the others
    store        everything that is kept, on SQLite or PostgreSQL
    app, api     `create_app()`: the JSON API
    interface    what the sessions of Clients, Gateways and relays ask of the store

Times are whole seconds since 1970 everywhere; `now` is an argument.
"""

from __future__ import annotations

from typing import Any

__all__ = ["create_app"]


def __getattr__(name: str) -> Any:
    """Load the application when it is asked for: the rest can be used without it."""
    if name == "create_app":
        from .app import create_app  # noqa: PLC0415

        return create_app
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)
