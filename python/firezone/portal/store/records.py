"""What administrators read: the audit log, and who reaches what now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firezone.portal.outputs import AuditOutput
from firezone.portal.rows import authorization_of
from firezone.portal.tables import audit, authorizations

if TYPE_CHECKING:
    from firezone.portal.database import Scope
    from firezone.portal.model import Authorization

__all__ = ["current_access", "read_audit"]


async def read_audit(scope: Scope, *, before: int | None, limit: int) -> list[AuditOutput]:
    """Return lines of the audit log, the newest first.

    Args:
        scope: The account's.
        before: Only lines with a smaller number than this.
        limit: At most so many.
    """
    query = scope.select(audit).order_by(audit.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(audit.c.id < before)
    return [AuditOutput.of(row) for row in await scope.rows(query)]


async def current_access(scope: Scope) -> list[Authorization]:
    """Return what Gateways have acknowledged and what has not ended."""
    table = authorizations.c
    query = (
        scope.select(authorizations)
        .where(table.confirmed_at.is_not(None), table.expires_at > scope.now)
        .order_by(table.client_id, table.resource_id)
    )
    return [authorization_of(row) for row in await scope.rows(query)]
