"""The portal as users have it: a process, commands beside it, and Clients at its socket."""

from __future__ import annotations

import json

import pytest
from tests.portal.running import Running, join, wait_for
from websockets.exceptions import InvalidStatus


def test_a_command_is_told_to_clients_and_a_crash_forgets_nothing(running: Running) -> None:
    with running.client(running.tokens["client"]) as client:
        first = join(client)
        assert first["resources"] == []
        address = ("--address", "wiki.corp.example", "--site", "main")
        running.command("resource", "create", "wiki", *address, "--json")
        grant = ("policy", "create", "--group", "everyone", "--resource", "wiki", "--json")
        policy = running.command(*grant)["policy"]
        resource = wait_for(client, "resource_created_or_updated")
        assert resource["address"] == "wiki.corp.example"

        running.command("policy", "disable", policy["id"], "--json")
        assert wait_for(client, "resource_deleted") == resource["id"]

    running.command("policy", "enable", policy["id"], "--json")
    running.kill()
    with running.client(running.tokens["client"]) as client:
        again = join(client)
        assert [one["id"] for one in again["resources"]] == [resource["id"]]
        assert again["interface"] == first["interface"]
        [device] = running.command("device", "list", "--json")["devices"]
        assert device["online"]
        [token] = [
            one
            for one in running.command("token", "list", "--json")["tokens"]
            if one["kind"] == "client"
        ]
        running.command("token", "revoke", token["id"], "--json")
        assert wait_for(client, "disconnect") == {"reason": "token_expired"}
    with pytest.raises(InvalidStatus) as refused:
        running.client(running.tokens["client"])
    assert refused.value.response.status_code == 401
    assert json.loads(refused.value.response.body or b"")["code"] == "invalid_token"
