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

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from queue import SimpleQueue
from threading import Lock
from typing import Generic, Protocol, TypeVar, cast

import anyio
import anyio.to_thread

from ...runtime import Backend, Slot, current_backend
from ._errors import JobError, StoreError

ResultT = TypeVar("ResultT")
WriteT = TypeVar("WriteT")


class UndecidedError(StoreError):
    """Nobody can tell whether a transaction was committed: what it holds must not be made again."""


class Connection(Protocol):
    """A connection to a database, used by one thread."""

    def begin(self) -> None:
        """Begin a transaction, on a new connection if the old one broke."""
        ...

    def commit(self) -> bool:
        """Make it last; returns whether it has news for who waits for a change.

        Raises:
            UndecidedError: It may have been committed or not.
        """
        ...

    def rollback(self) -> bool:
        """Undo it, if one is open; returns whether the connection was lost meanwhile. Must not raise."""
        ...

    def close(self) -> None:
        """Close the connection. Must not raise."""
        ...


ConnectionT = TypeVar("ConnectionT", bound=Connection)


@dataclass(slots=True, frozen=True)
class Together(Generic[ConnectionT, WriteT, ResultT]):
    """An operation that is made together with others of its kind."""

    apply: Callable[[ConnectionT, Sequence[WriteT]], Sequence[ResultT | JobError]]
    """Its kind: makes many, and returns what each returned, or why it was refused and changed nothing."""
    write: WriteT

    def __call__(self, connection: ConnectionT) -> ResultT:
        """Make it alone."""
        (outcome,) = self.apply(connection, [self.write])
        if isinstance(outcome, JobError):
            raise outcome
        return outcome


@dataclass(slots=True, eq=False)
class _Outcome:
    value: object = None
    error: Exception | None = None


@dataclass(slots=True, eq=False)
class _Batch(Generic[ConnectionT]):
    """Operations that share a transaction, and the slots in which their callers wait."""

    operations: list[Callable[[ConnectionT], object]] = field(
        default_factory=list[Callable[[ConnectionT], object]]
    )
    slots: list[Slot] = field(default_factory=list[Slot])
    is_closed: bool = False
    """The thread has it: nothing is added any more."""


_AnyTogether = Together[ConnectionT, object, object]


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
        if self._is_running:
            problem = (
                "it is open already: a worker opens its store by itself, so give others one of their own"
            )
            raise StoreError(self._name, problem, is_passing=False)
        connection = await anyio.to_thread.run_sync(self._connect)
        self._backend = backend = current_backend()
        self._is_running = True
        failure: Exception | None = None
        async with anyio.create_task_group() as group:
            group.start_soon(self._run_thread, connection, backend)
            try:
                yield
            except Exception as error:  # noqa: BLE001 - handed on below, not wrapped in the group's own
                failure = error
            finally:
                with self._lock:
                    self._is_running = False
                    self._open = None
                    self._batches.put(None)
        if failure is not None:
            raise failure

    async def _run_thread(self, connection: ConnectionT, backend: Backend) -> None:
        # A limiter of its own: it lives as long as the store, and should not take a place from others.
        limiter = anyio.CapacityLimiter(1)
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._work, connection, backend, limiter=limiter)

    async def do(self, operation: Callable[[ConnectionT], ResultT]) -> ResultT:
        """Have *operation* made in a transaction; returns what it returned, once that is stored.

        An operation that raises `JobError` must have changed nothing. Cancelled while it waits, it may
        have happened or not.

        Raises:
            StoreError: The store can't be used, or is not open.
        """
        with self._lock:
            if not self._is_running:
                problem = "it is not open: start a worker, or use it inside `async with store.opened():`"
                raise StoreError(self._name, problem, is_passing=False)
            batch = self._open
            if batch is None or batch.is_closed:
                batch = self._open = _Batch()
                self._batches.put(batch)
            slot = self._backend.slot()
            batch.operations.append(operation)
            batch.slots.append(slot)
        return cast("ResultT", await slot)

    # --- on the thread ------------------------------------------------------------------------------

    def _work(self, connection: ConnectionT, backend: Backend) -> None:
        try:
            while (batch := self._batches.get()) is not None:
                with self._lock:
                    batch.is_closed = True
                outcomes, has_news = _make(connection, batch.operations)
                backend.run_soon(partial(self._finish, batch.slots, outcomes, has_news=has_news))
        finally:
            connection.close()

    def _finish(self, slots: Sequence[Slot], outcomes: Sequence[_Outcome], *, has_news: bool) -> None:
        for slot, outcome in zip(slots, outcomes, strict=True):
            slot.resolve(outcome.value, outcome.error)
        if has_news:
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
        if connection.rollback() and not is_again:
            return _make(connection, operations, is_again=True)
        return [_Outcome(error=error) for _ in operations], False
    try:
        return _apply(connection, operations), connection.commit()
    except Exception as error:  # noqa: BLE001 - a poisonous operation, or the database itself
        is_lost = connection.rollback()
        if isinstance(error, UndecidedError):
            return [_Outcome(error=error) for _ in operations], False
        if is_lost and not is_again:
            # Nobody's fault here: the server was started anew, perhaps. A new connection may do.
            return _make(connection, operations, is_again=True)
        if len(operations) == 1:
            return [_Outcome(error=error)], False
    alone = [_make(connection, [operation]) for operation in operations]
    return [outcome for outcomes, _ in alone for outcome in outcomes], any(has_news for _, has_news in alone)


def _apply(connection: ConnectionT, operations: Sequence[Callable[[ConnectionT], object]]) -> list[_Outcome]:
    outcomes: dict[int, _Outcome] = {}
    kinds: dict[object, list[int]] = {}
    for place, operation in enumerate(operations):
        if isinstance(operation, Together):
            kinds.setdefault(cast("_AnyTogether[ConnectionT]", operation).apply, []).append(place)
    for places in kinds.values():
        asked = [cast("_AnyTogether[ConnectionT]", operations[place]) for place in places]
        made = asked[0].apply(connection, [one.write for one in asked])
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
