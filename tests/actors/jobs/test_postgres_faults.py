"""PostgreSQL that is away, restarted, cut off or not the right one: said clearly, and nothing is lost."""

import signal
import traceback
from collections.abc import AsyncIterator
from typing import cast

import anyio
import anyio.to_thread
import psycopg
import pytest

from relight.actors.jobs import (
    SCHEMA_VERSION,
    JobContext,
    PostgresStore,
    Query,
    Queue,
    SchemaError,
    Step,
    StoreError,
    Worker,
)
from relight.bench.postgres import PASSWORD, PostgresServer
from relight.supervisors import open_system

from .faults import a_message, begin, insist, new, said, until, works

pytestmark = pytest.mark.anyio


@pytest.fixture
async def store(
    postgres: PostgresServer, database: str, anyio_backend: object
) -> AsyncIterator[PostgresStore]:
    made = PostgresStore(postgres.dsn(database))
    async with made.opened():
        yield made


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT])
async def test_a_server_stopped_in_the_middle_is_waited_for_and_nothing_is_lost(
    postgres: PostgresServer, store: PostgresStore, how: signal.Signals
) -> None:
    acknowledged: list[str] = []

    async def enqueue(first: int) -> None:
        for number in range(first, 400, 8):
            job = new(number)
            await insist(lambda job=job: store.enqueue([job]))  # type: ignore[misc]
            acknowledged.append(job.id)

    async with anyio.create_task_group() as group:
        for first in range(8):
            group.start_soon(enqueue, first)
        await until(lambda: len(acknowledged) >= 50)
        await anyio.to_thread.run_sync(postgres.stop, how)
        await anyio.sleep(0.1)
        await anyio.to_thread.run_sync(postgres.start)
    assert len(acknowledged) == 400
    found = await store.jobs(Query(), most=1000)
    assert sorted(job.id for job in found) == sorted(acknowledged)
    events = await store.events("0", most=1000)
    assert sorted(event.job for event in events) == sorted(acknowledged)
    await works(store, 1000)


@pytest.mark.slow
async def test_a_worker_whose_server_is_restarted_goes_on_and_repeats_no_step(
    postgres: PostgresServer, database: str
) -> None:
    queue, done = Queue(PostgresStore(postgres.dsn(database))), list[str]()

    async def do(what: str) -> None:
        done.append(what)
        await anyio.sleep(0.02)

    @queue.job(attempts=1)
    async def work(job: JobContext) -> None:
        for number in range(10):
            await job.step(f"step-{number}", do, f"{job.id}-{number}")

    async with open_system() as system:
        await Worker(queue, concurrency=10).start(system)
        ids = await queue.enqueue_many(work, [()] * 40)
        await until(lambda: len(done) > 50)
        await anyio.to_thread.run_sync(postgres.stop, signal.SIGQUIT)
        await anyio.sleep(0.2)
        await anyio.to_thread.run_sync(postgres.start)
        for id_ in ids:
            await insist(lambda id_=id_: queue.result(id_))  # type: ignore[misc]
        jobs = await queue.store.jobs(Query(), most=100)
    assert {job.runs for job in jobs} == {1}
    assert len(done) == len(set(done)) == 400


async def test_killed_connections_are_replaced_and_nothing_is_made_twice(
    postgres: PostgresServer, database: str, store: PostgresStore
) -> None:
    await store.enqueue([new(n) for n in range(8)])
    claimed = await begin(store, 8)
    saved = 0

    async def work(number: int) -> None:
        nonlocal saved
        job = claimed[number].job
        for step in range(60):
            done = Step(name=f"s{step}", cost_usd=1.0)
            await insist(lambda done=done: store.save_step(job.id, job.fence, done))  # type: ignore[misc]
            saved += 1

    kill = (
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
        f"WHERE datname = '{database}' AND pid <> pg_backend_pid()"
    )
    async with anyio.create_task_group() as group:
        for number in range(8):
            group.start_soon(work, number)
        while saved < 480:
            enough = min(480, saved + 20)
            await anyio.to_thread.run_sync(postgres.sql, kill)
            await until(lambda enough=enough: saved >= enough)  # type: ignore[misc]
    assert await store.spent(since=0.0) == 480.0
    for one in claimed:
        detail = await store.job(one.job.id)
        assert detail is not None
        assert (len(detail.steps), detail.job.cost_usd) == (60, 60.0)
    assert len([event for event in await store.events("0", most=2000) if event.kind == "step"]) == 480


async def test_a_connection_that_broke_while_nobody_used_it_is_not_noticed(
    postgres: PostgresServer, store: PostgresStore
) -> None:
    await anyio.to_thread.run_sync(postgres.stop)
    await anyio.to_thread.run_sync(postgres.start)
    await works(store, 1)
    assert len(await store.jobs(Query())) == 1


async def test_a_poisonous_operation_fails_alone(store: PostgresStore) -> None:
    failed: list[str] = []

    async def enqueue(number: int) -> None:
        text = {3: "no\0ul", 5: "half a \ud800"}.get(number, "text")
        priority = 2**40 if number == 7 else 0
        try:
            await store.enqueue([new(number, kind=text, priority=priority)])
        except (StoreError, UnicodeError) as error:
            if isinstance(error, StoreError) and error.is_passing:
                raise
            failed.append(f"job-{number:05}")

    async with anyio.create_task_group() as group:
        for number in range(10):
            group.start_soon(enqueue, number)
    assert sorted(failed) == ["job-00003", "job-00005", "job-00007"]
    assert len(await store.jobs(Query())) == 7


async def test_a_lock_held_for_long_is_waited_for_and_then_said_so(
    postgres: PostgresServer, database: str
) -> None:
    store = PostgresStore(postgres.dsn(database), statement_timeout=0.5)
    async with PostgresStore(postgres.dsn(database)).opened(), store.opened():
        import psycopg

        other = await anyio.to_thread.run_sync(lambda: psycopg.connect(postgres.dsn(database)))
        other.execute("LOCK TABLE relight_job IN EXCLUSIVE MODE")
        with pytest.raises(StoreError) as caught:
            await store.enqueue([new(1)])
        said(caught, "took too long", is_passing=True)
        other.close()
        await works(store, 1)


async def test_more_than_the_socket_takes_at_once_is_stored(store: PostgresStore) -> None:
    """Statements travel in a pipeline, and the rest of a large one must not wait for its own answer."""
    args = b"[" + b"1" * 20_000 + b"]"
    jobs = [new(number, args=args) for number in range(300)]
    assert await store.enqueue(jobs) == [job.id for job in jobs]
    (first,) = await begin(store)
    assert first.job.args == args
    await store.save_step(first.job.id, first.job.fence, Step(name="a", result=b"1" * 8_000_000))
    detail = await store.job(first.job.id)
    assert detail is not None
    assert len(detail.steps[0].result) == 8_000_000


async def test_a_newer_schema_is_not_touched(
    postgres: PostgresServer, database: str, store: PostgresStore
) -> None:
    postgres.sql("INSERT INTO relight_schema VALUES (99)", database)
    with pytest.raises(StoreError) as caught:
        async with PostgresStore(postgres.dsn(database)).opened():
            pass
    said(caught, "version 99", is_passing=False)


async def test_a_database_of_the_first_schema_is_migrated(postgres: PostgresServer, database: str) -> None:
    async with PostgresStore(postgres.dsn(database)).opened():
        pass
    older = (
        "DROP TABLE relight_message; DROP INDEX relight_step_blob; DROP INDEX relight_job_key; "
        "ALTER TABLE relight_worker DROP COLUMN queues"
    )
    postgres.sql(f"{older}; DELETE FROM relight_schema WHERE version > 1", database)
    for _ in range(2):  # and again, when nothing is left to do
        store = PostgresStore(postgres.dsn(database))
        async with store.opened():
            await works(store, 1)
            await store.keep_messages([a_message()], most=10)
            assert await store.dead_messages(Query()) == [a_message()]
            assert await store.prune(ended_before=1e11) == 1


async def test_a_database_that_is_looked_at_stays_as_it_is(postgres: PostgresServer, database: str) -> None:
    tables = "SELECT count(*) FROM pg_tables WHERE tablename LIKE 'relight%'"
    store = PostgresStore(postgres.dsn(database))
    with pytest.raises(SchemaError, match="no job store here yet") as caught:
        async with store.opened(migrate=False):
            pass
    assert (caught.value.found, postgres.sql(tables, database)) == (0, "0")
    async with store.opened():
        await store.enqueue([new(1)])
    async with store.opened(migrate=False):
        await works(store, 2)
    postgres.sql("DELETE FROM relight_schema WHERE version > 4", database)
    with pytest.raises(SchemaError, match="of version 4, this relight wants 5") as caught:
        async with store.opened(migrate=False):
            pass
    assert (caught.value.found, caught.value.wanted) == (4, SCHEMA_VERSION)
    assert postgres.sql("SELECT max(version) FROM relight_schema", database) == "4"
    postgres.sql("INSERT INTO relight_schema VALUES (99)", database)
    for migrate in (False, True):
        with pytest.raises(SchemaError, match="upgrade relight"):
            async with store.opened(migrate=migrate):
                pass


async def test_the_queues_of_ended_jobs_are_known_after_a_migration(
    postgres: PostgresServer, database: str
) -> None:
    store = PostgresStore(postgres.dsn(database))
    async with store.opened():
        await store.enqueue([new(1)])
        await store.cancel(["job-00001"])
        await store.register("an old one", 60.0, {})
        assert await store.queues() == []
    older = "ALTER TABLE relight_worker DROP COLUMN queues; DELETE FROM relight_schema WHERE version > 4"
    postgres.sql(older, database)
    async with store.opened():
        (queue,) = await store.queues()
        assert (queue.name, queue.is_paused, queue.workers) == (new(1).queue, False, 0)
        await works(store, 2)


async def test_workers_beat_while_a_migration_reads_all_jobs(postgres: PostgresServer, database: str) -> None:
    """Those of the version before would lose their leases, and with them what is in hand."""
    old, store = PostgresStore(postgres.dsn(database)), PostgresStore(postgres.dsn(database))
    async with old.opened(), anyio.create_task_group() as group:
        await old.register("w", 60.0, {})
        older = "ALTER TABLE relight_worker DROP COLUMN queues; DELETE FROM relight_schema WHERE version > 4"
        postgres.sql(older, database)

        async def migrate() -> None:
            async with store.opened():
                pass

        with psycopg.connect(postgres.dsn(database)) as holder:
            holder.execute("LOCK TABLE relight_job IN ACCESS EXCLUSIVE MODE")  # it is as if there were many
            group.start_soon(migrate)
            waits = "SELECT count(*) FROM pg_locks WHERE relation = 'relight_job'::regclass AND NOT granted"
            await until(lambda: postgres.sql(waits, database) == "1")
            beats = "SET lock_timeout = '1s'; UPDATE relight_worker SET expires_at = expires_at + 1"
            postgres.sql(beats, database)
            holder.rollback()


async def test_a_wrong_password_is_refused_and_no_password_is_shown(
    postgres: PostgresServer, database: str
) -> None:
    wrong = PostgresStore(postgres.tcp_dsn(database, "wrong-and-secret"))
    with pytest.raises(StoreError) as caught:
        async with wrong.opened():
            pass
    said(caught, "authentication failed", is_passing=False)
    told = repr(wrong) + "".join(traceback.format_exception(caught.value))
    assert "wrong-and-secret" not in told
    right = PostgresStore(postgres.tcp_dsn(database))
    async with right.opened():
        await works(right, 1)
    assert PASSWORD not in repr(right)
    assert PASSWORD not in str(vars(right)["_name"])


async def test_no_such_database_and_no_such_server_are_told_apart(postgres: PostgresServer) -> None:
    with pytest.raises(StoreError) as caught:
        async with PostgresStore(postgres.dsn("nowhere")).opened():
            pass
    said(caught, "does not exist", is_passing=False)
    with pytest.raises(StoreError) as caught:
        async with PostgresStore("postgresql://me:hush@127.0.0.1:1/db").opened():
            pass
    said(caught, "can't be reached", is_passing=True)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("dsn", ["postgres//user:hush@host", "host=x password='hush"])
def test_a_dsn_that_can_not_be_read_is_not_shown(postgres: PostgresServer, dsn: str) -> None:
    with pytest.raises(ValueError, match="can't be read") as caught:
        PostgresStore(dsn)
    assert "hush" not in "".join(traceback.format_exception(caught.value))


async def test_what_another_process_stores_is_heard_of(
    postgres: PostgresServer, database: str, store: PostgresStore
) -> None:
    for listen in (True, False):
        other = PostgresStore(postgres.dsn(database), listen=listen)
        async with other.opened():
            await anyio.sleep(0.1)
            heard = anyio.Event()

            async def wait(other: PostgresStore = other, heard: anyio.Event = heard) -> None:
                await other.wait_change(60.0)
                heard.set()

            async with anyio.create_task_group() as group:
                group.start_soon(wait)
                await anyio.sleep(0.05)
                await store.enqueue([new(int(listen))])
                with anyio.fail_after(30.0):  # of the sixty it would wait at most
                    await heard.wait()


async def test_a_value_that_is_refused_says_that_it_is_the_value(store: PostgresStore) -> None:
    await store.enqueue([new(1)])
    (claimed,) = await begin(store)
    with pytest.raises(StoreError) as caught:
        await store.save_step(claimed.job.id, claimed.job.fence, Step(name=cast("str", None)))
    assert (caught.value.is_passing, caught.value.is_of_value) == (False, True)
    await store.save_step(claimed.job.id, claimed.job.fence, Step(name="a"))
