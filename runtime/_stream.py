"""Streams: replies that come in parts, from a handler that is an async generator.

    consumer <-- chunks (bounded) <-- sink <-- handler
        parks in the ask's own slot         parks in a turn while the buffer is full

The ask's slot is the envelope as with every request, so deadline, crash, stop and refusal end a
stream the way they end an ask. The handler's side waits while the consumer has not read: that is
the backpressure, down to the socket the handler reads.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from functools import wraps
from types import TracebackType
from typing import TYPE_CHECKING, Generic, Self, TypeVar, cast

from ._current import current_request
from ._messages import Message
from ._parking import Slot

if TYPE_CHECKING:
    from ._inlet import Inlet

ChunkT = TypeVar("ChunkT")

BUFFER = 16
"""Chunks a handler may be ahead of its consumer."""


class Stream(ABC, Generic[ChunkT]):
    """A reply that comes in parts. Made by `Ref.stream`; enter it once, then iterate over it.

        async with ref.stream(Tell(story)) as chunks:
            async for chunk in chunks:
                print(chunk)

    Leaving the block early ends the stream: a service's attempt is cancelled, a plain actor's
    handler is closed at its next chunk. What is read after a wait that was cancelled is an error.
    """

    @abstractmethod
    async def __aenter__(self) -> Self:
        """Send the request."""

    @abstractmethod
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Leave the stream, at its end or before."""

    def __aiter__(self) -> Self:
        """Iterate over the chunks."""
        return self

    @abstractmethod
    async def __anext__(self) -> ChunkT:
        """Wait for the next chunk.

        Raises:
            StopAsyncIteration: The stream has ended well.
            Exception: It has not: whatever an ask would have raised. All chunks before were delivered.
        """


class Sink:
    """Where a handler's chunks go."""

    __slots__ = ("_chunks", "_new_turn", "_room", "_slot", "delivered", "newest")

    def __init__(self, slot: Slot, new_turn: Callable[[], Slot]) -> None:
        self._slot = slot
        self._new_turn = new_turn
        self._chunks: deque[object] = deque()
        self._room: Slot | None = None
        self.delivered = 0
        """Chunks handed over. From the first on, the request can't be begun anew unnoticed."""
        self.newest: object = None
        """The last one handed over."""

    def __len__(self) -> int:
        return len(self._chunks)

    async def put(self, chunk: object) -> bool:
        """Hand over *chunk* and wait while the consumer is far behind; False when it has left."""
        if self._slot.done:
            return False
        self._chunks.append(chunk)
        self.newest = chunk
        self.delivered += 1
        self._slot.wake()
        while len(self._chunks) >= BUFFER and not self._slot.done:
            self._room = self._new_turn()
            await self._room
        return not self._slot.done

    def take(self) -> object:
        """Take the oldest chunk. There is one."""
        chunk = self._chunks.popleft()
        self.make_room()
        return chunk

    def make_room(self) -> None:
        """Let the handler go on, to its next chunk or to the news that nobody reads."""
        room, self._room = self._room, None
        if room is not None:
            room.resolve()


def sink_of(slot: Slot) -> Sink | None:
    """Return where the chunks of this request go; None where it is an ask for one reply."""
    return slot.sink if isinstance(slot.sink, Sink) else None


class CellStream(Stream[ChunkT]):
    """The stream of one request to a cell."""

    __slots__ = ("_cell", "_has_ended", "_is_left", "_message", "_sink", "_slot", "_timeout")

    def __init__(self, cell: Inlet, message: Message, timeout: float | None) -> None:
        self._cell = cell
        self._message = message
        self._timeout = timeout
        self._slot: Slot | None = None
        self._sink: Sink | None = None
        self._has_ended = False
        """Its consumer knows how it ended."""
        self._is_left = False

    async def __aenter__(self) -> Self:
        """Send the request.

        Raises:
            MailboxClosedError: The actor has stopped.
            RefusalError: Its guard refuses the request.
        """
        if self._slot is not None:
            raise RuntimeError("a stream can be entered once: call ref.stream() again")
        kernel = self._cell.kernel
        slot = kernel.slot(self._message, self._cell)
        slot.sink = self._sink = Sink(slot, kernel.slot)
        self._slot = slot
        self._cell.post(slot, self._timeout)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Leave the stream, at its end or before."""
        self._leave()

    async def __anext__(self) -> ChunkT:
        """Wait for the next chunk."""
        slot, sink = self._slot, self._sink
        if slot is None or sink is None:
            raise RuntimeError("enter the stream first: async with ref.stream(...) as chunks")
        if self._is_left:
            raise RuntimeError("the stream was left, or a wait for its next chunk was cancelled")
        while not sink:
            if slot.done:
                raise self._end(slot)
            try:
                await slot
            except BaseException as error:
                if error is not slot.error:  # the consumer was cancelled
                    self._leave()
                    raise
        return cast("ChunkT", sink.take())

    def _end(self, slot: Slot) -> BaseException:
        is_news, self._has_ended = not self._has_ended, True
        return slot.error if is_news and slot.error is not None else StopAsyncIteration()

    def _leave(self) -> None:
        if self._slot is None or self._is_left:
            return
        self._is_left = True
        if not self._has_ended:
            self._slot.done = True
            self._cell.asker_left(self._slot)


Generate = Callable[[object, Message], AsyncGenerator[object, None]]


def streaming(method: Generate) -> Callable[[object, Message], Coroutine[object, object, object]]:
    """Make an async generator a handler: its chunks go to the stream that asks, or into the reply."""

    @wraps(method)
    async def handle(actor: object, message: Message) -> object:
        request = current_request.get()
        # By identity: after an ask, the variable still holds it while the next message is a told one.
        sink = sink_of(request) if request is not None and request.message is message else None
        async with aclosing(method(actor, message)) as chunks:
            if sink is None:
                return [chunk async for chunk in chunks]
            async for chunk in chunks:
                if not await sink.put(chunk):
                    break
        return None

    return handle
