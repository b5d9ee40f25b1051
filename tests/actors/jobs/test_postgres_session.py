"""What the server sees of a session."""

from collections.abc import Callable
from pathlib import Path
from typing import cast

import psycopg
import pytest

from relight.actors.jobs import StoreError
from relight.actors.jobs._postgres_route import Route
from relight.actors.jobs._postgres_session import PostgresSession
from relight.actors.jobs._postgres_setup import LOCKS, Database
from relight.bench.postgres import PostgresServer

from .poolers import PgBouncer


def database_at(dsn: str) -> Database:
    return Database(dsn, "store", 30.0, schema=None)


def session_at(dsn: str, route: Route | None = None) -> PostgresSession:
    return PostgresSession(database_at(dsn), route or Route(), is_writer=True)


def test_between_two_statements_the_server_knows_that_a_transaction_is_idle(dsn: str) -> None:
    # Else it would not end that of a process that is stopped, and nobody could claim until it goes on.
    session = session_at(dsn)
    session.begin()
    session.lock_claims()
    first, second = session.ask("SELECT 1"), session.ask("SELECT 2")
    assert (first(), second()) == ([(1,)], [(2,)])
    seen = "SELECT state FROM pg_stat_activity WHERE query = 'SELECT 2' AND datname = current_database()"
    with psycopg.connect(dsn, autocommit=True) as other:
        assert other.execute(seen).fetchall() == [("idle in transaction",)]
    session.close()


def test_nothing_is_sent_before_an_answer_is_wanted(dsn: str) -> None:
    # A process that is stopped with half a transaction sent would hold its locks, and no timeout ends it.
    session = session_at(dsn)
    session.begin()
    session.lock_claims()
    answer = session.ask("SELECT 1")
    is_free = "SELECT pg_try_advisory_lock(%s), pg_advisory_unlock(%s)"
    with psycopg.connect(dsn, autocommit=True) as other:
        assert other.execute(is_free, (LOCKS["claims"], LOCKS["claims"])).fetchall() == [(True, True)]
        assert answer() == [(1,)]
        assert other.execute("SELECT pg_try_advisory_lock(%s)", (LOCKS["claims"],)).fetchall() == [(False,)]
    session.rollback()
    session.close()


def test_a_session_makes_one_transaction_after_another(dsn: str) -> None:
    session = session_at(dsn)
    for _ in range(2):  # the pipeline stays open between transactions
        session.begin()
        session.tell("job-1", "q", None, "enqueued", b"{}")
        session.tell("job-1", "q", None, "started", b"{}")
        assert session.commit()
    session.begin()
    kinds = session.rows("SELECT kind FROM relight_event ORDER BY seq")
    assert kinds == [("enqueued",), ("started",)] * 2
    session.rollback()
    session.close()


def test_each_piece_of_a_transaction_ends_with_one_sync(postgres: PostgresServer, tmp_path: Path) -> None:
    """A second one behind the end of a transaction would be answered to another client of a pooler."""
    session = session_at(postgres.dsn(postgres.new_database()))
    connection = cast("psycopg.Connection", vars(session)["_connection"])
    with (tmp_path / "trace").open("w+") as trace:
        connection.pgconn.trace(trace.fileno())
        session.begin()
        session.lock_claims()
        session.rows("SELECT 1")
        session.announce()
        session.commit()
        session.begin()
        with pytest.raises(StoreError):
            session.rows("SELECT nothing")
        session.rollback()
        connection.pgconn.untrace()
        messages = [line.split("\t")[3] for line in (tmp_path / "trace").read_text().splitlines()]
    session.close()
    # Two of the first; one of the second, whose rollback is a simple query.
    assert messages.count("Sync") == 3
    assert messages.count("ReadyForQuery") == 4


SEEN = "SELECT current_setting('enable_seqscan'), (SELECT count(*) > 0 FROM pg_prepared_statements)"


@pytest.mark.parametrize("is_writer", [True, False])
def test_behind_a_pooler_there_is_no_session_until_one_was_seen(
    postgres: PostgresServer, pool: Callable[[str], PgBouncer], *, is_writer: bool
) -> None:
    dsn, route = pool("session").dsn(postgres.new_database()), Route()
    writer = session_at(dsn, route)
    session = writer if is_writer else PostgresSession(database_at(dsn), route, is_writer=False)
    scans = "off" if is_writer else "on"

    def look() -> object:
        session.begin()
        (found,) = session.rows(SEEN)
        session.commit()
        return found

    assert {look() for _ in range(10)} == {(scans, False)}
    route.proofs += 1
    assert [look() for _ in range(10)][-1] == (scans, True)
    session.begin()
    assert session.rows("SELECT current_setting('statement_timeout')") == [("30s",)]
    session.rollback()
    for one in (writer, session):
        one.close()


def test_a_prepared_statement_that_is_gone_is_a_session_that_is_lost(postgres: PostgresServer) -> None:
    """Another client's would be carried out in its place, had it the same name."""
    session = session_at(postgres.dsn(postgres.new_database()))
    for _ in range(6):
        session.begin()
        assert session.rows("SELECT 'mine'") == [("mine",)]
        session.commit()
    session.begin()
    prepared = "SELECT name FROM pg_prepared_statements WHERE statement LIKE '%mine%'"
    ((name,),) = session.rows(prepared)
    assert len(str(name)) > len("_pg3_1000000")  # no other session has the like
    session.send(f'DEALLOCATE "{name}"')
    with pytest.raises(StoreError, match="is it running") as caught:
        session.rows("SELECT 'mine'")
    assert caught.value.is_passing
    assert session.rollback()  # lost: begin on another one
    session.begin()
    assert session.rows("SELECT 'mine'") == [("mine",)]
    session.rollback()
    session.close()


def test_a_server_that_says_nothing_is_waited_for_as_long_as_a_statement_may_take(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server sees to that itself, unless it is stopped, or a pooler that stands before it waits."""
    monkeypatch.setattr("relight.actors.jobs._postgres_connection._GRACE", 0.2)
    dsn = postgres.dsn(postgres.new_database())
    session = PostgresSession(Database(dsn, "store", 0.1, schema=None), Route(), is_writer=True)
    session.begin()
    session.rows("SELECT set_config('statement_timeout', '0', true)")
    with pytest.raises(StoreError, match=r"no answer within 0\.3 seconds") as caught:
        session.rows("SELECT pg_sleep(60)")
    assert caught.value.is_passing
    assert session.rollback()
    session.close()
