"""One client of the notifications, from its hello to its end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from itertools import accumulate
from math import inf
from typing import TYPE_CHECKING, cast

import anyio
import anyio.lowlevel
import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect

from ._credit import Credit
from ._errors import BadTokenError, CursorExpiredError, JobSpecError, StoreError
from ._records import Event
from ._report import event_row
from ._subscription import RESET, Subscription
from ._tokens import EVERYBODY, Claims, read_token

if TYPE_CHECKING:
    from ._live_options import LiveOptions

_LONGEST_DATA = 16 * 1024
"""Bytes of one event's data; more is left out, and said to be."""
BAD_REQUEST, NO_TOKEN, STALLED, ENDING, STORE_AWAY = 4400, 4401, 4408, 4409, 4503


class Hello(msgspec.Struct, frozen=True, kw_only=True, tag_field="op", tag="hello"):
    """What a client says first."""

    token: str
    cursor: str | None = None
    job: str | None = None
    queue: str | None = None
    user: str | None = None
    """Of an operator: whose jobs."""


class Ack(msgspec.Struct, frozen=True, kw_only=True, tag_field="op", tag="ack"):
    """What a client says of the frames it has."""

    n: int


class Refused(Exception):  # noqa: N818 - it ends a session, nobody else sees it
    """The session ends, and this is what the client is told."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Session:
    """Tell one client what happens.

    Args:
        socket: Accepted.
        options: The server's.
        ending: Set when the server ends.
    """

    def __init__(self, socket: WebSocket, options: LiveOptions, ending: anyio.Event) -> None:
        self._socket = socket
        self._options = options
        self._ending = ending
        self._credit = Credit()
        self._acknowledged = anyio.Event()
        self._end: Refused | None = None
        self._cursor: str | None = None

    async def run(self) -> None:
        """Serve it until it leaves, or is made to."""
        try:
            hello, claims = await self._greet()
            subscription = await self._subscribe(hello, claims)
        except Refused as refused:
            await self._close(refused)
            return
        except WebSocketDisconnect:
            return
        async with anyio.create_task_group() as group:
            scope = group.cancel_scope
            group.start_soon(self._until, scope, self._read)
            group.start_soon(self._until, scope, lambda: self._write(subscription, claims))
            group.start_soon(self._until, scope, lambda: self._watch(claims))
        if self._end is not None:
            await self._close(self._end)

    async def _until(self, scope: anyio.CancelScope, part: Callable[[], Awaitable[None]]) -> None:
        try:
            await part()
        except Refused as refused:
            self._end = self._end or refused
        except StoreError:
            self._end = self._end or Refused(STORE_AWAY, "the store can't be read now")
        except WebSocketDisconnect:
            pass
        scope.cancel()

    async def _close(self, refused: Refused) -> None:
        # At most a few bytes more than the credit: it fits into the socket, and does not block.
        await self._socket.close(refused.code, refused.reason)

    # --- the beginning --------------------------------------------------------------------------------

    async def _greet(self) -> tuple[Hello, Claims]:
        with anyio.move_on_after(self._options.patience):
            text = await self._receive()
            try:
                hello = msgspec.json.decode(text, type=Hello)
            except msgspec.MsgspecError as error:
                raise Refused(BAD_REQUEST, f"begin with a hello: {error}"[:100]) from error
            try:
                return hello, read_token(self._options.secret, hello.token, clock=self._options.clock)
            except BadTokenError as error:
                raise Refused(NO_TOKEN, str(error)) from error
        raise Refused(STALLED, "no hello came in time")

    async def _subscribe(self, hello: Hello, claims: Claims) -> Subscription:
        is_operator = claims.user == EVERYBODY
        if hello.user is not None and not is_operator and hello.user != claims.user:
            raise Refused(NO_TOKEN, "the token is another user's")
        # Whatever is asked for, a user hears of their own jobs alone.
        user = hello.user if is_operator else claims.user
        feed = self._options.feed
        try:
            subscription = feed.subscribe(after=hello.cursor, job=hello.job, queue=hello.queue, user=user)
            await subscription.begin()
            if hello.cursor is not None:
                with suppress(CursorExpiredError):  # the subscription says so, with a reset
                    await feed.store.events(hello.cursor, most=1)
        except JobSpecError as error:
            raise Refused(BAD_REQUEST, "the cursor is none of ours") from error
        except StoreError as error:
            raise Refused(STORE_AWAY, "the store can't be read now") from error
        self._cursor = subscription.cursor
        return subscription

    # --- its parts ------------------------------------------------------------------------------------

    async def _read(self) -> None:
        while True:
            try:
                ack = msgspec.json.decode(await self._receive(), type=Ack)
            except msgspec.MsgspecError as error:
                raise Refused(BAD_REQUEST, f"only acks are expected: {error}"[:100]) from error
            if not self._credit.acknowledge(ack.n):
                raise Refused(BAD_REQUEST, f"frame {ack.n} was never sent")
            acknowledged, self._acknowledged = self._acknowledged, anyio.Event()
            acknowledged.set()

    async def _write(self, subscription: Subscription, claims: Claims) -> None:
        await self._send({"op": "ready", "cursor": self._cursor})
        async for event in subscription:
            await self._send(_frame_of(event, claims))
            self._cursor = event.cursor

    async def _watch(self, claims: Claims) -> None:
        """Notice what nobody says: a client that has stopped reading, a token too old, the end."""
        options = self._options
        pause = options.patience / 8
        beaten = anyio.current_time()
        while True:
            with anyio.move_on_after(pause):
                await self._ending.wait()
                raise Refused(ENDING, "the server ends: come again")
            now = anyio.current_time()
            if now - self._credit.oldest() > options.patience:
                raise Refused(STALLED, "no ack came in time")
            if claims.expires_at <= options.clock():
                raise Refused(NO_TOKEN, "the token has expired")
            # Only where nothing is under way: it would wait for credit, and nobody would watch meanwhile.
            if now - beaten >= options.heartbeat and self._credit.oldest() == inf:
                beaten = now
                await self._send({"op": "hb", "cursor": self._cursor})

    # --- frames ---------------------------------------------------------------------------------------

    async def _send(self, fields: dict[str, object]) -> None:
        size = len(msgspec.json.encode(fields)) + 32
        while not self._credit.allows(size):
            await self._acknowledged.wait()
        frame = msgspec.json.encode({"n": self._credit.next_number, **fields})
        self._credit.sent(len(frame), anyio.current_time())
        await self._socket.send_text(frame.decode())
        # A send to a client that has gone neither raises nor yields.
        await anyio.lowlevel.checkpoint()

    async def _receive(self) -> str:
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1006))
        text = message.get("text")
        if not isinstance(text, str):
            raise Refused(BAD_REQUEST, "frames are JSON texts")
        return text


def _frame_of(event: Event, claims: Claims) -> dict[str, object]:
    row = event_row(event)
    data = cast("dict[str, object]", row["data"])
    if claims.user != EVERYBODY:
        data.pop("worker", None)  # names of hosts are no user's business
    size = len(msgspec.json.encode(data))
    if size > _LONGEST_DATA:
        row["data"] = _as_many_as_fit(data) if event.kind == RESET else {"left_out": size}
    return {"op": "event", **row}


def _as_many_as_fit(standing: Mapping[str, object]) -> dict[str, object]:
    """Say how things stand with the newest jobs alone."""
    jobs = cast("Sequence[object]", standing["jobs"])
    sizes = accumulate(len(msgspec.json.encode(job)) + 1 for job in jobs)
    count = sum(size <= _LONGEST_DATA for size in sizes)
    return {"jobs": jobs[:count], "jobs_left_out": len(jobs) - count}
