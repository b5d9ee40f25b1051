"""How Supabase speaks: PostgREST's rows and functions, and Storage's files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

import msgspec

from ._buckets import Buckets
from ._dialects import Call, Circumstances, Route, bearer
from ._limits import RateView
from ._options import FakeSpec
from ._plan import FaultKind
from ._replies import Hint, Reply, html_reply, json_reply
from ._supabase_storage import STORAGE_ROUTES, answer_storage, refuse_storage
from ._tables import Page, Row, SqlError, Table

_CONNECTING = "Could not query the database for the schema cache. Retrying."
_POOL = "Timed out acquiring connection from connection pool."
_LIBRARY = "Could not do what was asked: an internal error of a library."

# Status, code and message; without a code it is the gateway that speaks.
_REFUSALS: Final[Mapping[FaultKind, tuple[int, str, str]]] = {
    FaultKind.RATE_LIMIT: (429, "", "Too many requests"),
    FaultKind.RATE_LIMIT_BARE: (429, "", "Too many requests"),
    FaultKind.SLOW_DOWN: (429, "", "Too many requests"),
    FaultKind.CONCURRENCY: (504, "PGRST003", _POOL),
    FaultKind.OVERLOADED: (504, "PGRST003", _POOL),
    FaultKind.QUOTA: (402, "", "This project is restricted: its organization exceeded its plan"),
    FaultKind.AUTH: (401, "", "Invalid API key"),
    FaultKind.TOO_LARGE: (413, "", "Request too large"),
    FaultKind.BAD_REQUEST: (400, "PGRST100", '"failed to parse filter" (line 1, column 1)'),
    FaultKind.NOT_FOUND: (404, "PGRST205", "Could not find the table in the schema cache"),
    FaultKind.SERVER_ERROR: (500, "PGRSTX00", _LIBRARY),
    FaultKind.UNAVAILABLE: (503, "PGRST002", _CONNECTING),
}


class SupabaseDialect:
    """Speak like a project at supabase.co: ``/rest/v1`` and ``/storage/v1``."""

    routes: tuple[Route, ...] = (
        Route("GET", "/rest/v1/rpc/{function}", "rpc"),
        Route("POST", "/rest/v1/rpc/{function}", "rpc"),
        Route("GET", "/rest/v1/{table}", "select"),
        Route("POST", "/rest/v1/{table}", "insert"),
        Route("PATCH", "/rest/v1/{table}", "update"),
        Route("DELETE", "/rest/v1/{table}", "delete"),
        *STORAGE_ROUTES,
    )
    seats: int | None = None

    def __init__(self, spec: FakeSpec) -> None:
        self._key = spec.key
        self._keys = spec.options.tables
        self._tables: dict[str, Table] = {}
        self._buckets = Buckets()

    def is_authorized(self, headers: Mapping[str, str]) -> bool:
        """Tell whether both apikey and the bearer are the key: the gateway and the database each want one."""
        return headers.get("apikey") == self._key == bearer(headers)

    def answer(self, call: Call, circumstances: Circumstances) -> Reply:
        """Serve rows, a function or a file."""
        del circumstances
        if call.path.startswith("/storage/"):
            return answer_storage(self._buckets, call, self._key)
        try:
            return self._rpc(call) if call.operation == "rpc" else self._rows(call)
        except SqlError as error:
            return _error(error.status, error.code, error.message, error.details)

    def refuse(self, kind: FaultKind, request_id: str, hint: Hint) -> Reply:
        """Build the error *kind*; what Supabase has no word for is a 503."""
        del request_id
        if kind is FaultKind.HTML_ERROR:
            return html_reply(502)
        if hint.operation.startswith("storage_"):
            reply = refuse_storage(kind)
        else:
            reply = _error(*_REFUSALS.get(kind, _REFUSALS[FaultKind.UNAVAILABLE]))
        return reply.with_headers(hint.headers()) if kind is FaultKind.RATE_LIMIT else reply

    def headers(self, request_id: str, rate: RateView, hint: Hint, seconds: float) -> dict[str, str]:
        """Return the id of the request at the gateway."""
        del rate, hint, seconds
        return {"sb-request-id": request_id}

    def jobs(self, now: float) -> dict[str, int]:
        """Return nothing: there are no jobs."""
        del now
        return {}

    def _rpc(self, call: Call) -> Reply:
        function = call.params["function"]
        if function != "echo":
            text = f"Could not find the function public.{function} in the schema cache"
            raise SqlError(404, "PGRST202", text)
        return Reply(
            200, call.body or msgspec.json.encode(dict(call.query)), {"content-type": "application/json"}
        )

    def _rows(self, call: Call) -> Reply:
        table = self._table(call.params["table"])
        prefer = call.headers.get("prefer", "")
        match call.operation:
            case "select":
                return _page(table.select(call.query), is_counted="count=exact" in prefer)
            case "insert":
                rows = table.insert(
                    _sent_rows(call.body), resolution=_resolution(prefer), target=_target(call)
                )
                return _changed(rows, prefer, 201)
            case "update":
                changes = next(iter(_sent_rows(call.body)), Row())
                return _changed(table.update(call.query, changes), prefer, 204)
            case _:
                return _changed(table.delete(call.query), prefer, 204)

    def _table(self, name: str) -> Table:
        table = self._tables.get(name)
        if table is None:
            table = self._tables[name] = Table(name, self._keys.get(name, ("id",)))
        return table


def _sent_rows(body: bytes) -> list[Row]:
    try:
        if body.lstrip().startswith(b"["):
            return msgspec.json.decode(body, type=list[Row])
        return [msgspec.json.decode(body, type=Row)]
    except msgspec.DecodeError:
        raise SqlError(400, "PGRST102", "Empty or invalid json") from None


def _resolution(prefer: str) -> str:
    words = [word.strip() for word in prefer.split(",")]
    return next((word.partition("=")[2] for word in words if word.startswith("resolution=")), "")


def _target(call: Call) -> str:
    return dict(call.query).get("on_conflict", "")


def _page(page: Page, *, is_counted: bool) -> Reply:
    last = page.offset + len(page.rows) - 1
    found = f"{page.offset}-{last}" if page.rows else "*"
    is_part = is_counted and len(page.rows) < page.total
    reply = json_reply(206 if is_part else 200, page.rows)
    return reply.with_headers({"content-range": f"{found}/{page.total if is_counted else '*'}"})


def _changed(rows: list[Row], prefer: str, status: int) -> Reply:
    if "return=representation" in prefer:
        return json_reply(201 if status == 201 else 200, rows)
    return Reply(status, b"")


def _error(status: int, code: str, message: str, details: str | None = None) -> Reply:
    if not code:
        return json_reply(status, {"message": message})
    return json_reply(
        status, cast("Row", {"code": code, "details": details, "hint": None, "message": message})
    )
