"""What the page shows, and what its forms do."""

from __future__ import annotations

import asyncio
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic import ValidationError
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from firezone.errors import AccessDenied, FirezoneError
from firezone.portal.database import Actor, DatabaseFailed
from firezone.portal.inputs import PolicyChange, PolicyInput, ResourceInput, TokenInput
from firezone.portal.outputs import DeviceOutput, PolicyOutput, ResourceOutput, moment
from firezone.portal.store import access, devices, network, people, tokens
from firezone.portal.store.records import current_access, read_audit

from .attempts import MOST_OF_ADDRESS, MOST_OF_USER, Attempts
from .sign_in import Visitor, form_of, keep, own_form, sign_in, sign_out, visitor

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.applications import Starlette
    from starlette.requests import Request

    from firezone.portal.database import Scope
    from firezone.portal.store import Store

__all__ = ["add_page"]

_HEADERS: Final = {
    "content-security-policy": "default-src 'none'; style-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
}
_AUDIT_LINES: Final = 100
_pages: Final = Environment(
    loader=PackageLoader("firezone.portal", "page/templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_pages.filters["moment"] = lambda value: "" if value is None else moment(value)


def add_page(app: Starlette) -> None:
    """Give an application the page.

    Args:
        app: Its state has `store`, `clock` and `url` once it serves.
    """
    app.state.attempts_of_address = Attempts(MOST_OF_ADDRESS)
    app.state.attempts_of_user = Attempts(MOST_OF_USER)
    # Passwords that are checked at the same time: each takes 64 MiB.
    app.state.hashing = asyncio.Semaphore(2)
    app.router.routes.extend(
        [
            Route("/", _guarded(_overview)),
            Route("/tokens", _guarded(_tokens)),
            Route("/tokens", _guarded(_create_token), methods=["POST"]),
            Route("/audit", _guarded(_audit)),
            Route("/resources", _guarded(_create_resource), methods=["POST"]),
            Route("/policies", _guarded(_create_policy), methods=["POST"]),
            Route("/policies/{policy_id}/{what}", _guarded(_switch_policy), methods=["POST"]),
            Route("/sign-out", _guarded(_sign_out), methods=["POST"]),
            Route("/sign-in", _sign_in_page),
            Route("/sign-in", _sign_in, methods=["POST"]),
            Route("/style.css", _style),
        ]
    )


def _page(name: str, status: int = 200, /, **given: Any) -> HTMLResponse:
    text = _pages.get_template(name).render(**given)
    return HTMLResponse(text, status, headers=dict(_HEADERS))


def _to(where: str) -> RedirectResponse:
    return RedirectResponse(where, 303, headers=dict(_HEADERS))


async def _style(_request: Request) -> Response:
    text = files("firezone.portal.page").joinpath("templates/style.css").read_text()
    return Response(text, media_type="text/css", headers={"cache-control": "max-age=3600"})


def _guarded(
    show: Callable[[Request, Visitor], Awaitable[Response]],
) -> Callable[[Request], Awaitable[Response]]:
    """Let in who has signed in, and show errors as a page."""

    async def guarded(request: Request) -> Response:
        who = None
        try:
            who = await visitor(request)
            if who is None:
                return _to("/sign-in")
            return await show(request, who)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            reason = str(first["msg"]).removeprefix("Value error, ")
            text = f"{'.'.join(map(str, first['loc']))}: {reason}".removeprefix(": ")
            return _page("error.html", 422, who=who, text=text, hint=None)
        except DatabaseFailed:
            text = "the database does not work"
            return _page("error.html", 503, who=None, text=text, hint="try again in a moment")
        except FirezoneError as error:
            status = 403 if isinstance(error, AccessDenied) else 409
            return _page("error.html", status, who=who, text=str(error), hint=error.hint)

    return guarded


def _now(request: Request) -> int:
    return int(request.app.state.clock())


def _store(request: Request) -> Store:
    store: Store = request.app.state.store
    return store


async def _change(request: Request, who: Visitor, work: Callable[[Scope], Awaitable[Any]]) -> Any:
    actor = Actor(f"user {who.email}")
    async with _store(request).change(who.account, actor, _now(request)) as scope:
        return await work(scope)


async def _overview(request: Request, who: Visitor) -> Response:
    async with _store(request).read(who.account, _now(request)) as scope:
        found: dict[str, list[Any]] = {
            "devices": [DeviceOutput.of(one) for one in await devices.list_devices(scope)],
            "resources": [ResourceOutput.of(one) for one in await network.list_resources(scope)],
            "policies": [PolicyOutput.of(one) for one in await access.list_policies(scope)],
            "access": await current_access(scope),
            "groups": await people.list_groups(scope),
            "sites": await network.list_sites(scope),
        }
    names = {
        one.id: one.name
        for kind in ("devices", "resources", "groups", "sites")
        for one in found[kind]
    }
    return _page("overview.html", **{"who": who, "names": names, **found})


async def _tokens(request: Request, who: Visitor, made: dict[str, str] | None = None) -> Response:
    async with _store(request).read(who.account, _now(request)) as scope:
        return _page(
            "tokens.html",
            who=who,
            made=made,
            now=_now(request),
            tokens=await tokens.list_tokens(scope),
            users=await people.list_users(scope),
            sites=await network.list_sites(scope),
        )


async def _create_token(request: Request, who: Visitor) -> Response:
    form = await own_form(request, who)
    given = TokenInput.model_validate({name: value for name, value in form.items() if value})
    _, secret = await _change(request, who, lambda scope: tokens.create_token(scope, given))
    url = request.app.state.url or f"ws://{request.headers.get('host', '')}"
    program = {"gateway": "firezone gateway run", "client": "firezone client up"}.get(given.kind)
    line = f"FIREZONE_API_URL={url} FIREZONE_TOKEN={secret} {program}" if program else ""
    return await _tokens(request, who, {"token": secret, "line": line})


async def _audit(request: Request, who: Visitor) -> Response:
    given = request.query_params.get("before", "")
    before = int(given) if given.isascii() and given.isdigit() and len(given) < 18 else None  # noqa: PLR2004 - digits
    async with _store(request).read(who.account, _now(request)) as scope:
        lines = await read_audit(scope, before=before, limit=_AUDIT_LINES)
    older = f"/audit?{urlencode({'before': lines[-1].id})}" if len(lines) == _AUDIT_LINES else None
    return _page("audit.html", who=who, lines=lines, older=older)


async def _create_resource(request: Request, who: Visitor) -> Response:
    form = await own_form(request, who)
    filters = form.pop("filters", "").replace(",", " ").split()
    values = {name: value for name, value in form.items() if value}
    given = ResourceInput.model_validate({**values, "filters": filters})
    await _change(request, who, lambda scope: network.create_resource(scope, given))
    return _to("/")


async def _create_policy(request: Request, who: Visitor) -> Response:
    form = await own_form(request, who)
    conditions = {
        "time_windows": [line for line in [form.pop("window", "").strip()] if line],
        "remote_ip": form.pop("remote_ip", "").replace(",", " ").split(),
        "client_verified": form.pop("verified", "") == "yes",
    }
    values = {name: value for name, value in form.items() if value}
    given = PolicyInput.model_validate({**values, "conditions": conditions})
    await _change(request, who, lambda scope: access.create_policy(scope, given))
    return _to("/")


async def _switch_policy(request: Request, who: Visitor) -> Response:
    await own_form(request, who)
    policy_id, what = request.path_params["policy_id"], request.path_params["what"]
    if what not in {"disable", "enable"}:
        raise AccessDenied("a policy is enabled or disabled")
    given = PolicyChange(disabled=what == "disable")
    await _change(request, who, lambda scope: access.change_policy(scope, policy_id, given))
    return _to("/")


async def _sign_out(request: Request, who: Visitor) -> Response:
    await form_of(request)
    response = _to("/sign-in")
    await sign_out(request, response, who)
    return response


async def _sign_in_page(request: Request) -> Response:
    several = len(await _store(request).accounts()) > 1
    return _page("sign_in.html", who=None, several=several, text=None)


async def _sign_in(request: Request) -> Response:
    state = request.app.state
    several = len(await _store(request).accounts()) > 1
    try:
        form = await form_of(request)
    except AccessDenied as error:
        return _page("error.html", 403, who=None, text=str(error), hint=error.hint)
    email, now = form.get("email", "")[:255], _now(request)
    address = "" if request.client is None else request.client.host
    tried: list[tuple[Attempts, str]] = [
        (state.attempts_of_address, address),
        (state.attempts_of_user, email.strip().lower()),
    ]
    wait = max(attempts.wait(now, key) for attempts, key in tried)
    if wait:
        text = f"too many wrong passwords; try again in {wait} seconds"
        answer = _page("sign_in.html", 429, who=None, several=several, text=text)
        answer.headers["retry-after"] = str(wait)
        return answer
    # Counted before it is looked at: many at once are many.
    for attempts, key in tried:
        attempts.failed(now, key)
    token = await sign_in(request, email, form.get("password", ""), form.get("account", "")[:63])
    if token is None:
        text = "the address or the password is wrong"
        return _page("sign_in.html", 401, who=None, several=several, text=text)
    for attempts, key in tried:
        attempts.succeeded(key)
    response = _to("/")
    keep(request, response, token)
    return response
