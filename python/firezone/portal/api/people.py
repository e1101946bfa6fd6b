"""Users, groups, memberships."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel

from firezone.portal.inputs import GroupInput, UserChange, UserInput
from firezone.portal.outputs import GroupOutput, UserOutput
from firezone.portal.store import people

from .caller import Id, Reading, Writing

router = APIRouter(tags=["people"])


class Users(BaseModel):
    """Users, by name."""

    users: list[UserOutput]


class Groups(BaseModel):
    """Groups, by name."""

    groups: list[GroupOutput]


@router.get("/users")
async def list_users(scope: Reading) -> Users:
    """Show all users."""
    return Users(users=[UserOutput.of(one) for one in await people.list_users(scope)])


@router.post("/users", status_code=201)
async def create_user(given: UserInput, scope: Writing) -> UserOutput:
    """Make a user, in the group of everyone."""
    return UserOutput.of(await people.create_user(scope, given))


@router.get("/users/{user_id}")
async def read_user(user_id: Id, scope: Reading) -> UserOutput:
    """Show a user."""
    return UserOutput.of(await people.find_user(scope, str(user_id)))


@router.patch("/users/{user_id}")
async def change_user(user_id: Id, given: UserChange, scope: Writing) -> UserOutput:
    """Change a user; one that is disabled loses every access and token at once."""
    return UserOutput.of(await people.change_user(scope, str(user_id), given))


@router.delete("/users/{user_id}", status_code=204)
async def delete_user(user_id: Id, scope: Writing) -> None:
    """Delete a user with their Clients and tokens."""
    await people.delete_user(scope, str(user_id))


@router.get("/groups")
async def list_groups(scope: Reading) -> Groups:
    """Show all groups."""
    return Groups(groups=[GroupOutput.of(one) for one in await people.list_groups(scope)])


@router.post("/groups", status_code=201)
async def create_group(given: GroupInput, scope: Writing) -> GroupOutput:
    """Make a group without members."""
    return GroupOutput.of(await people.create_group(scope, given))


@router.patch("/groups/{group_id}")
async def rename_group(group_id: Id, given: GroupInput, scope: Writing) -> GroupOutput:
    """Give a group another name."""
    return GroupOutput.of(await people.rename_group(scope, str(group_id), given))


@router.delete("/groups/{group_id}", status_code=204)
async def delete_group(group_id: Id, scope: Writing) -> None:
    """Delete a group with its policies: what they granted ends."""
    await people.delete_group(scope, str(group_id))


@router.get("/groups/{group_id}/members")
async def list_members(group_id: Id, scope: Reading) -> Users:
    """Show the users of a group."""
    return Users(users=[UserOutput.of(one) for one in await people.members(scope, str(group_id))])


@router.put("/groups/{group_id}/members/{user_id}", status_code=204)
async def join_group(group_id: Id, user_id: Id, scope: Writing) -> None:
    """Put a user into a group."""
    await people.join_group(scope, str(group_id), str(user_id))


@router.delete("/groups/{group_id}/members/{user_id}", status_code=204)
async def leave_group(group_id: Id, user_id: Id, scope: Writing) -> None:
    """Take a user out of a group: what they reach by it ends."""
    await people.leave_group(scope, str(group_id), str(user_id))
