"""Errors as problem documents (RFC 9457), with the codes that sessions use too."""

from __future__ import annotations

import http
from typing import TYPE_CHECKING, Any, Final

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from firezone.errors import AccessDenied, FirezoneError
from firezone.portal.database import Conflict, DatabaseFailed, NotFound
from firezone.portal.interface import TokenRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastapi import FastAPI, Request

__all__ = ["Problem", "add_handlers", "problem"]


class Problem(FirezoneError):
    """An answer that is an error.

    Args:
        status: Of HTTP.
        code: For programs.
        message: For people.
        hint: What to do next.
    """

    def __init__(self, status: int, code: str, message: str, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.code = code


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> JSONResponse:
    """Return a problem document."""
    body = {
        "type": "about:blank",
        "title": http.HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
        **{name: value for name, value in more.items() if value is not None},
    }
    return JSONResponse(
        body, status, headers=dict(headers or {}), media_type="application/problem+json"
    )


def add_handlers(app: FastAPI) -> None:
    """Let an application answer with problem documents."""
    app.add_exception_handler(FirezoneError, _firezone)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _plain)


_STATUSES: Final[tuple[tuple[type[FirezoneError], int, str], ...]] = (
    (AccessDenied, 403, "forbidden"),
    (NotFound, 404, "not_found"),
    (Conflict, 409, "conflict"),
    (FirezoneError, 400, "invalid_request"),
)
"""The first that fits counts."""


async def _firezone(request: Request, error: Exception) -> JSONResponse:
    """Answer with what one of our own errors says."""
    hint = getattr(error, "hint", None)
    if isinstance(error, Problem):
        return problem(error.status, error.code, str(error), hint=hint)
    if isinstance(error, TokenRefused):
        bearer = {"WWW-Authenticate": "Bearer"}
        return problem(401, error.code, str(error), headers=bearer, hint=hint)
    if isinstance(error, DatabaseFailed):
        # What exactly is wrong is for the log, not for whoever asks.
        request.app.state.log.error(str(error), event_name="database.failed", hint=hint)
        later = {"Retry-After": "2"}
        return problem(503, "database_failed", "the database does not work", headers=later)
    found = ((status, code) for kind, status, code in _STATUSES if isinstance(error, kind))
    status, code = next(found, (500, "internal_error"))
    return problem(status, code, str(error), hint=hint)


async def _invalid(_request: Request, error: Exception) -> JSONResponse:
    """Say which fields are wrong, and never what was given: it may be a secret."""
    found = error.errors() if isinstance(error, RequestValidationError) else []
    fields = [
        {
            "field": ".".join(str(part) for part in one["loc"] if part not in {"body", "query"}),
            "reason": str(one["msg"]).removeprefix("Value error, "),
        }
        for one in found
    ]
    first = fields[0] if fields else {"field": "", "reason": "it cannot be read"}
    detail = f"{first['field'] or 'the request'}: {first['reason']}"
    return problem(422, "invalid_input", detail, errors=fields)


async def _plain(_request: Request, error: Exception) -> JSONResponse:
    """Answer what the framework refuses by itself: no such path, no such method."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = error.headers if isinstance(error, HTTPException) else None
    codes = {404: "not_found", 405: "method_not_allowed"}
    detail = http.HTTPStatus(status).phrase.lower()
    return problem(status, codes.get(status, "invalid_request"), detail, headers=headers)
