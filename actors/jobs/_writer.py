"""The group-commit writer: one thread owns the connection, and what queued up meanwhile shares a commit.

    callers --> open batch --> thread: begin, apply, apply, ..., commit --> every caller hears its outcome

A commit that reaches the disk takes as long for one operation as for a hundred. The batch is whatever
was asked for during the previous commit; there is no timer. If an operation goes wrong in a way it
should not, the batch is rolled back and its operations are made one by one, so that a poisonous one
fails alone.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
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
        """Begin a transaction."""
        ...

    def commit(self) -> None:
        """Make it last."""
        ...

    def rollback(self) -> None:
        """Undo it, if one is open. Must not raise."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


ConnectionT = TypeVar("ConnectionT", bound=Connection)


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


class Writer(Generic[ConnectionT]):
    """Make operations on one connection, in the order they are asked for.

    Args:
        connect: Opens the connection, on the writer's thread.
        committed: Called on the loop after a batch that was stored.
    """

    def __init__(
        self, connect: Callable[[], ConnectionT], committed: Callable[[], object] = lambda: None
    ) -> None:
        self._connect = connect
        self._committed = committed
        self._lock = Lock()
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
        async with anyio.create_task_group() as group:
            group.start_soon(self._run_thread, connection, token)
            try:
                yield
            finally:
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
        """
        with self._lock:
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
        while (batch := self._batches.get()) is not None:
            with self._lock:
                batch.is_closed = True
            batch.outcomes = _make(connection, batch.operations)
            anyio.from_thread.run_sync(self._finish, batch, token=token)
        connection.close()

    def _finish(self, batch: _Batch[ConnectionT]) -> None:
        batch.over.set()
        self._committed()


def _make(connection: ConnectionT, operations: list[Callable[[ConnectionT], object]]) -> list[_Outcome]:
    try:
        return _transact(connection, operations)
    except Exception as error:  # noqa: BLE001 - a poisonous operation, or the database itself
        connection.rollback()
        if len(operations) == 1:
            return [_Outcome(error=error)]
    return [outcome for operation in operations for outcome in _make(connection, [operation])]


def _transact(connection: ConnectionT, operations: list[Callable[[ConnectionT], object]]) -> list[_Outcome]:
    connection.begin()
    outcomes = [_apply(connection, operation) for operation in operations]
    connection.commit()
    return outcomes


def _apply(connection: ConnectionT, operation: Callable[[ConnectionT], object]) -> _Outcome:
    try:
        return _Outcome(operation(connection))
    except JobError as error:
        if isinstance(error, StoreError):
            raise
        return _Outcome(error=error)  # refused, and nothing was changed
