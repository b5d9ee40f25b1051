"""Recorder: a ref that keeps what it is sent."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from math import inf
from types import TracebackType
from typing import Self, TypeVar, cast, overload

import anyio

from ..runtime import (
    NORMAL,
    ActorState,
    ActorStatistics,
    ActorStoppedError,
    AskTimeoutError,
    DeadlineExceededError,
    ExitReason,
    MailboxClosedError,
    MailboxFullError,
    Message,
    Ref,
    Request,
    Stream,
    StreamRequest,
    current_request,
)
from ._looking import Patience

ReplyT = TypeVar("ReplyT")
ChunkT = TypeVar("ChunkT")
MessageT = TypeVar("MessageT", bound=Message)

CAPACITY = 1024
"""What errors say a recorder's mailbox holds."""
CALL_TIMEOUT = 5.0
"""Seconds an ask without a timeout waits for a reply, as with a plain actor."""


class Recorder(Ref):
    """A ref that keeps what it is sent and answers as it is told to. Needs no system.

    Give it to the code under test in place of an actor's ref. What is told is kept in `messages`; so is
    what is asked, and an ask waits for its reply: one scripted before, or one given while it waits.
    An ask that gets none ends at its deadline, as with an actor that hangs.

    Args:
        path: What it calls itself.
        info: What it says its ``started`` returned.
    """

    def __init__(self, path: str = "recorder", *, info: object = None) -> None:
        self._path = path
        self._info = info
        self.messages: list[Message] = []
        """Everything taken, told and asked, in order."""
        self._taken: set[int] = set()
        self._replies: dict[type[Message], deque[object]] = {}
        self._asks: list[_Ask] = []
        self._line: deque[_Place] = deque()
        self._is_full = False
        self._reason: ExitReason | None = None

    def __repr__(self) -> str:
        return f"<Recorder {self._path}: {len(self.messages)} messages>"

    # --- what the test does ------------------------------------------------------------------------

    def of(self, kind: type[MessageT]) -> list[MessageT]:
        """List the messages of this type, subclasses included."""
        return [message for message in self.messages if isinstance(message, kind)]

    @overload
    async def next(self, kind: None = None, *, timeout: float = 5.0) -> Message: ...
    @overload
    async def next(self, kind: type[MessageT], *, timeout: float = 5.0) -> MessageT: ...

    async def next(self, kind: type[Message] | None = None, *, timeout: float = 5.0) -> Message:
        """Return the next message, waiting for it. Each is returned once, those before the wait too.

        Args:
            kind: Only messages of this type; others stay for later.
            timeout: Seconds.

        Raises:
            AssertionError: None came in time. The text lists what did come and was not taken.
        """
        patience = Patience(timeout)
        wanted = Message if kind is None else kind
        while True:
            for index, message in enumerate(self.messages):
                if index not in self._taken and isinstance(message, wanted):
                    self._taken.add(index)
                    return message
            if patience.is_over:
                others = [message for index, message in enumerate(self.messages) if index not in self._taken]
                seen = f"there are {others}" if others else "nothing else is there"
                raise AssertionError(f"{self._path}: no {wanted.__name__} within {timeout:g} s; {seen}")
            await patience.wait()

    def reply(
        self,
        kind: type[Request[ReplyT]],
        *replies: ReplyT | Exception | Callable[[Request[ReplyT]], ReplyT | Awaitable[ReplyT]],
    ) -> None:
        """Answer asks of this type, subclasses included, from now on, and those that wait already.

        Args:
            kind: The request's type. A later call for the same type replaces what is left of the earlier.
            *replies: One an ask, in order; the last one stays. Each is a value, an exception, which the
                asker gets as it is, or a function of the request, which may be ``async``.
        """
        if not replies:
            raise ValueError(f"{self._path}: reply({kind.__name__}) needs at least one reply")
        self._replies[kind] = deque(replies)
        for ask in tuple(self._asks):
            if isinstance(ask.message, kind) and not ask.has_reply:
                self._answer(ask)

    def fill(self) -> None:
        """Have no room: ``tell_nowait`` raises `MailboxFullError`, ``tell`` and ``ask`` wait."""
        self._is_full = True

    def drain(self) -> None:
        """Have room again; who waits for it is taken in, in order."""
        self._is_full = False
        while self._line:
            place = self._line.popleft()
            self.messages.append(place.message)
            place.moved.set()

    def close(self, reason: ExitReason = NORMAL) -> None:
        """Be an actor that has stopped: sending raises, who waits for a reply or for room gets an error.

        Args:
            reason: What those errors say.
        """
        if self._reason is None:
            self._reason = reason
        for ask in tuple(self._asks):
            ask.set(ActorStoppedError(self, ask.message, self._reason))
        while self._line:
            self._line.popleft().moved.set()

    # --- what the code under test does (Ref) -----------------------------------------------------------

    @property
    def path(self) -> str:
        """What it calls itself."""
        return self._path

    @property
    def is_alive(self) -> bool:
        """Tell whether it takes messages: until `close` or `stop`."""
        return self._reason is None

    @property
    def info(self) -> object:
        """What it was made with."""
        return self._info

    async def tell(self, message: Message) -> None:
        """Keep *message*; wait while it is full."""
        self._check_open(message)
        if self._is_full:
            await self._wait_for_room(message)
        else:
            self.messages.append(message)

    def tell_nowait(self, message: Message) -> None:
        """Keep *message*, or raise when it is full or closed."""
        self._check_open(message)
        if self._is_full:
            raise MailboxFullError(self, message, CAPACITY)
        self.messages.append(message)

    async def ask(self, message: Request[ReplyT], *, timeout: float | None = None) -> ReplyT:
        """Keep *message* and return its scripted reply; see `Ref.ask`.

        An exception scripted as the reply is raised as it is.
        """
        self._check_open(message)
        now = anyio.current_time()
        seconds = CALL_TIMEOUT if timeout is None else timeout
        due = min(now + seconds, _inherited())
        if due <= now:
            raise _too_late(self, message, seconds)
        is_taken = False
        with anyio.CancelScope(deadline=due):
            if self._is_full:
                await self._wait_for_room(message)
            else:
                self.messages.append(message)
            is_taken = True
            return await self._reply_to(message)
        if not is_taken:
            raise _too_late(self, message, due - now)
        error = AskTimeoutError(self, message, due - now)
        error.add_note(f"The recorder was given no reply: recorder.reply({type(message).__name__}, ...)")
        raise error

    def stream(self, message: StreamRequest[ChunkT], *, timeout: float | None = None) -> Stream[ChunkT]:
        """Keep *message* and deliver its scripted reply, a list of chunks, one by one."""
        return _RecordedStream(self, message, timeout)

    async def stop(self, reason: ExitReason = NORMAL, *, timeout: float | None = None) -> None:
        """Close."""
        self.close(reason)

    def statistics(self) -> ActorStatistics:
        """Count what was kept: all is handled but asks that wait for a reply."""
        asking = len(self._asks)
        return ActorStatistics(
            state=ActorState.RUNNING if self._reason is None else ActorState.STOPPED,
            accepted=len(self.messages),
            handled=len(self.messages) - asking,
            crashed=0,
            dead_letters=0,
            abandoned=0,
            late_replies=0,
            queued=0,
            queued_peak=0,
            waiting=len(self._line),
            in_hand=asking,
            capacity=CAPACITY,
            restarts=0,
        )

    # --- inside ------------------------------------------------------------------------------------------

    def _check_open(self, message: Message) -> None:
        if self._reason is not None:
            raise MailboxClosedError(self, message, self._reason)

    async def _wait_for_room(self, message: Message) -> None:
        place = _Place(message)
        self._line.append(place)
        try:
            await place.moved.wait()
        except BaseException:
            if place in self._line:
                self._line.remove(place)
            raise
        self._check_open(message)

    async def _reply_to(self, message: Request[ReplyT]) -> ReplyT:
        ask = _Ask(message)
        self._asks.append(ask)
        try:
            self._answer(ask)
            await ask.answered.wait()
            reply = ask.reply
            if callable(reply):
                reply = reply(message)
            if isawaitable(reply):
                reply = await cast("Awaitable[object]", reply)
        finally:
            self._asks.remove(ask)
        if isinstance(reply, Exception):
            raise reply
        return cast("ReplyT", reply)

    def _answer(self, ask: _Ask) -> None:
        for kind in type(ask.message).__mro__:
            replies = self._replies.get(kind)
            if replies is not None:
                ask.set(replies[0] if len(replies) == 1 else replies.popleft())
                return


class _RecordedStream(Stream[ChunkT]):
    """A stream whose chunks are all there when its block is entered."""

    def __init__(self, recorder: Recorder, message: StreamRequest[ChunkT], timeout: float | None) -> None:
        self._asking = (recorder, message, timeout)
        self._chunks: deque[ChunkT] = deque()

    async def __aenter__(self) -> Self:
        recorder, message, timeout = self._asking
        self._chunks.extend(await recorder.ask(message, timeout=timeout))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._chunks.clear()

    async def __anext__(self) -> ChunkT:
        if not self._chunks:
            raise StopAsyncIteration
        return self._chunks.popleft()


class _Ask:
    """An ask that waits for its reply."""

    def __init__(self, message: Request[object]) -> None:
        self.message = message
        self.answered = anyio.Event()
        self.has_reply = False
        self.reply: object = None

    def set(self, reply: object) -> None:
        if not self.has_reply:
            self.has_reply = True
            self.reply = reply
            self.answered.set()


class _Place:
    """A sender that waits for room."""

    def __init__(self, message: Message) -> None:
        self.message = message
        self.moved = anyio.Event()


def _inherited() -> float:
    """Return the moment at which the request in hand ends, if the caller is a handler of one."""
    outer = current_request.get()
    return inf if outer is None or outer.done else outer.limit


def _too_late(ref: Ref, message: Message, seconds: float) -> DeadlineExceededError:
    problem = f"{type(message).__name__} not taken: its deadline ({seconds:.3g} s) passed first"
    return DeadlineExceededError(ref.path, problem)
