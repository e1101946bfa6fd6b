"""The JSON API: everything of an account, by a bearer token.

Reading needs the scope `read` and a user who is administrator or viewer; changing needs `write` and
an administrator. Errors are problem documents (RFC 9457).
"""

from __future__ import annotations

from fastapi import APIRouter

from . import access, account, network, people

__all__ = ["router"]

router = APIRouter(prefix="/api/v1")
for _part in (account, people, network, access):
    router.include_router(_part.router)
