"""PostgreSQL behind a pooler, in session and in transaction mode: nothing is lost, doubled or a mystery."""

import signal
import socket
from collections.abc import Callable
from random import Random

import anyio
import anyio.to_thread
import psycopg
import pytest

from relight.actors.jobs import JobContext, JobState, PostgresStore, Query, Queue, StoreError, Worker
from relight.bench.postgres import PostgresServer
from relight.supervisors import open_system

from .faults import insist, new, said, until, works
from .poolers import PgBouncer

pytestmark = pytest.mark.anyio

MODES = pytest.mark.parametrize("mode", ["session", "transaction"])
Pool = Callable[..., PgBouncer]


async def refusal(dsn: str) -> pytest.ExceptionInfo[StoreError]:
    """Open a store that can't be opened; what is said is one line."""
    with pytest.raises(StoreError) as caught:
        async with PostgresStore(dsn).opened():
            pass
    assert len(str(caught.value).splitlines()) == 1
    return caught


async def test_sessions_that_a_pooler_keeps_are_found_out(postgres: PostgresServer, pool: Pool) -> None:
    """It has heard a notification, which one without a session never does."""
    store = PostgresStore(pool("session").dsn(postgres.new_database()))
    async with store.opened():
        await until(lambda: repr(store).endswith(", behind a pooler>"))
        for number in range(10):
            await works(store, number)


async def test_nothing_is_left_in_a_session_that_others_get(postgres: PostgresServer, pool: Pool) -> None:
    """A setting of ours would hold for another application's statements, and its own for ours."""
    database = postgres.new_database()
    bouncer = pool("transaction", default_pool_size=1)
    store = PostgresStore(bouncer.dsn(database))
    async with store.opened():
        for number in range(10):
            await works(store, number)
            await store.jobs(Query())
        with psycopg.connect(bouncer.dsn(database), autocommit=True) as other:
            seen = other.execute(
                "SELECT current_setting('enable_seqscan'), current_setting('jit'), "
                "current_setting('statement_timeout'), (SELECT count(*) FROM pg_prepared_statements)"
            ).fetchall()
            channels = other.execute("SELECT pg_listening_channels()").fetchall()
    assert seen == [("on", "on", "0", 0)]
    assert ("relight_jobs",) not in channels
    assert repr(store).endswith(", behind a pooler that shares sessions>")


async def test_what_another_process_stores_is_seen_through_a_pooler_that_shares_sessions(
    postgres: PostgresServer, pool: Pool
) -> None:
    database = postgres.new_database()
    store = PostgresStore(pool("transaction").dsn(database))
    async with store.opened():
        heard = anyio.Event()

        async def wait() -> None:
            await store.wait_change(60.0)
            heard.set()

        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await anyio.sleep(0.1)
            other = PostgresStore(postgres.dsn(database))
            async with other.opened():
                await other.enqueue([new(1)])
            with anyio.fail_after(30):
                await heard.wait()


@MODES
async def test_whole_workers_run_through_a_pooler_and_each_job_is_done_once(
    postgres: PostgresServer, pool: Pool, mode: str
) -> None:
    """In transaction mode three workers share three sessions, so nobody keeps one for two transactions."""
    size = 3 if mode == "transaction" else 20
    bouncer = pool(mode, default_pool_size=size)
    dsn = bouncer.dsn(postgres.new_database())
    done = list[str]()

    async def do(what: str) -> None:
        done.append(what)

    def key(number: int) -> str:
        return str(number % 3)

    async def work(job: JobContext, number: int) -> int:
        for name in ("a", "b", "c"):
            await job.step(name, do, f"{number}-{name}")
        return number

    queues = [Queue(PostgresStore(dsn), "q") for _ in range(3)]
    draws = [queue.job(attempts=1, limit_key=key, limit=4)(work) for queue in queues]
    async with open_system(rng=Random(1)) as system:
        for number, queue in enumerate(queues):
            await Worker(queue, id=f"worker-{number}").start(system)
        ids = [await queues[number % 3].enqueue(draws[number % 3], number) for number in range(60)]
        results = [await queues[0].result(id_) for id_ in ids]
        jobs = await queues[0].store.jobs(Query(), most=100)
        events = await queues[1].store.events("0", most=1000)
    assert results == list(range(60))
    assert {(job.state, job.runs) for job in jobs} == {(JobState.SUCCEEDED, 1)}
    assert sorted(done) == sorted(f"{number}-{name}" for number in range(60) for name in "abc")
    kinds = [event.kind for event in events]
    assert [kinds.count(kind) for kind in ("enqueued", "started", "step", "succeeded")] == [60, 60, 180, 60]


@MODES
async def test_a_pooler_stopped_in_the_middle_is_waited_for_and_nothing_is_lost(
    postgres: PostgresServer, pool: Pool, mode: str
) -> None:
    bouncer = pool(mode, default_pool_size=5)
    store = PostgresStore(bouncer.dsn(postgres.new_database()))
    acknowledged: list[str] = []

    async def enqueue(first: int) -> None:
        for number in range(first, 400, 8):
            job = new(number)
            await insist(lambda job=job: store.enqueue([job]), within=60)  # type: ignore[misc]
            acknowledged.append(job.id)

    async with store.opened():
        async with anyio.create_task_group() as group:
            for first in range(8):
                group.start_soon(enqueue, first)
            await until(lambda: len(acknowledged) >= 50)
            await anyio.to_thread.run_sync(bouncer.stop)
            await anyio.sleep(0.1)
            await anyio.to_thread.run_sync(bouncer.start)
        assert len(acknowledged) == 400
        found = await store.jobs(Query(), most=1000)
        assert sorted(job.id for job in found) == sorted(acknowledged)
        events = await store.events("0", most=1000)
        assert sorted(event.job for event in events) == sorted(acknowledged)
        await works(store, 1000)


@MODES
async def test_a_server_restarted_behind_a_pooler_is_waited_for(
    postgres: PostgresServer, pool: Pool, mode: str
) -> None:
    store = PostgresStore(pool(mode).dsn(postgres.new_database()))
    async with store.opened():
        await works(store, 1)
        await anyio.to_thread.run_sync(postgres.stop, signal.SIGQUIT)
        await anyio.to_thread.run_sync(postgres.start)
        await insist(lambda: store.enqueue([new(2)]), within=60)
        assert [job.id for job in await store.jobs(Query())] == ["job-00002", "job-00001"]


async def test_a_mode_that_changes_while_the_pooler_is_restarted_does_no_harm(
    postgres: PostgresServer, pool: Pool
) -> None:
    bouncer = pool("session", default_pool_size=3)
    database = postgres.new_database()
    store = PostgresStore(bouncer.dsn(database))
    async with store.opened():
        await until(lambda: repr(store).endswith(", behind a pooler>"))
        for number in range(10):
            await works(store, number)
        bouncer.stop()
        bouncer.settings["pool_mode"] = "transaction"
        await anyio.to_thread.run_sync(bouncer.start)
        for number in range(10, 20):
            await insist(lambda number=number: store.enqueue([new(number)]), within=60)  # type: ignore[misc]
        with psycopg.connect(bouncer.dsn(database), autocommit=True) as other:
            seen = other.execute(
                "SELECT current_setting('enable_seqscan'), (SELECT count(*) FROM pg_prepared_statements)"
            ).fetchall()
        assert seen == [("on", 0)]
        assert len(await store.jobs(Query())) == 20


@pytest.mark.slow
async def test_connections_that_a_pooler_ends_for_their_age_are_not_noticed(
    postgres: PostgresServer, pool: Pool
) -> None:
    """In session mode it ends none that has a session."""
    bouncer = pool("transaction", server_idle_timeout=1, client_idle_timeout=1)
    store = PostgresStore(bouncer.dsn(postgres.new_database()))
    async with store.opened():
        await works(store, 1)
        for words in ("server idle timeout", "client_idle_timeout"):
            await until(lambda words=words: words in bouncer.log())  # type: ignore[misc]
        await works(store, 2)
        assert len(await store.jobs(Query())) == 2


async def test_a_pooler_that_lets_nobody_in_any_more_says_so(postgres: PostgresServer, pool: Pool) -> None:
    bouncer = pool("session", max_client_conn=2)
    dsn = bouncer.dsn(postgres.new_database())
    with psycopg.connect(dsn):
        said(await refusal(dsn), "a store takes three connections", is_passing=True)
    async with PostgresStore(dsn, listen=False).opened():  # but it takes two
        pass


@pytest.mark.slow
@MODES
async def test_a_pool_that_is_empty_is_not_waited_for_in_silence(
    postgres: PostgresServer, pool: Pool, mode: str
) -> None:
    bouncer = pool(mode, default_pool_size=1)
    dsn = bouncer.dsn(postgres.new_database())
    with psycopg.connect(dsn) as other:
        other.execute("SELECT 1")  # its transaction holds the only one
        caught = await refusal(f"{dsn}?connect_timeout=2")
        said(caught, "no answer within 2 seconds: is it stopped, or a pooler's pool empty?", is_passing=True)
    if mode == "transaction":
        store = PostgresStore(dsn)
        async with store.opened():
            await works(store, 1)


@pytest.mark.slow
async def test_a_pooler_that_has_waited_long_enough_says_so(postgres: PostgresServer, pool: Pool) -> None:
    bouncer = pool("transaction", default_pool_size=1, query_wait_timeout=1)
    dsn = bouncer.dsn(postgres.new_database())
    store = PostgresStore(dsn, listen=False)
    async with store.opened():
        with psycopg.connect(dsn) as other:
            other.execute("SELECT 1")
            with pytest.raises(StoreError) as caught:
                await store.enqueue([new(1)])
            said(caught, "query_wait_timeout: the pooler had no connection to give", is_passing=True)
        await works(store, 1)


@pytest.mark.slow
async def test_a_pooler_whose_server_says_nothing_is_not_waited_for(
    postgres: PostgresServer, pool: Pool
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        bouncer = pool("session", client_login_timeout=1, behind=f"127.0.0.1 port={silent.getsockname()[1]}")
        said(await refusal(bouncer.dsn("jobs")), "client_login_timeout", is_passing=True)


async def test_a_startup_parameter_that_a_pooler_refuses_is_named(
    postgres: PostgresServer, pool: Pool
) -> None:
    dsn = pool("session").dsn(postgres.new_database())
    caught = await refusal(f"{dsn}?options=-csearch_path%3Dx")
    said(caught, "leave it out (FATAL: unsupported startup parameter: options)", is_passing=False)
    async with PostgresStore(dsn, schema="x").opened():  # what it is for
        pass


async def test_a_pooler_in_statement_mode_is_refused(postgres: PostgresServer, pool: Pool) -> None:
    caught = await refusal(pool("statement").dsn(postgres.new_database()))
    said(caught, "use one in session or transaction mode", is_passing=False)


async def test_no_such_database_or_user_behind_a_pooler(postgres: PostgresServer, pool: Pool) -> None:
    bouncer = pool("transaction")
    said(await refusal(bouncer.dsn("nowhere")), 'database "nowhere" does not exist', is_passing=False)
    caught = await refusal(bouncer.dsn(postgres.new_database(), "wrong-and-secret"))
    said(caught, "it refuses this user or password", is_passing=False)
    assert "wrong-and-secret" not in str(caught.value)
