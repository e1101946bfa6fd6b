"""Policies and tokens."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel

from firezone.portal.inputs import PolicyChange, PolicyInput, TokenInput
from firezone.portal.outputs import NewTokenOutput, PolicyOutput, TokenOutput
from firezone.portal.store import access, tokens

from .caller import Id, Reading, Writing

router = APIRouter(tags=["access"])


class Policies(BaseModel):
    """Policies, the oldest first."""

    policies: list[PolicyOutput]


class Tokens(BaseModel):
    """Tokens, the newest first."""

    tokens: list[TokenOutput]


@router.get("/policies")
async def list_policies(scope: Reading) -> Policies:
    """Show all policies."""
    return Policies(policies=[PolicyOutput.of(one) for one in await access.list_policies(scope)])


@router.post("/policies", status_code=201)
async def create_policy(given: PolicyInput, scope: Writing) -> PolicyOutput:
    """Let a group reach a resource."""
    return PolicyOutput.of(await access.create_policy(scope, given))


@router.get("/policies/{policy_id}")
async def read_policy(policy_id: Id, scope: Reading) -> PolicyOutput:
    """Show a policy."""
    return PolicyOutput.of(await access.find_policy(scope, str(policy_id)))


@router.patch("/policies/{policy_id}")
async def change_policy(policy_id: Id, given: PolicyChange, scope: Writing) -> PolicyOutput:
    """Change when a policy applies, or whether: what it granted ends at once."""
    return PolicyOutput.of(await access.change_policy(scope, str(policy_id), given))


@router.delete("/policies/{policy_id}", status_code=204)
async def delete_policy(policy_id: Id, scope: Writing) -> None:
    """Delete a policy: what it granted ends at once."""
    await access.delete_policy(scope, str(policy_id))


@router.get("/tokens")
async def list_tokens(scope: Reading) -> Tokens:
    """Show what is known of tokens; the tokens themselves are kept nowhere."""
    return Tokens(tokens=[TokenOutput.of(one) for one in await tokens.list_tokens(scope)])


@router.post("/tokens", status_code=201)
async def create_token(given: TokenInput, scope: Writing) -> NewTokenOutput:
    """Make a token; the answer has it, and nothing else ever will."""
    known, secret = await tokens.create_token(scope, given)
    return NewTokenOutput(**dict(TokenOutput.of(known)), token=secret)


@router.post("/tokens/{token_id}/revoke")
async def revoke_token(token_id: Id, scope: Writing) -> TokenOutput:
    """Revoke a token: its sessions close, its accesses end."""
    return TokenOutput.of(await tokens.revoke_token(scope, str(token_id)))
