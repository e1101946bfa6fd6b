"""The account, its audit log, and who reaches what."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from firezone.portal.first import change_account, find_account
from firezone.portal.inputs import AccountChange
from firezone.portal.outputs import AccessOutput, AccountOutput, AuditOutput
from firezone.portal.store.records import current_access, read_audit

from .caller import Reading, Writing

router = APIRouter(tags=["account"])


class Audit(BaseModel):
    """Lines of the audit log, the newest first."""

    audit: list[AuditOutput]


class Accesses(BaseModel):
    """Who reaches what now."""

    access: list[AccessOutput]


@router.get("/account")
async def read_account(scope: Reading) -> AccountOutput:
    """Show the account."""
    return AccountOutput.of(await find_account(scope))


@router.patch("/account")
async def update_account(given: AccountChange, scope: Writing) -> AccountOutput:
    """Change the account's name, or its Clients' DNS servers and search domain."""
    return AccountOutput.of(await change_account(scope, given))


@router.get("/audit")
async def list_audit(
    scope: Reading,
    before: Annotated[int | None, Query(ge=1, le=2**62)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Audit:
    """Show what was changed, by whom; `before` a number for what is older."""
    return Audit(audit=await read_audit(scope, before=before, limit=limit))


@router.get("/access")
async def list_access(scope: Reading) -> Accesses:
    """Show who reaches what now, through which Gateway, by which policy."""
    return Accesses(access=[AccessOutput.of(one) for one in await current_access(scope)])
