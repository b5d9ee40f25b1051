"""The SQL stores beside the model: whatever is asked of them in whatever order, they answer alike.

Time is the difficulty: the stores have clocks of their own. So what has to do with time is either now
(a delay of 0, a lease that has ended) or far away (an hour).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path

import anyio
import anyio.from_thread
import msgspec
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from relight.actors.jobs import (
    Failure,
    Job,
    LeaseLostError,
    MemoryStore,
    NewJob,
    PostgresStore,
    Query,
    SqliteStore,
    Step,
    Store,
)
from tests.support.databases import Databases

QUEUES = ["p", "q"]
WORKERS = ["w1", "w2"]
HOUR = 3600.0
numbers = st.integers(0, 11)
some_numbers = st.sets(numbers, max_size=4)
keys = st.none() | st.sampled_from(["a", "b"])
costs = st.sampled_from([0.0, 0.25, 1.0])


_EXAMPLES = int(os.environ.get("RELIGHT_MODEL_EXAMPLES", "25"))
# Not made smaller: each example is a database of its own, so that would take minutes.
_SETTINGS = settings(
    max_examples=_EXAMPLES, stateful_step_count=40, phases=(Phase.explicit, Phase.reuse, Phase.generate)
)


def name(number: int) -> str:
    return f"job-{number:02}"


class Stores(RuleBasedStateMachine):
    """Ask all stores the same, one after another."""

    def make(self) -> Store:
        """Make the store that is compared with the model."""
        raise NotImplementedError

    @initialize()
    def open(self) -> None:
        self.portal_context = anyio.from_thread.start_blocking_portal("trio")
        self.portal = self.portal_context.__enter__()
        self.stores: list[Store] = [MemoryStore(), self.make()]
        self.opened = self.portal.wrap_async_context_manager(self.stores[1].opened())
        self.opened.__enter__()
        self.fences: dict[int, int] = {}
        for worker in WORKERS:
            self.register(worker)

    def teardown(self) -> None:
        if hasattr(self, "opened"):
            try:
                self.look()
            finally:
                self.close()

    def close(self) -> None:
        self.opened.__exit__(None, None, None)
        self.portal_context.__exit__(None, None, None)

    def both(self, ask: Callable[[Store], Awaitable[object]]) -> object:
        """Ask both; returns what the model says."""
        model, other = (self.portal.call(_outcome, ask, store) for store in self.stores)
        assert other == model
        return model

    # --- what is asked ------------------------------------------------------------------------------

    @rule(
        jobs=st.lists(
            st.builds(
                NewJob,
                id=numbers.map(name),
                kind=st.just("draw"),
                args=st.just(b"{}"),
                queue=st.sampled_from(QUEUES),
                priority=st.integers(-1, 1),
                delay=st.sampled_from([0.0, 0.0, HOUR]),
                timeout=st.sampled_from([None, None, -1.0, HOUR]),
                max_attempts=st.integers(1, 2),
                unique_key=keys,
                limit_key=keys,
                limit=st.integers(1, 2),
                user=keys,
            ),
            max_size=5,
        )
    )
    def enqueue(self, jobs: list[NewJob]) -> None:
        self.both(lambda store: store.enqueue(jobs))

    @rule(worker=st.sampled_from(WORKERS), queues=st.sets(st.sampled_from(QUEUES)), most=st.integers(0, 5))
    def claim(self, worker: str, queues: set[str], most: int) -> None:
        async def ask(store: Store) -> object:
            claimed = await store.claim(worker, sorted(queues), most)
            for one in claimed:
                self.fences[int(one.job.id[4:])] = one.job.fence
            return [(_timeless(one.job), sorted(step.name for step in one.steps)) for one in claimed]

        self.both(ask)

    @rule(number=numbers, step=st.sampled_from("abc"), usd=costs, old=st.sampled_from([0, 0, 0, 1]))
    def save_step(self, number: int, step: str, usd: float, old: int) -> None:
        done = Step(name=step, result=b"[1]", cost_usd=usd, service_retries=1)
        self.both(lambda store: store.save_step(name(number), self.fence(number) - old, done))

    @rule(number=numbers, step=st.sampled_from("abc"), usd=costs, run=st.integers(1, 3))
    def save_late(self, number: int, step: str, usd: float, run: int) -> None:
        done = Step(name=step, result=b"[3]", cost_usd=usd, service_retries=1)
        self.both(lambda store: store.save_late(name(number), run, done))

    @rule(number=numbers, value=st.sampled_from([0.5, 1, "half"]), kind=st.sampled_from(["progress", "log"]))
    def note(self, number: int, value: object, kind: str) -> None:
        self.both(lambda store: store.note(name(number), self.fence(number), kind, {"value": value}))

    @rule(number=numbers, usd=costs)
    def succeed(self, number: int, usd: float) -> None:
        fence = self.fence(number)
        self.both(lambda store: store.succeed(name(number), fence, b"[2]", cost_usd=usd, retries=2))

    @rule(
        number=numbers,
        retry_in=st.sampled_from([None, 0.0, HOUR]),
        spends=st.booleans(),
        usd=costs,
        cause=st.sampled_from(["x", "y"]),
    )
    def fail(self, number: int, retry_in: float | None, spends: bool, usd: float, cause: str) -> None:
        failure = Failure(error=f"no {cause}", error_type="E", cause=cause, cost_usd=usd, service_retries=1)
        fence = self.fence(number)
        self.both(lambda store: store.fail(name(number), fence, failure, retry_in=retry_in, spends=spends))

    @rule(number=numbers, usd=costs)
    def release(self, number: int, usd: float) -> None:
        fence = self.fence(number)
        self.both(lambda store: store.release(name(number), fence, cost_usd=usd, retries=1))

    @rule(number=numbers, usd=costs)
    def end_cancelled(self, number: int, usd: float) -> None:
        fence = self.fence(number)
        self.both(lambda store: store.end_cancelled(name(number), fence, cost_usd=usd, retries=0))

    @rule(some=some_numbers)
    def cancel(self, some: set[int]) -> None:
        self.both(lambda store: store.cancel(sorted(map(name, some))))

    @rule(some=some_numbers)
    def retry(self, some: set[int]) -> None:
        self.both(lambda store: store.retry(sorted(map(name, some))))

    @rule(some=some_numbers)
    def discard(self, some: set[int]) -> None:
        self.both(lambda store: store.discard(sorted(map(name, some))))

    @rule(worker=st.sampled_from(WORKERS), lease=st.sampled_from([HOUR, -1.0]))
    def beat(self, worker: str, lease: float) -> None:
        self.both(lambda store: store.beat(worker, lease))

    @rule(worker=st.sampled_from(WORKERS), queues=st.sets(st.sampled_from(QUEUES)))
    def register(self, worker: str, queues: Collection[str] = ()) -> None:
        self.both(lambda store: store.register(worker, HOUR, {}, queues))

    @rule(worker=st.sampled_from(WORKERS))
    def retire(self, worker: str) -> None:
        self.both(lambda store: store.retire(worker))

    @rule()
    def reap(self) -> None:
        async def ask(store: Store) -> object:
            return sorted(await store.reap())

        self.both(ask)

    @rule(beaten=st.sets(st.sampled_from(WORKERS)))
    def look_twice_and_reap(self, beaten: set[str]) -> None:
        async def ask(store: Store) -> object:
            overdue = await store.overdue()
            for worker in beaten:
                await store.beat(worker, -2.0)
            return sorted(overdue), sorted(await store.reap(overdue))

        self.both(ask)

    @rule(queue=st.sampled_from(QUEUES), paused=st.none() | st.booleans(), most=st.none() | st.integers(0, 2))
    def set_queue(self, queue: str, paused: bool | None, most: int | None) -> None:
        self.both(lambda store: store.set_queue(queue, paused=paused, max_running=most))

    # --- what must be alike -------------------------------------------------------------------------

    def fence(self, number: int) -> int:
        """Return the last fence given out for a job."""
        return self.fences.get(number, 1)

    @rule()
    def look(self) -> None:
        self.contents_are_alike()
        self.each_jobs_events_are_alike()

    def contents_are_alike(self) -> None:
        async def ask(store: Store) -> object:
            jobs = await store.jobs(Query())
            details = [await store.job(job.id) for job in jobs]
            return (
                [_timeless(job) for job in jobs],
                [
                    (
                        [(one.number, one.error, one.retry_in, one.is_spent) for one in detail.attempts],
                        sorted((step.name, step.result, step.service_retries) for step in detail.steps),
                    )
                    for detail in details
                    if detail is not None
                ],
                [
                    (msgspec.structs.replace(queue, oldest_at=None), queue.oldest_at is None)
                    for ended in (False, True)
                    for queue in await store.queues(ended=ended)
                ],
                [
                    (group.kind, group.cause, group.count, group.cost_usd)
                    for group in await store.dead_groups(Query())
                ],
                [await store.spent(since=0.0, user=user) for user in (None, "a", "b")],
            )

        self.both(ask)

    def each_jobs_events_are_alike(self) -> None:
        async def ask(store: Store) -> object:
            lives: dict[str, list[object]] = {}
            for event in await store.events("0", most=10_000):
                lives.setdefault(event.job, []).append(
                    (event.kind, event.queue, event.user, dict(event.data))
                )
            return lives

        self.both(ask)


async def _outcome(ask: Callable[[Store], Awaitable[object]], store: Store) -> object:
    try:
        return await ask(store)
    except LeaseLostError as error:
        return str(error)


def _timeless(job: Job) -> Job:
    times = {
        field: None if getattr(job, field) is None else 0.0
        for field in ("created_at", "run_at", "started_at", "finished_at", "deadline")
    }
    return msgspec.structs.replace(job, **times)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_sql_store_answers_as_the_model_does(kind: str, request: pytest.FixtureRequest) -> None:
    folder = Path(request.getfixturevalue("tmp_path"))

    def make() -> Store:
        if kind == "sqlite":
            return SqliteStore(Path(tempfile.mkdtemp(dir=folder)) / "jobs.db", synchronous="normal")
        databases: Databases = request.getfixturevalue("databases")
        databases.empty(request.getfixturevalue("database"))
        return PostgresStore(request.getfixturevalue("dsn"), listen=False)

    class Machine(Stores):
        def make(self) -> Store:
            return make()

    run_state_machine_as_test(Machine, settings=_SETTINGS)
