"""Several applications in one database, each in a schema of its own."""

import anyio
import psycopg
import pytest

from relight.actors.jobs import Query, Store, store_from_url
from relight.bench.postgres import PostgresServer

from .faults import begin, new, until, works

pytestmark = pytest.mark.anyio

TABLES = "SELECT count(*) FROM pg_tables WHERE tablename LIKE 'relight%' AND schemaname = '{}'"


async def numbers(store: Store) -> list[str]:
    return [job.id for job in await store.jobs(Query())]


async def test_two_applications_see_nothing_of_each_other(postgres: PostgresServer) -> None:
    database = postgres.new_database()
    dsn = postgres.dsn(database)
    one, other = store_from_url(f"{dsn}&schema=one"), store_from_url(f"{dsn}&schema=other")
    async with one.opened(), other.opened(), store_from_url(dsn).opened():
        await one.enqueue([new(1)])
        assert await numbers(other) == []
        await works(other, 1)
        await works(one, 2)
        assert [await numbers(store) for store in (one, other)] == [["job-00002", "job-00001"], ["job-00001"]]
        assert len(await other.events("0")) == 4
    for schema in ("one", "other", "public"):
        assert int(postgres.sql(TABLES.format(schema), database)) >= 10
    async with store_from_url(f"{dsn}&schema=one").opened():  # what is there is not made again
        pass


async def test_they_do_not_wait_for_each_other(postgres: PostgresServer) -> None:
    """A claim locks, so that limits hold, and those of another schema are other limits."""
    dsn = postgres.dsn(postgres.new_database())
    one, other = store_from_url(f"{dsn}&schema=one"), store_from_url(f"{dsn}&schema=other")
    async with one.opened(), other.opened():
        await works(one, 1)
        with psycopg.connect(dsn) as holder, psycopg.connect(dsn, autocommit=True) as watcher:
            # As if a claim of `one` took its time.
            holder.execute("SET search_path = one")
            await one.enqueue([new(2)])
            holder.execute("LOCK TABLE relight_queue IN ACCESS EXCLUSIVE MODE")
            async with anyio.create_task_group() as group:
                group.start_soon(begin, one)
                waits = "SELECT 1 FROM pg_locks WHERE NOT granted"
                await until(lambda: bool(watcher.execute(waits).fetchall()))
                await works(other, 1)
                holder.rollback()


async def test_the_schema_of_a_url_goes_with_its_other_options(postgres: PostgresServer) -> None:
    database = postgres.new_database()
    url = f"{postgres.tcp_dsn(database)}?connect_timeout=20&schema=j%6Fbs&application_name=comics"
    store = store_from_url(url)
    async with store.opened():
        await works(store, 1)
        where = f"application_name = 'comics' AND datname = '{database}'"
        seen = f"SELECT count(*) FROM pg_stat_activity WHERE {where}"
        await until(lambda: int(postgres.sql(seen)) == 3)
    assert int(postgres.sql(TABLES.format("jobs"), database)) >= 10
