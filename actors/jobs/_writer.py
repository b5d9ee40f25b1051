"""The group-commit writer: one thread owns the connection, and what queued up meanwhile shares a commit.

    callers --> open batch --> thread: begin, apply, apply, ..., commit --> every caller hears its outcome

A commit that reaches the disk takes as long for one operation as for a hundred. The batch is whatever
was asked for during the previous commit; there is no timer. If an operation goes wrong in a way it
should not, the batch is rolled back and its operations are made one by one, so that a poisonous one
fails alone.

A database in another process takes as long to be asked once as for a hundred rows, too. So operations
that are `Together` are handed to it kind by kind, before all others: they were all asked for at the
same time, so no caller can tell.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from queue import SimpleQueue
from threading import Lock
from typing import Generic, Protocol, TypeVar, cast

import anyio
import anyio.abc
import anyio.from_thread
import anyio.lowlevel
import anyio.to_thread

from ._errors import JobError, StoreError

ResultT = TypeVar("ResultT")


class Connection(Protocol):
    """A connection to a database, used by one thread."""

    def begin(self) -> None:
        """Begin a transaction, on a new connection if the old one broke."""
        ...

    def commit(self) -> bool:
        """Make it last; returns whether it has news for who waits for a change."""
        ...

    def rollback(self) -> bool:
        """Undo it, if one is open; returns whether the connection was lost meanwhile. Must not raise."""
        ...

    def close(self) -> None:
        """Close the connection. Must not raise."""
        ...


ConnectionT = TypeVar("ConnectionT", bound=Connection)


class Together(ABC, Generic[ConnectionT, ResultT]):
    """An operation that is made together with others of its class."""

    @classmethod
    @abstractmethod
    def apply(
        cls, connection: ConnectionT, operations: Sequence[Together[ConnectionT, ResultT]]
    ) -> Sequence[ResultT | JobError]:
        """Make *operations*; returns what each returned, or why it was refused and has changed nothing."""

    def __call__(self, connection: ConnectionT) -> ResultT:
        """Make it alone."""
        (outcome,) = self.apply(connection, [self])
        if isinstance(outcome, JobError):
            raise outcome
        return outcome


@dataclass(slots=True, eq=False)
class _Outcome:
    value: object = None
    error: Exception | None = None


@dataclass(slots=True, eq=False)
class _Batch(Generic[ConnectionT]):
    """Operations that share a transaction, and the event that tells their callers it is over."""

    operations: list[Callable[[ConnectionT], object]] = field(default_factory=list)
    is_closed: bool = False
    """The thread has it: nothing is added any more."""
    over: anyio.Event = field(default_factory=anyio.Event)
    outcomes: list[_Outcome] = field(default_factory=list)
    has_news: bool = False


class Writer(Generic[ConnectionT]):
    """Make operations on one connection, in the order they are asked for.

    Args:
        name: The store's, for errors.
        connect: Opens the connection, on the writer's thread.
        committed: Called on the loop after a batch with news was stored.
    """

    def __init__(
        self,
        name: str,
        connect: Callable[[], ConnectionT],
        committed: Callable[[], object] = lambda: None,
    ) -> None:
        self._name = name
        self._connect = connect
        self._committed = committed
        self._lock = Lock()
        self._is_running = False
        self._open: _Batch[ConnectionT] | None = None
        self._batches: SimpleQueue[_Batch[ConnectionT] | None] = SimpleQueue()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Run the thread; in the end make what is still asked for, and close the connection.

        Raises:
            StoreError: The connection can't be opened.
        """
        connection = await anyio.to_thread.run_sync(self._connect)
        token = anyio.lowlevel.current_token()
        self._is_running = True
        async with anyio.create_task_group() as group:
            group.start_soon(self._run_thread, connection, token)
            try:
                yield
            finally:
                with self._lock:
                    self._is_running = False
                    self._open = None
                    self._batches.put(None)

    async def _run_thread(self, connection: ConnectionT, token: anyio.lowlevel.EventLoopToken) -> None:
        # A limiter of its own: it lives as long as the store, and should not take a place from others.
        limiter = anyio.CapacityLimiter(1)
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._work, connection, token, limiter=limiter)

    async def do(self, operation: Callable[[ConnectionT], ResultT]) -> ResultT:
        """Have *operation* made in a transaction; returns what it returned, once that is stored.

        An operation that raises `JobError` must have changed nothing. Cancelled while it waits, it may
        have happened or not.

        Raises:
            StoreError: The store can't be used, or is not open.
        """
        with self._lock:
            if not self._is_running:
                problem = "it is not open: use it inside `async with store.opened():`"
                raise StoreError(self._name, problem, is_passing=False)
            batch = self._open
            if batch is None or batch.is_closed:
                batch = self._open = _Batch()
                self._batches.put(batch)
            place = len(batch.operations)
            batch.operations.append(operation)
        await batch.over.wait()
        outcome = batch.outcomes[place]
        if outcome.error is not None:
            raise outcome.error
        return cast("ResultT", outcome.value)

    # --- on the thread ------------------------------------------------------------------------------

    def _work(self, connection: ConnectionT, token: anyio.lowlevel.EventLoopToken) -> None:
        try:
            while (batch := self._batches.get()) is not None:
                with self._lock:
                    batch.is_closed = True
                batch.outcomes, batch.has_news = _make(connection, batch.operations)
                anyio.from_thread.run_sync(self._finish, batch, token=token)
        finally:
            connection.close()

    def _finish(self, batch: _Batch[ConnectionT]) -> None:
        batch.over.set()
        if batch.has_news:
            self._committed()


def _make(
    connection: ConnectionT,
    operations: Sequence[Callable[[ConnectionT], object]],
    *,
    is_again: bool = False,
) -> tuple[list[_Outcome], bool]:
    try:
        connection.begin()
    except Exception as error:  # noqa: BLE001 - the database's state, which every caller is told
        # Not one by one: each would wait for the same lock, or for the same server, once more.
        connection.rollback()
        return [_Outcome(error=error) for _ in operations], False
    try:
        return _apply(connection, operations), connection.commit()
    except Exception as error:  # noqa: BLE001 - a poisonous operation, or the database itself
        if connection.rollback() and not is_again:
            # Nobody's fault here: the server was started anew, perhaps. A new connection may do.
            return _make(connection, operations, is_again=True)
        if len(operations) == 1:
            return [_Outcome(error=error)], False
    alone = [_make(connection, [operation]) for operation in operations]
    return [outcome for outcomes, _ in alone for outcome in outcomes], any(has_news for _, has_news in alone)


def _apply(connection: ConnectionT, operations: Sequence[Callable[[ConnectionT], object]]) -> list[_Outcome]:
    outcomes: dict[int, _Outcome] = {}
    kinds: dict[type, list[int]] = {}
    for place, operation in enumerate(operations):
        if isinstance(operation, Together):
            kinds.setdefault(type(operation), []).append(place)
    for kind, places in kinds.items():
        made = cast("type[Together[ConnectionT, object]]", kind).apply(
            connection, [cast("Together[ConnectionT, object]", operations[place]) for place in places]
        )
        outcomes.update(zip(places, map(_outcome, made), strict=True))
    for place, operation in enumerate(operations):
        if place not in outcomes:
            outcomes[place] = _apply_one(connection, operation)
    return [outcomes[place] for place in range(len(operations))]


def _outcome(made: object) -> _Outcome:
    return _Outcome(error=made) if isinstance(made, JobError) else _Outcome(made)


def _apply_one(connection: ConnectionT, operation: Callable[[ConnectionT], object]) -> _Outcome:
    try:
        return _Outcome(operation(connection))
    except JobError as error:
        if isinstance(error, StoreError):
            raise
        return _Outcome(error=error)  # refused, and nothing was changed
