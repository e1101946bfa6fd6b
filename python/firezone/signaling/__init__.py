"""Firezone's signaling: how Clients, Gateways and Relays talk with their portal.

`messages` has what is said, `channel` the order in which it may be said, without any socket, and
`connection` the socket. The portal uses the first two.
"""
