"""One call to several providers, as it goes from one to the next."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from math import inf
from types import TracebackType
from typing import Self, TypeVar, cast

import anyio

from ..runtime import (
    AskTimeoutError,
    Message,
    Ref,
    Request,
    Stream,
    StreamRequest,
    current_request,
    redact,
    text_of,
)
from ._adaptation import AnyAdaptation
from ._guarded_cell import GuardedCell
from .policies import Fallback

ChunkT = TypeVar("ChunkT")
OnSwitch = Callable[[Ref, Ref, Message, Exception], None]


class Turns:
    """Whose turn it is, how long it may take, and what those before did. One a call."""

    __slots__ = ("_due", "_failed", "_on_switch", "_place", "_policy", "_refs", "message")

    def __init__(
        self,
        refs: Sequence[Ref],
        policy: Fallback,
        message: Message,
        timeout: float | None,
        on_switch: OnSwitch,
    ) -> None:
        self._refs = refs
        self._policy = policy
        self._on_switch = on_switch
        self._place = 0
        self._failed: list[tuple[Ref, Exception]] = []
        self.message = message
        """What is asked."""
        seconds = policy.call_timeout if timeout is None else timeout
        self._due = min(anyio.current_time() + seconds, _inherited())

    @property
    def ref(self) -> Ref:
        """The provider whose turn it is."""
        return self._refs[self._place]

    @property
    def is_last(self) -> bool:
        """Tell whether there is no provider left after this one."""
        return self._place == len(self._refs) - 1

    @property
    def time_left(self) -> float:
        """Seconds to the deadline of the call."""
        return self._due - anyio.current_time()

    def seconds(self) -> float:
        """Return what the provider may take."""
        return self._policy.turn(self.time_left, is_last=self.is_last)

    def failed(self, error: Exception) -> None:
        """Go on to the next provider, or raise *error* with notes about those before."""
        if self._policy.decide(error, time_left=self.time_left, is_last=self.is_last) == "fail":
            for ref, before in self._failed:
                error.add_note(
                    f"before it, {provider_of(ref)}: {type(before).__name__}: {redact(text_of(before))}"
                )
            if self._failed and error.__cause__ is None:
                error.__cause__ = self._failed[-1][1]
            raise error
        left = self.ref
        self._failed.append((left, error))
        self._place += 1
        self._on_switch(left, self.ref, self.message, error)


class FallbackStream(Stream[ChunkT]):
    """A stream that another provider may begin anew until its first chunk has come."""

    def __init__(self, begin: Callable[[], Turns], adaptation: Callable[[Ref], AnyAdaptation | None]) -> None:
        self._begin = begin
        self._adaptation = adaptation
        self._turns: Turns | None = None
        self._stream: Stream[object] | None = None
        self._translate: Callable[[list[object]], Sequence[object]] = list
        self._ready = deque[object]()
        """Chunks that came and were not read yet."""

    async def __aenter__(self) -> Self:
        """Send the request, and wait for the first chunk of whoever delivers one."""
        if self._turns is not None:
            raise RuntimeError("a stream can be entered once: call ref.stream() again")
        turns = self._turns = self._begin()
        while True:
            try:
                await self._open(turns)
            except Exception as error:  # noqa: BLE001 - raised again unless the next one takes over
                turns.failed(error)
            else:
                return self

    async def _open(self, turns: Turns) -> None:
        adaptation, request = self._adaptation(turns.ref), turns.message
        self._translate = list
        if adaptation is not None:
            request = adaptation.request(cast("Request[object]", request))
            self._translate = cast("Callable[[list[object]], Sequence[object]]", adaptation.reply)
        seconds, left = turns.seconds(), turns.time_left
        stream = turns.ref.stream(cast("StreamRequest[object]", request), timeout=left)
        with anyio.move_on_after(seconds if seconds < left else inf) as patience:
            await stream.__aenter__()
            try:
                self._ready.extend(self._translate([await anext(stream)]))
            except StopAsyncIteration:
                pass  # that it has nothing to say is an answer too
            except BaseException as error:
                await stream.__aexit__(type(error), error, error.__traceback__)
                raise
        if patience.cancelled_caught:
            raise AskTimeoutError(turns.ref, turns.message, seconds)
        self._stream = stream

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Leave the stream, at its end or before."""
        if self._stream is not None:
            await self._stream.__aexit__(kind, error, traceback)

    async def __anext__(self) -> ChunkT:
        """Wait for the next chunk."""
        if self._stream is None:
            raise RuntimeError("enter the stream first: async with ref.stream(...) as chunks")
        while not self._ready:
            self._ready.extend(self._translate([await anext(self._stream)]))
        return cast("ChunkT", self._ready.popleft())


def provider_of(ref: Ref) -> str:
    """Name a provider as metrics and events do: a service by its child's id, anything else by its path."""
    cell = ref.principal
    return cell.provider if isinstance(cell, GuardedCell) else ref.path


def _inherited() -> float:
    """Return the moment at which the request in hand ends, if the caller is a handler of one."""
    outer = current_request.get()
    return inf if outer is None or outer.done else outer.limit
