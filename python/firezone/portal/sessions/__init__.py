"""The sessions of Clients, Gateways and Relays at the portal: one WebSocket each.

    add_sessions(app)   gives an application their three endpoints

A session takes what its component says and what the bus tells, one after the other, and asks the
store when it answers: so what one sender says to one receiver stays in order, and a Client is told
of an authorization before it gets candidates of the Gateway.
"""

from __future__ import annotations

from .endpoints import add_sessions

__all__ = ["add_sessions"]
