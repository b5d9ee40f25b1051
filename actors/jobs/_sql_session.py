"""What the SQL stores need of a database connection, whichever dialect it speaks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from ._sql_rows import Row


class SqlSession(Protocol):
    """One connection, used by one thread. Statements are written with ``?`` for their values."""

    def begin(self) -> None:
        """Begin a transaction that may write."""
        ...

    def commit(self) -> bool:
        """Make it last; returns whether it has news for who waits for a change."""
        ...

    def rollback(self) -> bool:
        """Undo it, if one is open; returns whether the connection was lost meanwhile. Must not raise."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...

    def now(self) -> float:
        """Return the store's clock: seconds since 1970."""
        ...

    def run(self, sql: str, values: Sequence[object] = ()) -> int:
        """Run one statement; returns how many rows it touched."""
        ...

    def send(self, sql: str, values: Sequence[object] = ()) -> None:
        """Run one statement that needs no answer: it may travel with the next, and fail only then."""
        ...

    def rows(self, sql: str, values: Sequence[object] = ()) -> list[Row]:
        """Run one statement that returns rows."""
        ...

    def ask(self, sql: str, values: Sequence[object] = ()) -> Callable[[], list[Row]]:
        """Run one statement that returns rows, which are fetched later: so that several travel together."""
        ...

    def lock_claims(self) -> None:
        """Let no other process claim until this transaction ends: limits are counted, not stored."""
        ...

    def skip_locked(self) -> str:
        """Return what is added to a SELECT of jobs to be changed, to leave out those others change."""
        ...

    def locked(self) -> str:
        """Return what is added to a SELECT of jobs to be changed, so that they stay as they were read."""
        ...

    def tell(self, job: str, queue: str, user: str | None, kind: str, data: bytes) -> None:
        """Store an event, in this transaction: JSON *data*."""
        ...

    def announce(self) -> None:
        """Say that this transaction has news for who waits for a change; `tell` says so, too."""
        ...

    def first_cursor(self) -> str:
        """Return the cursor before the oldest event there is."""
        ...

    def last_cursor(self) -> str:
        """Return the cursor after every event that can be read now."""
        ...

    def events(
        self, after: str, conditions: str, values: Sequence[object], most: int
    ) -> list[tuple[str, Row]]:
        """Return events after a cursor, in an order that no later commit can insert into."""
        ...

    def prune_events(self, before: float, most: int) -> None:
        """Delete up to *most* events before a moment, the oldest."""
        ...

    def prune_ledger(self, before: float, most: int) -> int:
        """Delete up to *most* entries of the ledger before a moment, the oldest; returns how many."""
        ...

    def is_pruned(self, cursor: str) -> bool:
        """Tell whether events after *cursor* may have been deleted."""
        ...
