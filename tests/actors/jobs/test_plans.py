"""How the databases look for what people and scrapes ask often: never through all the jobs there are."""

import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import cast

import psycopg
import pytest

from relight.actors.jobs import NewJob, PostgresStore, Query, SqliteStore, Store
from relight.actors.jobs import _sql_reads as reads
from relight.actors.jobs._sql_session import SqlSession

pytestmark = pytest.mark.anyio

Explain = Callable[[str, Sequence[object]], str]
ENDED = 20_000
COPY = (
    "INSERT INTO relight_job SELECT id || '-' || n, queue, kind, args, 'succeeded', version, priority, 1, "
    "max_attempts, 1, 0, 1, NULL, created_at, run_at, 1e9, 1e9, NULL, NULL, NULL, 1, NULL, NULL, 0, 1.0, "
    "NULL, NULL, NULL, 0.0, NULL FROM relight_job, {numbers}"
)


class Explained:
    """A session that has each question explained, not answered."""

    def __init__(self, explain: Explain) -> None:
        self._explain = explain
        self.plans: list[str] = []

    def now(self) -> float:
        return 0.0

    def rows(self, sql: str, values: Sequence[object] = ()) -> list[Sequence[object]]:
        self.plans.append(self._explain(sql, values))
        return []


async def fill(store: Store) -> None:
    """Store a queued and a waiting job."""
    async with store.opened():
        await store.enqueue(
            [
                NewJob(id="queued", queue="q", kind="draw", args=b"[]"),
                NewJob(id="waiting", queue="q", kind="draw", args=b"[]", delay=3600.0),
            ]
        )


@pytest.fixture
async def on_sqlite(tmp_path: Path, anyio_backend: object) -> AsyncIterator[Explain]:
    """Fill a file."""
    path = tmp_path / "jobs.db"
    await fill(SqliteStore(path))
    connection = sqlite3.connect(path)
    numbers = (
        f"(WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {ENDED}) SELECT n FROM c)"
    )
    connection.execute(COPY.format(numbers=numbers))

    def explain(sql: str, values: Sequence[object]) -> str:
        plan = connection.execute(f"EXPLAIN QUERY PLAN {sql}", cast("Sequence[str]", values)).fetchall()
        return "\n".join(str(line[3]) for line in plan)

    yield explain
    connection.close()


@pytest.fixture
async def on_postgres(dsn: str, anyio_backend: object) -> Explain:
    """Fill a database."""
    await fill(PostgresStore(dsn))
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(COPY.format(numbers=f"generate_series(1, {ENDED}) AS n").encode())
        connection.execute("ANALYZE")

    def explain(sql: str, values: Sequence[object]) -> str:
        with psycopg.connect(dsn) as connection:
            found = connection.execute(f"EXPLAIN {sql}".replace("?", "%s").encode(), values).fetchall()
        return "\n".join(str(line[0]) for line in found)

    return explain


@pytest.fixture(params=["sqlite", "postgres"])
def explain(request: pytest.FixtureRequest) -> Explain:
    made: Explain = request.getfixturevalue(f"on_{request.param}")
    return made


def scans(plan: str) -> list[str]:
    """Return what of a plan reads a whole table of jobs."""
    lines = [line.strip() for line in plan.splitlines()]
    return [line for line in lines if "Seq Scan on relight_job" in line or line == "SCAN relight_job"]


async def test_queues_are_counted_by_what_they_have_to_do(explain: Explain) -> None:
    session = Explained(explain)
    reads.queues(cast("SqlSession", session), ended=False)
    assert [scans(plan) for plan in session.plans] == [[], [], []]
    for state in ("queued", "waiting", "running", "dead"):
        assert f"relight_job_{state}" in "\n".join(session.plans)


async def test_counting_what_has_ended_reads_all_there_is(explain: Explain) -> None:
    session = Explained(explain)
    reads.queues(cast("SqlSession", session), ended=True)
    assert len([line for plan in session.plans for line in scans(plan)]) == 1


async def test_the_dead_are_grouped_without_a_look_at_all_others(explain: Explain) -> None:
    session = Explained(explain)
    reads.dead_groups(cast("SqlSession", session), Query())
    assert [scans(plan) for plan in session.plans] == [[]]
