"""The portal: who may reach what, kept in one database, told to every Client and Gateway.

Needs the extra `portal`. It stands apart from the endpoints: of firezone it uses `errors`,
`config`, `logs` and the messages and channel of `signaling`, and nobody but the command line uses
it.

    model        what there is: accounts, users, sites, devices, resources, policies, tokens
    policy       who may what, as pure functions of these and a time
    revocation   what a change takes away, and whom it concerns
    derive       keys and credentials that are computed and never stored
    events       what one part of a portal tells the others
    interface    what the sessions of Clients, Gateways and relays ask of the store

Times are whole seconds since 1970 everywhere; `now` is an argument.
"""

from __future__ import annotations

__all__: list[str] = []
