"""The ASGI application: our operations under one base path, those of the module's clients under another."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import partial

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route, Router
from starlette.types import ASGIApp

from engine.api import errors, openapi
from engine.api.compat.endpoint import CompatEndpoint, compat_refusal
from engine.api.compat.table import COMPAT_OPERATIONS, compat_services
from engine.api.endpoint import Endpoint
from engine.api.exposition import Exposition
from engine.api.host import EngineHost, HostOperations
from engine.api.idempotency import Repeats
from engine.api.load import RequestLoad
from engine.models.base import ErrorBody
from engine.registry import OPERATIONS
from engine.registry.operation import BASE, COMPAT_BASE
from engine.services.operations import BoundOperation, Row, bind, complete


def build_app(host: EngineHost, operations: Iterable[Row] = OPERATIONS, *services: object) -> ASGIApp:
    """Serve ``operations`` by the methods of ``host``'s engine, of the host itself and of ``services``.

    Raises:
        UnboundOperation: An operation has no method or two, or a method has no operation.
    """
    own = bind(
        [*vars(host.engine).values(), HostOperations(host), openapi.Document(operations), Exposition(host), *services]
    )
    compat = bind(compat_services(host))
    repeats, load = Repeats(), RequestLoad(lambda: host.in_flight)
    app = Starlette(
        routes=[
            _mount(BASE, complete(operations, own), partial(Endpoint, host=host, repeats=repeats, load=load)),
            _mount(
                COMPAT_BASE,
                complete(COMPAT_OPERATIONS, compat),
                partial(CompatEndpoint, host=host, repeats=repeats, load=load),
            ),
        ],
        exception_handlers={404: _no_route, 405: _wrong_method},
    )
    app.router.redirect_slashes = False
    return app


def _mount(base: str, bound: Iterable[BoundOperation], endpoint: Callable[[BoundOperation], Endpoint]) -> Mount:
    router = Router([_route(each, endpoint(each)) for each in bound], redirect_slashes=False)
    mount = Mount(base, app=router)
    _match_to_the_end(mount)
    return mount


def _route(bound: BoundOperation, endpoint: Endpoint) -> Route:
    operation = bound.operation
    route = Route(operation.path, endpoint, methods=[operation.method], name=operation.name)
    # Starlette answers HEAD wherever it answers GET; here that would open streams without a body.
    route.methods = {operation.method}
    _match_to_the_end(route)
    return route


def _match_to_the_end(route: Mount | Route) -> None:
    """Match names with line breaks, too: the operation says what is wrong with such a name."""
    pattern = route.path_regex.pattern.removesuffix("$")
    route.path_regex = re.compile(rf"{pattern}\Z", re.DOTALL)


async def _no_route(request: Request, error: Exception) -> Response:  # noqa: ARG001 - Starlette's signature
    return _refusal(404, request, errors.not_found(request.method, request.url.path))


async def _wrong_method(request: Request, error: Exception) -> Response:
    allowed = (error.headers or {}).get("Allow", "") if isinstance(error, HTTPException) else ""
    response = _refusal(405, request, errors.wrong_method(request.method, request.url.path, allowed))
    response.headers["Allow"] = allowed
    return response


def _refusal(status: int, request: Request, body: ErrorBody) -> Response:
    told = compat_refusal(body) if request.url.path.startswith(f"{COMPAT_BASE}/") else body
    return Response(msgspec.json.encode(told), status, media_type="application/json")
