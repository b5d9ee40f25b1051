"""What the server sees of a session."""

import psycopg

from relight.actors.jobs._postgres_session import PostgresSession
from relight.bench.postgres import PostgresServer


def test_between_two_statements_the_server_knows_that_a_transaction_is_idle(postgres: PostgresServer) -> None:
    # Else it would not end that of a process that is stopped, and nobody could claim until it goes on.
    dsn = postgres.dsn(postgres.new_database())
    session = PostgresSession(dsn, "store", 30.0, is_writer=True)
    session.begin()
    session.lock_claims()
    first, second = session.ask("SELECT 1"), session.ask("SELECT 2")
    assert (first(), second()) == ([(1,)], [(2,)])
    seen = "SELECT state FROM pg_stat_activity WHERE query = 'SELECT 2' AND datname = current_database()"
    with psycopg.connect(dsn, autocommit=True) as other:
        assert other.execute(seen).fetchall() == [("idle in transaction",)]
    session.close()
