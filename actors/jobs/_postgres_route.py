"""What stands between a store and its server: nothing, or a pooler. Imported only where the store is.

A pooler in transaction mode gives a connection to others after each transaction. A setting then holds for
somebody else, a prepared statement is gone or another's, and LISTEN is heard by nobody. No pooler says in
which mode it is. But:

- It gives out backend numbers of its own, so its clients know it from a server.
- Only who has a session of its own hears a notification while it sits idle.

So whoever is behind a pooler does without a session, until a notification was heard: then the connections
that were open by that time are sessions. Whatever becomes of the pooler, nothing is taken for a session that
was not seen to be one.
"""

from __future__ import annotations

from typing import cast

import psycopg

from ._sql_rows import Row


class Route:
    """What a store's connections have found out about the way to its server.

    They run on threads of their own; each writes one thing, and reads what others write.
    """

    def __init__(self) -> None:
        self.is_pooled = False
        """The newest connection went through a pooler."""
        self.proofs = 0
        """How often a notification was heard through a pooler: its clients have sessions of their own."""

    def __str__(self) -> str:
        if not self.is_pooled:
            return ""
        return ", behind a pooler" if self.proofs else ", behind a pooler that shares sessions"

    def is_direct(self, connection: psycopg.Connection[Row]) -> bool:
        """Tell whether a new connection is the server's own, or a pooler's.

        Raises:
            psycopg.Error: It gave no answer.
        """
        rows = connection.execute("SELECT pg_backend_pid()", prepare=False).fetchall()
        is_direct = cast("int", rows[0][0]) == connection.info.backend_pid
        self.is_pooled = not is_direct
        return is_direct
