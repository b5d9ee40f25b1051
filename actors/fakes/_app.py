"""The web application of one fake: the provider's paths, and below ``/_fake`` the ones to steer it by."""

from __future__ import annotations

from functools import partial

import trio
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route as WebRoute

from ._desk import desk_routes
from ._dialects import Call, Route
from ._fake import Fake
from ._log import Ending
from ._plan import FaultKind
from ._prompts import asks_for_stream
from ._verdicts import Verdict
from ._wire import Hang, Reset, Streaming, plain, response_for

_DRAIN_SECONDS = 5.0


def build_app(fake: Fake) -> Starlette:
    """Build the application of *fake*."""
    routes = [_provider_route(fake, route) for route in fake.dialect.routes]

    async def no_such_path(request: Request, error: Exception) -> Response:
        return plain(fake.refuse(FaultKind.NOT_FOUND))

    return Starlette(routes=[*routes, *desk_routes(fake)], exception_handlers={404: no_such_path})


def _provider_route(fake: Fake, route: Route) -> WebRoute:
    async def endpoint(request: Request) -> Response:
        try:
            body = await _read(request, fake.spec.options.max_body)
        except ClientDisconnect:
            return Response()  # nobody reads it
        return await _serve(fake, fake.admit(_call(request, route, body)))

    return WebRoute(route.path, endpoint, methods=[route.method])


async def _serve(fake: Fake, verdict: Verdict) -> Response:
    """Wait as long as the verdict says, and return what it says."""
    match verdict.fault:
        case FaultKind.HANG:
            return Hang(verdict.hang_seconds, partial(fake.complete, verdict))
        case FaultKind.RESET:
            fake.complete(verdict, Ending(0))
            return Reset()
        case fault:
            await trio.sleep(verdict.delay)
            reply = fake.reply(verdict)
            if reply.stream is not None and fault is not FaultKind.WRONG_LENGTH:
                course = fake.course(verdict, reply.stream)
                return Streaming(reply, course, partial(fake.complete, verdict))
            # Complete before sending: a client that has its answer finds the log up to date, and
            # its next request is never counted as a second one at the same time.
            fake.complete(verdict, Ending(reply.status))
            return response_for(fault, reply)


async def _read(request: Request, most: int) -> bytes | None:
    """Read the body; None: it is larger than *most* bytes, and the rest has been thrown away."""
    body = bytearray()
    is_oversized = False
    with trio.move_on_after(_DRAIN_SECONDS) as scope:
        async for chunk in request.stream():
            body += chunk
            if len(body) > most:
                is_oversized = True
                body.clear()
    return None if is_oversized or scope.cancelled_caught else bytes(body)


def _call(request: Request, route: Route, body: bytes | None) -> Call:
    return Call(
        operation=route.operation,
        method=request.method,
        path=request.url.path,
        params=request.path_params,
        headers=dict(request.headers),
        body=body or b"",
        query=request.query_params.multi_items(),
        is_seated=route.is_seated,
        is_public=route.is_public,
        is_oversized=body is None,
        streams=route.streams or asks_for_stream(body or b""),
    )
