"""What the SQL stores need of a database connection, whichever dialect it speaks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ._sql_rows import Row


class SqlSession(Protocol):
    """One connection, used by one thread. Statements are written with ``?`` for their values."""

    def begin(self) -> None:
        """Begin a transaction that may write."""
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

    def now(self) -> float:
        """Return the store's clock: seconds since 1970."""
        ...

    def run(self, sql: str, values: Sequence[object] = ()) -> int:
        """Run one statement; returns how many rows it touched."""
        ...

    def rows(self, sql: str, values: Sequence[object] = ()) -> list[Row]:
        """Run one statement that returns rows."""
        ...

    def lock_claims(self) -> None:
        """Let no other process claim until this transaction ends: limits are counted, not stored."""
        ...

    def skip_locked(self) -> str:
        """Return what is added to a SELECT of jobs to be claimed, so that it waits for nobody."""
        ...

    def last_cursor(self) -> str:
        """Return the cursor after every event that can be read now."""
        ...

    def events(
        self, after: str, conditions: str, values: Sequence[object], most: int
    ) -> list[tuple[str, Row]]:
        """Return events after a cursor, in an order that no later commit can insert into."""
        ...

    def is_pruned(self, cursor: str) -> bool:
        """Tell whether events after *cursor* may have been deleted."""
        ...
