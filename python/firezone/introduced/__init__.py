"""A Client and a Gateway that a portal introduces to each other.

The portal says who may reach what (`client_source`, `gateway_source`: its messages as commands to
the core); `link` is the connection to it, and `client` and `gateway` are the roles on a host.
"""
