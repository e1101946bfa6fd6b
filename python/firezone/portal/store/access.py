"""Policies: which group reaches which resource, and when."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from firezone.portal.database import Conflict
from firezone.portal.revocation import PolicyWithdrawn
from firezone.portal.revoke import clients_of_groups, end_access
from firezone.portal.rows import json_of_conditions, policy_of
from firezone.portal.tables import policies

from .network import find_resource
from .people import find_group

if TYPE_CHECKING:
    from firezone.portal.database import Scope
    from firezone.portal.inputs import PolicyChange, PolicyInput
    from firezone.portal.model import Policy

__all__ = ["change_policy", "create_policy", "delete_policy", "find_policy", "list_policies"]


async def list_policies(scope: Scope) -> list[Policy]:
    """Return all policies, the oldest first."""
    order = (policies.c.created_at, policies.c.id)
    return [policy_of(row) for row in await scope.rows(scope.select(policies).order_by(*order))]


async def find_policy(scope: Scope, policy_id: str) -> Policy:
    """Return a policy.

    Raises:
        NotFound: There is none with this id.
    """
    return policy_of(await scope.must(policies, policy_id, "policy"))


async def create_policy(scope: Scope, given: PolicyInput) -> Policy:
    """Let a group reach a resource; Clients of its users see it at once.

    Raises:
        Conflict: There is one for this group and resource.
        NotFound: There is no such group or resource.
    """
    group = await find_group(scope, given.group)
    resource = await find_resource(scope, given.resource)
    alike = (policies.c.group_id == group.id, policies.c.resource_id == resource.id)
    there = await scope.first(scope.select(policies).where(*alike))
    if there is not None:
        message = f"{group.name} has a policy for {resource.name} already: {there.id}"
        raise Conflict(message, hint="change its conditions, or enable it")
    new = str(uuid.uuid4())
    conditions = json_of_conditions(given.conditions.conditions())
    await scope.run(
        scope.insert(
            policies,
            id=new,
            group_id=group.id,
            resource_id=resource.id,
            conditions=conditions,
            description=given.description,
            created_at=scope.now,
        )
    )
    await scope.note(
        "policy.created", new, group=group.name, resource=resource.name, conditions=conditions
    )
    await end_access(scope, watching=await clients_of_groups(scope, group.id))
    return await find_policy(scope, new)


async def change_policy(scope: Scope, policy_id: str, given: PolicyChange) -> Policy:
    """Change when a policy applies, or whether it does at all.

    Disabling it or changing its conditions ends every access that it granted.

    Raises:
        NotFound: There is none.
    """
    before = await find_policy(scope, policy_id)
    values: dict[str, object] = {}
    if given.conditions is not None and given.conditions.conditions() != before.conditions:
        values["conditions"] = json_of_conditions(given.conditions.conditions())
    if given.disabled is not None and given.disabled != (before.disabled_at is not None):
        values["disabled_at"] = scope.now if given.disabled else None
    if given.description is not None:
        values["description"] = given.description
    if not values:
        return before
    await scope.run(scope.update(policies, policy_id).values(**values))
    await scope.note("policy.changed", policy_id, **values)
    if {"conditions", "disabled_at"} & values.keys():
        watching = await clients_of_groups(scope, before.group_id)
        await end_access(scope, PolicyWithdrawn(policy_id), watching=watching)
    return await find_policy(scope, policy_id)


async def delete_policy(scope: Scope, policy_id: str) -> None:
    """Delete a policy: every access that it granted ends.

    Raises:
        NotFound: There is none.
    """
    policy = await find_policy(scope, policy_id)
    watching = await clients_of_groups(scope, policy.group_id)
    await end_access(scope, PolicyWithdrawn(policy_id), watching=watching)
    await scope.run(scope.delete(policies, policy_id))
    told = {"group": policy.group_id, "resource": policy.resource_id}
    await scope.note("policy.deleted", policy_id, **told)
