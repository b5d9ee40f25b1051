"""The undeliverable messages that the SQL stores keep; see `Store` for what each means."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import cast

from ._dead_message import DeadMessage, may_be_message
from ._dead_records import LetterSource
from ._records import Query
from ._sql_rows import chunks, marks
from ._sql_session import SqlSession

_COLUMNS = "id, source, kind, path, cause, at, process, content"
_KEEP = f"INSERT INTO relight_message ({_COLUMNS}) VALUES ({marks(8)}) ON CONFLICT DO NOTHING"  # noqa: S608
_ALL = 1_000_000_000
"""An OFFSET needs a LIMIT."""


def keep(session: SqlSession, messages: Sequence[DeadMessage], most: int) -> None:
    """Store messages, and delete the oldest beyond *most*."""
    for each in messages:
        values = (
            each.id, str(each.source), each.kind, each.where, each.cause, each.at, each.process, each.content,
        )  # fmt: skip
        session.send(_KEEP, values)
    session.send(
        "DELETE FROM relight_message WHERE id IN (SELECT id FROM relight_message "  # noqa: S608
        f"ORDER BY at DESC, id DESC LIMIT {_ALL} OFFSET ? {session.skip_locked()})",
        (most,),
    )


def read(session: SqlSession, query: Query, most: int) -> list[DeadMessage]:
    """List messages, newest first."""
    if not may_be_message(query):
        return []
    conditions, values = ["1 = 1"], list[object]()
    for column, value in (("path", query.queue), ("kind", query.kind), ("cause", query.cause)):
        if value is not None:
            conditions.append(f"{column} = ?")
            values.append(value)
    if query.ids:
        conditions.append(f"id IN ({marks(len(query.ids))})")
        values.extend(sorted(query.ids))
    sql = (
        f"SELECT {_COLUMNS} FROM relight_message WHERE {' AND '.join(conditions)} "  # noqa: S608
        "ORDER BY at DESC, id DESC LIMIT ?"
    )
    return [_message(*cast("_Row", tuple(row))) for row in session.rows(sql, (*values, most))]


_Row = tuple[str, str, str, str, str, float, str, bytes]


def _message(
    id_: str, source: str, kind: str, path: str, cause: str, at: float, process: str, content: bytes
) -> DeadMessage:
    return DeadMessage(
        id=id_,
        source=LetterSource(source),
        kind=kind,
        where=path,
        cause=cause,
        at=at,
        process=process,
        content=bytes(content),
    )


def forget(session: SqlSession, ids: Collection[str]) -> int:
    """Delete messages; returns how many."""
    return sum(
        session.run(f"DELETE FROM relight_message WHERE id IN ({marks(len(some))})", some)  # noqa: S608
        for some in chunks(sorted(ids))
    )


def prune(session: SqlSession, before: float) -> None:
    """Delete the messages that are older than a moment."""
    session.send("DELETE FROM relight_message WHERE at < ?", (before,))
