"""What the server sees of a session."""

import psycopg

from relight.actors.jobs._postgres_session import PostgresSession
from relight.actors.jobs._postgres_setup import LOCKS


def test_between_two_statements_the_server_knows_that_a_transaction_is_idle(dsn: str) -> None:
    # Else it would not end that of a process that is stopped, and nobody could claim until it goes on.
    session = PostgresSession(dsn, "store", 30.0, is_writer=True)
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
    session = PostgresSession(dsn, "store", 30.0, is_writer=True)
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
    session = PostgresSession(dsn, "store", 30.0, is_writer=True)
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
