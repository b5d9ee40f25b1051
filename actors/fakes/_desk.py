"""The paths below ``/_fake``, by which a test or a demo steers a running fake."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ._fake import Fake
from ._outages import Outage
from ._plan import FaultPlan
from ._replies import json_reply
from ._steps import Step
from ._wire import plain

T = TypeVar("T")


class TopUp(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Pay for *requests* more; None: for all to come."""

    requests: int | None = None


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """No options."""


def desk_routes(fake: Fake) -> list[Route]:
    """Return the routes that steer *fake*."""

    async def log(request: Request) -> Response:
        after = request.query_params.get("after", "0")
        return plain(json_reply(200, fake.log(int(after) if after.isdecimal() else 0)))

    async def statistics(request: Request) -> Response:
        del request
        return plain(json_reply(200, fake.statistics()))

    return [
        Route("/_fake/log", log, methods=["GET"]),
        Route("/_fake/statistics", statistics, methods=["GET"]),
        _order("script", list[Step], fake.script),
        _order("plan", FaultPlan, fake.set_plan),
        _order("outage", Outage, fake.start_outage),
        _order("top-up", TopUp, lambda order: fake.top_up(order.requests)),
        _order("reset", Nothing, lambda _: fake.reset()),
    ]


def _order(name: str, type_: type[T], obey: Callable[[T], None]) -> Route:
    """Make the route that reads an order of *type_* as JSON and obeys it."""
    decoder = msgspec.json.Decoder(type_)

    async def endpoint(request: Request) -> Response:
        try:
            obey(decoder.decode(await request.body() or b"{}"))
        except ValueError as error:  # also msgspec's, for JSON that is no such order
            return plain(json_reply(400, {"error": str(error)}))
        return plain(json_reply(200, {}))

    return Route(f"/_fake/{name}", endpoint, methods=["POST"])
