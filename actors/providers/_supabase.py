"""Supabase: rows and functions of a project's database, through PostgREST."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import ClassVar
from urllib.parse import quote

import msgspec

from ...runtime import Message, handles
from ...supervisors import FailureKind, ProviderError, current_attempt
from ...supervisors.policies import Concurrency, Exponential, Policy, Retry
from .._classification import ErrorTable
from .._http_messages import HttpReply, HttpRequest
from .._probe import Probe
from .._secret import Secret
from ._supabase_errors import DUPLICATE, SUPABASE_ERRORS, may_be_done
from ._supabase_filters import row_path
from ._supabase_messages import (
    CallFunction,
    DeleteRows,
    FunctionResult,
    InsertRows,
    Rows,
    SelectRows,
    UpdateRows,
    UpsertRows,
    columns_of,
)
from ._supabase_project import MOST_BYTES, SupabaseProject, judged

_MOST_DOUBTS = 1024
_MINIMAL = "return=minimal"


class Supabase(SupabaseProject):
    """Stand for the database of a Supabase project. `SupabaseStorage` stands for its files.

    Reading is tried again after trouble that passes. Writing is not, once it may have been done:
    only when there was no connection, or PostgREST says that it had none to the database. An upsert,
    and an insert whose key the caller has made, do no harm a second time and are tried again as
    reading is. It takes any :class:`HttpRequest` too.
    """

    provider: ClassVar[str] = "supabase"
    policy: ClassVar[Policy] = Policy(
        retry=Retry(attempts=3, backoff=Exponential(0.5, cap=10.0)),
        concurrency=Concurrency(10),
        attempt_timeout=30.0,
    )
    errors: ClassVar[ErrorTable] = SUPABASE_ERRORS

    def __init__(self, url: str, key: Secret | str | None, *, most_bytes: int = MOST_BYTES) -> None:
        super().__init__(url, key, most_bytes=most_bytes)
        # Inserts with an attempt of which nobody knows whether it was carried out, by their call's key.
        self._doubts: OrderedDict[str, None] = OrderedDict()

    def probe(self, model: str | None = None) -> Probe | None:
        """Look at the root of the rows' API, which lists what it offers."""
        return Probe(request=HttpRequest("GET", "/rest/v1/"), purpose="lists the tables")

    @handles
    async def select(self, message: SelectRows) -> Rows:
        """Read rows."""
        parameters = {
            "select": message.columns,
            "order": message.order,
            "limit": "" if message.limit is None else str(message.limit),
            "offset": "" if message.offset is None else str(message.offset),
            **message.query,
        }
        headers = {"prefer": "count=exact"} if message.is_counted else {}
        path = row_path(message.table, message.where, parameters)
        return self._rows(await self.exchange(HttpRequest("GET", path, headers=headers)))

    @handles
    async def insert(self, message: InsertRows) -> Rows:
        """Store new rows."""
        request = _rows_request("POST", row_path(message.table, (), {}), message.rows, _returned(message))
        return await self._insert_once(message, request) if message.key else await self._write(request)

    @handles
    async def upsert(self, message: UpsertRows) -> Rows:
        """Store rows, or change those that are there."""
        resolution = "ignore-duplicates" if message.is_ignored else "merge-duplicates"
        path = row_path(message.table, (), {"on_conflict": ",".join(message.key)})
        prefer = f"resolution={resolution},{_returned(message)}"
        request = _rows_request("POST", path, message.rows, prefer)
        return await self._write(request, is_repeatable=True)

    @handles
    async def update(self, message: UpdateRows) -> Rows:
        """Change rows."""
        path = row_path(message.table, message.where, {})
        headers = {"prefer": _returned(message)}
        request = HttpRequest("PATCH", path, json=dict(message.values), headers=headers, idempotent=False)
        return await self._write(request, is_repeatable=message.is_repeatable)

    @handles
    async def delete(self, message: DeleteRows) -> Rows:
        """Delete rows."""
        path = row_path(message.table, message.where, {})
        headers = {"prefer": _returned(message)}
        request = HttpRequest("DELETE", path, headers=headers, idempotent=False)
        return await self._write(request, is_repeatable=message.is_repeatable)

    @handles
    async def call(self, message: CallFunction) -> FunctionResult:
        """Call a function of the database."""
        path = f"/rest/v1/rpc/{quote(message.function, safe='')}"
        request = HttpRequest("POST", path, json=dict(message.arguments), idempotent=False)
        with judged(is_repeatable=message.is_repeatable):
            reply = await self.exchange(request)
            return FunctionResult(self.decode(reply, msgspec.Raw) if reply.body else msgspec.Raw(b"null"))

    def is_repeatable(self, message: Message) -> bool:
        """Tell whether *message* may be attempted again after an attempt may have carried it out."""
        match message:
            case InsertRows():
                return bool(message.key)
            case UpdateRows() | DeleteRows() | CallFunction():
                return message.is_repeatable
            case _:
                return super().is_repeatable(message)

    async def _write(self, request: HttpRequest, *, is_repeatable: bool = False) -> Rows:
        with judged(is_repeatable=is_repeatable):
            return self._rows(await self.exchange(request), is_minimal=_is_minimal(request))

    async def _insert_once(self, message: InsertRows, request: HttpRequest) -> Rows:
        """Insert under the caller's own key: a duplicate after an attempt in doubt is the rows themselves."""
        call = current_attempt().idempotency_key
        was_doubted = call in self._doubts
        # Before the attempt: one that is cancelled has no other chance.
        self._doubt(call)
        with judged(is_repeatable=True):
            try:
                rows = self._rows(await self.exchange(request), is_minimal=_is_minimal(request))
            except ProviderError as error:
                if error.code == DUPLICATE and was_doubted:
                    return _echo(message)
                if not was_doubted and not may_be_done(error):
                    self._doubts.pop(call, None)
                raise
        self._doubts.pop(call, None)
        return rows

    def _doubt(self, call: str) -> None:
        self._doubts[call] = None
        if len(self._doubts) > _MOST_DOUBTS:
            self._doubts.popitem(last=False)

    def _rows(self, reply: HttpReply, *, is_minimal: bool = False) -> Rows:
        is_empty = not reply.body and (is_minimal or reply.status == 204)
        rows = () if is_empty else self.decode(reply, tuple[msgspec.Raw, ...])
        if any(bytes(memoryview(row)[:1]) != b"{" for row in rows):
            raise self.failure(FailureKind.INVALID_RESPONSE, "the answer holds something that is no row")
        total = reply.headers.get("content-range", "").rpartition("/")[2]
        return Rows(rows=rows, total=int(total) if total.isdecimal() else None)


def _rows_request(method: str, path: str, rows: Iterable[object], prefer: str) -> HttpRequest:
    sent = [columns_of(row) for row in rows]
    return HttpRequest(method, path, json=sent, headers={"prefer": prefer}, idempotent=False)


def _returned(message: InsertRows | UpsertRows | UpdateRows | DeleteRows) -> str:
    return "return=representation" if message.is_returned else _MINIMAL


def _is_minimal(request: HttpRequest) -> bool:
    return _MINIMAL in request.headers["prefer"]


def _echo(message: InsertRows) -> Rows:
    sent = message.rows if message.is_returned else ()
    return Rows(rows=tuple(msgspec.Raw(msgspec.json.encode(columns_of(row))) for row in sent), is_echo=True)
