"""The ASGI application: every operation of the table under both base paths."""

from __future__ import annotations

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route, Router
from starlette.types import ASGIApp

from engine.api import errors, openapi
from engine.api.endpoint import Endpoint, Handler
from engine.api.host import Host
from engine.api.routes import (
    audit,
    buffers,
    defaults,
    engine,
    events,
    git,
    permissions,
    pool,
    retention,
    runs,
    script_changes,
    scripts,
    sync,
)
from engine.models import ErrorBody
from engine.registry import BASE, COMPAT_BASE, OPERATIONS, Operation

HANDLERS: dict[Operation, Handler] = {
    **runs.HANDLERS,
    **engine.HANDLERS,
    **pool.HANDLERS,
    **scripts.HANDLERS,
    **script_changes.HANDLERS,
    **defaults.HANDLERS,
    **permissions.HANDLERS,
    **buffers.HANDLERS,
    **git.HANDLERS,
    **sync.HANDLERS,
    **retention.HANDLERS,
    **audit.HANDLERS,
    **events.HANDLERS,
    **openapi.HANDLERS,
}


def build_app(host: Host) -> ASGIApp:
    """The application that serves ``host``'s engine."""
    router = Router([_route(operation, host) for operation in OPERATIONS], redirect_slashes=False)
    app = Starlette(
        routes=[Mount(BASE, app=router), Mount(COMPAT_BASE, app=router)],
        exception_handlers={404: _no_route, 405: _wrong_method},
    )
    app.router.redirect_slashes = False
    return app


def _route(operation: Operation, host: Host) -> Route:
    endpoint = Endpoint(operation, HANDLERS[operation], host)
    route = Route(operation.path, endpoint, methods=[operation.method], name=operation.name)
    # Starlette answers HEAD wherever it answers GET; here that would open streams without a body.
    route.methods = {operation.method}
    return route


async def _no_route(request: Request, error: Exception) -> Response:  # noqa: ARG001 - Starlette's signature
    return _refusal(404, errors.not_found(request.method, request.url.path))


async def _wrong_method(request: Request, error: Exception) -> Response:
    allowed = (error.headers or {}).get("Allow", "") if isinstance(error, HTTPException) else ""
    response = _refusal(405, errors.wrong_method(request.method, request.url.path, allowed))
    response.headers["Allow"] = allowed
    return response


def _refusal(status: int, body: ErrorBody) -> Response:
    return Response(msgspec.json.encode(body), status, media_type="application/json")
