"""Workers: how many jobs at a time, in which order, and what becomes of jobs when a worker ends."""

import gc
from collections.abc import Sequence
from itertools import pairwise

import anyio
import anyio.lowlevel
import msgspec
import pytest

from relight.actors.jobs import (
    Claimed,
    Failure,
    JobContext,
    JobFailedError,
    JobSpecError,
    JobState,
    MemoryStore,
    Queue,
    StoreError,
    UnknownJobError,
    Worker,
)
from relight.runtime import StartError
from relight.supervisors import Supervisor
from relight.supervisors.policies import Fixed
from relight.testing import assert_no_leaks, settle
from tests.actors.jobs.stage import FlakyStore, Stage

pytestmark = [pytest.mark.anyio, pytest.mark.virtual_time]


class Gauge:
    """Counts who is in a place at once."""

    def __init__(self) -> None:
        self.inside: dict[str, int] = {}
        self.peaks: dict[str, int] = {}

    async def stay(self, place: str, seconds: float) -> None:
        self.inside[place] = self.inside.get(place, 0) + 1
        self.peaks[place] = max(self.peaks.get(place, 0), self.inside[place])
        try:
            await anyio.sleep(seconds)
        finally:
            self.inside[place] -= 1


@pytest.fixture
def stage() -> Stage:
    return Stage()


def _same(key: str) -> str:
    return key


async def wait_all(stage: Stage, ids: list[str]) -> list[JobState]:
    return [(await stage.queue.wait(id_)).state for id_ in ids]


async def test_a_worker_runs_as_many_jobs_as_it_may(stage: Stage) -> None:
    gauge = Gauge()

    @stage.queue.job()
    async def work(job: JobContext, number: int) -> int:
        await gauge.stay("worker", 10.0)
        return number

    async with stage.working(concurrency=4):
        ids = await stage.queue.enqueue_many(work, [(number,) for number in range(10)])
        assert [await stage.queue.result_of(work, id_) for id_ in ids] == list(range(10))
        assert 30.0 <= anyio.current_time() < 30.5
    assert gauge.peaks == {"worker": 4}


async def test_urgent_jobs_go_first_and_others_in_their_order(stage: Stage) -> None:
    order: list[str] = []

    @stage.queue.job(priority=1)
    async def work(job: JobContext, name: str) -> None:
        order.append(name)
        await anyio.sleep(1.0)

    ids = [await stage.queue.enqueue(work, "a"), await stage.queue.enqueue(work, "b")]
    ids.append(await stage.queue.enqueue(work, "urgent", priority=9))
    ids.append(await stage.queue.enqueue(work, "whenever", priority=0))
    async with stage.working(concurrency=1):
        await wait_all(stage, ids)
    assert order == ["urgent", "a", "b", "whenever"]


async def test_a_key_limits_its_jobs_over_all_workers(stage: Stage) -> None:
    gauge = Gauge()

    @stage.queue.job(limit_key=_same, limit=2)
    async def work(job: JobContext, customer: str) -> None:
        await gauge.stay(customer, 5.0)

    async with stage.working(concurrency=8) as system:
        await Worker(stage.queue, concurrency=8, id="second").start(system)
        ids = await stage.queue.enqueue_many(work, [(name,) for name in "aaaaaabbb"])
        assert set(await wait_all(stage, ids)) == {JobState.SUCCEEDED}
    assert gauge.peaks == {"a": 2, "b": 2}


async def test_a_queue_limits_its_jobs_and_can_be_paused(stage: Stage) -> None:
    gauge = Gauge()

    @stage.queue.job()
    async def work(job: JobContext) -> None:
        await gauge.stay("queue", 5.0)

    async with stage.working():
        await stage.queue.pause()
        ids = await stage.queue.enqueue_many(work, [()] * 6)
        await anyio.sleep(100.0)
        assert gauge.peaks == {}
        await stage.queue.limit(3)
        await stage.queue.resume()
        await wait_all(stage, ids)
    assert gauge.peaks == {"queue": 3}


async def test_a_job_of_a_unique_key_is_stored_once_until_it_ends(stage: Stage) -> None:
    @stage.queue.job(unique=_same)
    async def welcome(job: JobContext, user: str) -> None: ...

    first = await stage.queue.enqueue(welcome, "ann")
    assert await stage.queue.enqueue(welcome, "ann") == first
    assert await stage.queue.enqueue(welcome, "bob") != first
    assert await stage.queue.enqueue(welcome, "ann", unique_key="other") != first
    async with stage.working():
        await stage.queue.wait(first)
        assert await stage.queue.enqueue(welcome, "ann") != first


async def test_a_delayed_job_begins_at_its_moment(stage: Stage) -> None:
    @stage.queue.job()
    async def work(job: JobContext) -> float:
        return anyio.current_time()

    async with stage.working():
        id_ = await stage.queue.enqueue(work, delay=3600.0)
        assert await stage.queue.result_of(work, id_) == pytest.approx(3600.0, abs=0.1)


async def test_a_job_enqueued_twice_with_one_id_is_stored_once(stage: Stage) -> None:
    ran = 0

    @stage.queue.job()
    async def work(job: JobContext) -> None:
        nonlocal ran
        ran += 1

    id_ = stage.queue.new_id()
    async with stage.working():
        for _ in range(3):
            assert await stage.queue.enqueue(work, id=id_) == id_
        await stage.queue.wait(id_)
        await stage.queue.enqueue(work, id=id_)
        await anyio.sleep(5.0)
    assert ran == 1


async def test_results_come_back_typed_and_failures_as_errors(stage: Stage) -> None:
    class Sum(msgspec.Struct):
        total: int

    @stage.queue.job(attempts=1)
    async def add(job: JobContext, numbers: list[int]) -> Sum:
        if not numbers:
            raise ValueError("nothing to add")
        return Sum(sum(numbers))

    async with stage.working():
        id_ = await stage.queue.enqueue(add, [1, 2])
        assert await stage.queue.result_of(add, id_) == Sum(3)
        nothing: list[int] = []
        failed = await stage.queue.enqueue(add, nothing)
        with pytest.raises(JobFailedError, match="dead: nothing to add") as caught:
            await stage.queue.result(failed)
        assert (caught.value.job, caught.value.state) == (failed, "dead")
        with pytest.raises(UnknownJobError, match="there is no job"):
            await stage.queue.result("nobody")
        later = await stage.queue.enqueue(add, [1], delay=100.0)
        with pytest.raises(TimeoutError, match=r"is still waiting after 5 s"):
            await stage.queue.result(later, timeout=5.0)
        other = Queue(stage.store, clock=anyio.current_time)
        with pytest.raises(UnknownJobError, match="has no job 'add'"):
            await other.result(id_)
        with pytest.raises(UnknownJobError, match="has no job 'add'"):
            await other.enqueue(add, [1])


# --- cancel ----------------------------------------------------------------------------------------------


async def test_a_running_job_is_cancelled_within_a_second(stage: Stage) -> None:
    cancelled_at = 0.0

    @stage.queue.job()
    async def endless(job: JobContext) -> None:
        nonlocal cancelled_at
        try:
            await anyio.sleep_forever()
        finally:
            cancelled_at = anyio.current_time()

    async with stage.working():
        id_ = await stage.queue.enqueue(endless)
        await anyio.sleep(7.3)
        assert await stage.queue.cancel(id_) == {id_: JobState.RUNNING}
        assert (await stage.queue.wait(id_)).state is JobState.CANCELLED
        assert 7.3 <= cancelled_at <= 8.3
        with pytest.raises(JobFailedError, match="cancelled"):
            await stage.queue.result(id_)
    assert "job.cancelled" in stage.words()


async def test_a_waiting_job_is_cancelled_at_once(stage: Stage) -> None:
    @stage.queue.job()
    async def later(job: JobContext) -> None: ...

    id_ = await stage.queue.enqueue(later, delay=100.0)
    assert await stage.queue.cancel(id_, "nobody") == {id_: JobState.CANCELLED}


async def test_a_job_that_ends_well_in_spite_of_its_cancellation_has_succeeded(stage: Stage) -> None:
    @stage.queue.job()
    async def tidy(job: JobContext) -> str:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(3.0)
        return "done"

    async with stage.working():
        id_ = await stage.queue.enqueue(tidy)
        await anyio.sleep(1.0)
        await stage.queue.cancel(id_)
        assert await stage.queue.result_of(tidy, id_) == "done"


async def test_a_job_that_swallows_its_cancellation_is_left_behind(stage: Stage) -> None:
    let_go = anyio.Event()

    @stage.queue.job()
    async def stubborn(job: JobContext) -> None:
        with anyio.CancelScope(shield=True):
            await let_go.wait()

    @stage.queue.job()
    async def other(job: JobContext) -> str:
        return "done"

    async with stage.working(concurrency=1):
        id_ = await stage.queue.enqueue(stubborn)
        await anyio.sleep(1.0)
        await stage.queue.cancel(id_)
        second = await stage.queue.enqueue(other)
        assert await stage.queue.result_of(other, second, timeout=10.0) == "done"
        assert (await stage.job(id_)).state is JobState.CANCELLED
        assert stage.facts("job.stuck")[0]["job"] == id_
        let_go.set()
        await anyio.sleep(1.0)
    assert stage.words().count("job.cancelled") == 1


# --- the end of a worker -----------------------------------------------------------------------------------


async def test_jobs_at_hand_end_before_the_system_does(stage: Stage) -> None:
    @stage.queue.job()
    async def work(job: JobContext) -> str:
        await anyio.sleep(10.0)
        return "done"

    async with stage.working():
        id_ = await stage.queue.enqueue(work)
        await anyio.sleep(1.0)
        ended_at = anyio.current_time()
        behind = stage.queue
    assert anyio.current_time() - ended_at == pytest.approx(9.0, abs=0.1)
    assert await behind.result_of(work, id_) == "done"


async def test_a_worker_that_ends_claims_nothing_more(stage: Stage) -> None:
    @stage.queue.job()
    async def work(job: JobContext) -> None:
        await anyio.sleep(5.0)
        if job.user is None:
            await stage.queue.enqueue(work, user="second")

    async with stage.working():
        await stage.queue.enqueue(work)
        await anyio.sleep(1.0)
    counts = (await stage.store.queues(ended=True))[0].counts
    assert (counts[JobState.SUCCEEDED], counts[JobState.QUEUED]) == (1, 1)


async def test_a_job_that_takes_too_long_is_released_at_its_next_step(stage: Stage) -> None:
    done: list[str] = []

    async def do(name: str) -> None:
        await anyio.sleep(6.0)
        done.append(name)

    @stage.queue.job()
    async def work(job: JobContext) -> None:
        for name in "abc":
            await job.step(name, do, name)

    async with stage.working(drain=4.0):
        id_ = await stage.queue.enqueue(work)
        await anyio.sleep(1.0)
    assert done == ["a"]
    job = await stage.job(id_)
    assert (job.state, job.attempt) == (JobState.QUEUED, 0)
    assert "released" in await stage.kinds(id_)
    async with stage.working():
        await stage.queue.wait(id_)
    assert done == ["a", "b", "c"]


async def test_what_a_released_run_has_spent_is_kept(stage: Stage) -> None:
    @stage.queue.job()
    async def endless(job: JobContext) -> None:
        job.charge(0.5)
        await anyio.sleep_forever()

    async with stage.working(drain=0.0):
        id_ = await stage.queue.enqueue(endless)
        await anyio.sleep(1.0)
    job = await stage.job(id_)
    assert (job.state, job.cost_usd) == (JobState.QUEUED, 0.5)
    assert await stage.store.spent(since=0.0) == 0.5


async def test_a_job_cancelled_while_it_is_given_back_is_not_begun_again(stage: Stage) -> None:
    @stage.queue.job()
    async def stubborn(job: JobContext) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            await stage.queue.cancel(job.id)

    async with stage.working(drain=0.0):
        id_ = await stage.queue.enqueue(stubborn)
        await anyio.sleep(1.0)
    assert (await stage.job(id_)).state is JobState.CANCELLED
    assert stage.words().count("job.cancelled") == 1
    assert "job.released" not in stage.words()


async def test_a_job_without_an_end_is_released_when_its_time_is_up(stage: Stage) -> None:
    @stage.queue.job()
    async def endless(job: JobContext) -> None:
        await anyio.sleep_forever()

    async with stage.working(drain=4.0):
        id_ = await stage.queue.enqueue(endless)
        await anyio.sleep(1.0)
        began = anyio.current_time()
    assert anyio.current_time() - began == pytest.approx(9.0, abs=0.5)
    assert (await stage.job(id_)).state is JobState.QUEUED


async def test_a_worker_below_a_supervisor_of_yours_drains_when_that_stops(stage: Stage) -> None:
    @stage.queue.job()
    async def work(job: JobContext) -> None:
        await anyio.sleep(10.0)

    async with stage.system() as system:
        tree = await system.spawn(Supervisor("mine", children=[Worker(stage.queue).spec()]))
        id_ = await stage.queue.enqueue(work)
        await anyio.sleep(1.0)
        await tree.stop()
        assert (await stage.job(id_)).state is JobState.SUCCEEDED
        assert stage.store._workers == {}
        await assert_no_leaks(system)


async def test_a_worker_that_is_killed_loses_nothing(stage: Stage) -> None:
    """The next one rescues its jobs when the lease has ended."""

    @stage.queue.job()
    async def work(job: JobContext) -> float:
        if job.runs == 1:
            await anyio.sleep_forever()
        return anyio.current_time()

    async with stage.system() as system:
        await Worker(stage.queue, id="first").start(system)
        id_ = await stage.queue.enqueue(work)
        await anyio.sleep(1.0)
        # As after kill -9: the lease is there and nobody beats.
        first = next(iter(stage.store._workers))
        await stage.store.retire(first)
        await Worker(stage.queue, id="second").start(system)
        await stage.queue.wait(id_)
    assert "rescued" in await stage.kinds(id_)
    assert "worker.lease_lost" in stage.words()


async def test_a_runner_that_is_killed_gives_up_its_jobs_and_a_new_one_goes_on(stage: Stage) -> None:
    ended: list[float] = []

    @stage.queue.job()
    async def work(job: JobContext) -> int:
        if job.runs == 1:
            try:
                await anyio.sleep_forever()
            finally:
                ended.append(anyio.current_time())
        return job.runs

    async with stage.working() as system:
        id_ = await stage.queue.enqueue(work)
        await anyio.sleep(1.0)
        system.kill(system.get("jobs/runner"))
        assert await stage.queue.result_of(work, id_) == 2
    assert ended == [1.0]
    assert "worker.lease_lost" not in stage.words()


async def test_a_job_that_gives_way_late_is_given_back_though_jobs_are_being_claimed() -> None:
    class Slow(FlakyStore):
        async def claim(self, worker: str, queues: Sequence[str], most: int) -> list[Claimed]:
            claimed = await super().claim(worker, queues, most)
            await anyio.sleep(0.5)
            return claimed

    stage = Stage(Slow())

    @stage.queue.job()
    async def work(job: JobContext) -> int:
        if job.runs == 1:
            try:
                await anyio.sleep_forever()
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(2.0)
        return job.runs

    @stage.queue.job()
    async def other(job: JobContext) -> None: ...

    async with stage.working() as system:
        id_ = await stage.queue.enqueue(work)
        await anyio.sleep(1.0)
        system.kill(system.get("jobs/runner"))
        await anyio.sleep(1.75)
        await stage.queue.enqueue(other)  # it is being claimed when the first job ends
        assert await stage.queue.result_of(work, id_) == 2


async def test_jobs_of_a_claim_whose_answer_got_lost_are_given_back() -> None:
    class Deaf(FlakyStore):
        is_deaf = False

        async def claim(self, worker: str, queues: Sequence[str], most: int) -> list[Claimed]:
            claimed = await super().claim(worker, queues, most)
            if self.is_deaf and claimed:
                self.is_deaf = False
                raise StoreError("a store", "the connection broke", is_passing=True)
            return claimed

    store = Deaf()
    stage = Stage(store)

    @stage.queue.job()
    async def work(job: JobContext) -> int:
        return job.attempt

    async with stage.working():
        store.is_deaf = True
        ids = await stage.queue.enqueue_many(work, [(), ()])
        assert [await stage.queue.result_of(work, id_, timeout=5.0) for id_ in ids] == [1, 1]
    assert (await stage.job(ids[0])).runs == 2


# --- the lease ---------------------------------------------------------------------------------------------


async def test_a_lost_lease_cancels_the_jobs_and_begins_a_new_one(stage: Stage) -> None:
    scopes: list[float] = []

    @stage.queue.job()
    async def work(job: JobContext) -> int:
        if len(scopes) == 0:
            try:
                await anyio.sleep_forever()
            finally:
                scopes.append(anyio.current_time())
        return job.attempt

    async with stage.working(lease=15.0):
        id_ = await stage.queue.enqueue(work)
        await anyio.sleep(1.0)
        stage.store._workers.clear()  # what a reaper does
        assert await stage.queue.result_of(work, id_) == 2
    assert scopes[0] < 2.5
    assert "job.lost" in stage.words()


async def test_a_store_is_not_said_to_be_back_while_it_is_away() -> None:
    """Waiting for a change ends with its time, and asks no store."""
    store = FlakyStore()
    stage = Stage(store)

    async with stage.working(lease=15.0):
        await anyio.sleep(1.0)
        store.is_away = True
        await anyio.sleep(600.0)
        assert store.refused > 10
        assert [word for word in stage.words() if word.startswith("store.")] == ["store.unavailable"]
        store.is_away = False
        await anyio.sleep(60.0)
    assert [word for word in stage.words() if word.startswith("store.")] == [
        "store.unavailable",
        "store.recovered",
    ]


async def test_a_store_that_is_away_is_waited_for_and_jobs_go_on() -> None:
    store = FlakyStore()
    stage = Stage(store)
    done: list[int] = []

    async def do(number: int) -> int:
        done.append(number)
        await anyio.sleep(1.0)
        return number

    @stage.queue.job()
    async def work(job: JobContext) -> list[int]:
        return [await job.step(f"n{number}", do, number) for number in range(4)]

    async with stage.working(lease=15.0):
        id_ = await stage.queue.enqueue(work)
        await anyio.sleep(1.5)
        store.is_away = True
        await anyio.sleep(8.0)
        store.is_away = False
        assert await stage.queue.result_of(work, id_) == [0, 1, 2, 3]
    assert done == [0, 1, 2, 3]
    assert store.refused < 40
    assert stage.words().count("store.unavailable") == 1
    assert stage.words().count("store.recovered") == 1
    assert (await stage.job(id_)).runs == 1


async def test_a_store_that_is_broken_for_good_fails_the_worker() -> None:
    store = FlakyStore()
    stage = Stage(store)
    store.is_away, store.is_passing = True, False
    async with stage.system() as system:
        with pytest.raises(StartError):
            await Worker(stage.queue).start(system)
        store.is_away = False
        await Worker(stage.queue).start(system)
        store.is_away = True
        await anyio.sleep(6.0)
        store.is_away = False
        await anyio.sleep(60.0)

        @stage.queue.job()
        async def work(job: JobContext) -> str:
            return "done"

        assert await stage.queue.result_of(work, await stage.queue.enqueue(work)) == "done"
    assert "actor.crashed" in stage.words()


async def test_a_worker_works_again_when_a_store_that_was_broken_for_hours_is_mended() -> None:
    store = FlakyStore()
    stage = Stage(store)

    @stage.queue.job()
    async def work(job: JobContext) -> str:
        return "done"

    async with stage.system() as system:
        await Worker(stage.queue).start(system)
        store.is_away, store.is_passing = True, False
        await anyio.sleep(5.0 * 3600.0)
        assert system.health().status != "ok"
        store.is_away = False
        id_ = await stage.queue.enqueue(work)
        assert await stage.queue.result_of(work, id_, timeout=60.0) == "done"
        assert system.health().status == "ok"
    assert "actor.gave_up" not in stage.words()


async def test_an_end_that_can_not_be_stored_is_said_and_the_job_rescued() -> None:
    store = FlakyStore()
    stage = Stage(store)

    @stage.queue.job()
    async def work(job: JobContext) -> int:
        if job.runs == 1:
            store.is_away, store.is_passing = True, False
        return job.runs

    async with stage.working():
        id_ = await stage.queue.enqueue(work)
        await anyio.sleep(0.1)
        store.is_away = False
        assert await stage.queue.result_of(work, id_) == 2
    assert "job.end_not_stored" in stage.words()


async def test_a_worker_that_ends_makes_no_failure_of_a_job_that_has_ended_well() -> None:
    class BackAtLast(FlakyStore):
        async def fail(
            self, job: str, fence: int, failure: Failure, *, retry_in: float | None, spends: bool
        ) -> JobState:
            self.is_away = False
            return await super().fail(job, fence, failure, retry_in=retry_in, spends=spends)

    store = BackAtLast()
    stage = Stage(store)

    @stage.queue.job(attempts=1)
    async def work(job: JobContext) -> int:
        await job.step("a", anyio.sleep, 1.0)
        store.is_away = job.runs == 1
        return job.runs

    async with stage.system() as system:
        await Worker(stage.queue, drain=1.0).start(system)
        id_ = await stage.queue.enqueue(work)
        await anyio.sleep(30.0)
    assert (await stage.job(id_)).state is JobState.RUNNING
    store.is_away = False
    async with stage.working():
        assert await stage.queue.result_of(work, id_) == 2
    assert await stage.kinds(id_) == ["enqueued", "started", "step", "rescued", "started", "succeeded"]


async def test_a_job_that_is_anothers_when_the_store_refuses_its_end_costs_no_lease() -> None:
    class Picky(MemoryStore):
        async def succeed(
            self, job: str, fence: int, result: bytes, *, cost_usd: float, retries: int
        ) -> None:
            if fence == 1:
                await self.release(job, fence, cost_usd=0.0, retries=0)  # as if it were another's by now
                raise ValueError("no such column")
            await super().succeed(job, fence, result, cost_usd=cost_usd, retries=retries)

    stage = Stage(Picky(anyio.current_time))

    @stage.queue.job()
    async def work(job: JobContext) -> int:
        return job.runs

    async with stage.working():
        assert await stage.queue.result_of(work, await stage.queue.enqueue(work)) == 2
    assert "job.lost" in stage.words()
    assert "worker.lease_lost" not in stage.words()


async def test_the_next_job_begins_while_the_end_of_the_last_is_stored_but_not_without_bound() -> None:
    class Slow(MemoryStore):
        async def succeed(
            self, job: str, fence: int, result: bytes, *, cost_usd: float, retries: int
        ) -> None:
            await anyio.sleep(100.0)
            await super().succeed(job, fence, result, cost_usd=cost_usd, retries=retries)

    stage = Stage(Slow(anyio.current_time))
    begun: list[tuple[int, float]] = []
    gauge = Gauge()

    @stage.queue.job()
    async def work(job: JobContext, number: int) -> None:
        begun.append((number, round(anyio.current_time())))
        await gauge.stay("worker", 10.0)

    async with stage.working(concurrency=1):
        ids = await stage.queue.enqueue_many(work, [(number,) for number in range(4)])
        states = await wait_all(stage, ids)
    assert states == [JobState.SUCCEEDED] * 4
    # Two are at hand with one place: one that works, and one whose end is on its way.
    assert begun == [(0, 0), (1, 10), (2, 110), (3, 120)]
    assert gauge.peaks == {"worker": 1}


async def test_an_end_that_the_store_does_not_take_is_a_failure() -> None:
    class Picky(MemoryStore):
        async def succeed(
            self, job: str, fence: int, result: bytes, *, cost_usd: float, retries: int
        ) -> None:
            raise ValueError("no such column")

    stage = Stage(Picky(anyio.current_time))

    @stage.queue.job(attempts=2, backoff=Fixed(1.0))
    async def work(job: JobContext) -> int:
        return 1

    async with stage.working():
        job = await stage.queue.wait(await stage.queue.enqueue(work))
    assert (job.state, job.attempt, job.error) == (JobState.DEAD, 2, "no such column")
    assert "worker.lease_lost" not in stage.words()


async def test_a_job_nobody_knows_here_waits_for_a_worker_that_does(stage: Stage) -> None:
    newer = Queue(stage.store, clock=anyio.current_time)

    @newer.job(attempts=1)
    async def brand_new(job: JobContext) -> str:
        return "done"

    id_ = await newer.enqueue(brand_new)
    async with stage.working():
        await anyio.sleep(100.0)
    job = await stage.job(id_)
    assert (job.state, job.attempt) == (JobState.WAITING, 0)
    assert "no job 'brand_new' in queue 'default' here" in (job.error or "")
    waits = [attempt.retry_in or 0.0 for attempt in (await stage.detail(id_)).attempts]
    assert all(later == 2 * earlier for earlier, later in pairwise(waits))
    async with stage.system() as system:
        await Worker(newer).start(system)
        assert await newer.result_of(brand_new, id_) == "done"


async def test_arguments_that_no_longer_fit_are_the_end(stage: Stage) -> None:
    older = Queue(stage.store, clock=anyio.current_time)

    @older.job(name="work")
    async def old(job: JobContext, text: str) -> None: ...

    @stage.queue.job()
    async def work(job: JobContext, number: int) -> None: ...

    id_ = await older.enqueue(old, "seven")
    async with stage.working():
        job = await stage.queue.wait(id_)
    assert (job.state, job.attempt) == (JobState.DEAD, 1)
    assert "Expected `int`, got `str`" in (job.error or "")


async def test_an_idle_worker_hardly_asks_the_store() -> None:
    claims = 0

    class Counting(MemoryStore):
        async def claim(self, worker: str, queues: Sequence[str], most: int) -> list[Claimed]:
            nonlocal claims
            claims += 1
            return await super().claim(worker, queues, most)

    stage = Stage(Counting(anyio.current_time))

    @stage.queue.job()
    async def work(job: JobContext) -> None: ...

    async with stage.working():
        await anyio.sleep(3600.0)
        assert claims < 300
        await stage.queue.wait(await stage.queue.enqueue(work, delay=1800.0))


async def test_what_ended_long_ago_is_forgotten(stage: Stage) -> None:
    @stage.queue.job()
    async def work(job: JobContext) -> None: ...

    async with stage.system() as system:
        await Worker(stage.queue, retention=3600.0).start(system)
        old = await stage.queue.enqueue(work)
        later = await stage.queue.enqueue(work, delay=3000.0)
        await anyio.sleep(3590.0)
        assert await stage.store.job(old) is not None
        await anyio.sleep(30.0)
        assert await stage.store.job(old) is None
        assert await stage.store.job(later) is not None


async def test_what_was_spent_long_ago_is_forgotten_later_than_the_jobs(stage: Stage) -> None:
    day = 86_400.0

    @stage.queue.job()
    async def work(job: JobContext) -> None:
        job.charge(1.0)

    async with stage.system() as system:
        await Worker(stage.queue, lease=600.0, retention=3600.0, ledger_retention=3 * day).start(system)
        old = await stage.queue.enqueue(work)
        await stage.queue.enqueue(work, delay=day)
        await anyio.sleep(3 * day - 600.0)
        assert await stage.store.job(old) is None
        assert await stage.store.spent(since=0.0) == 2.0
        await anyio.sleep(1200.0)
        assert await stage.store.spent(since=0.0) == 1.0


async def test_a_queue_that_no_worker_serves_is_told_of_once_by_those_of_others(stage: Stage) -> None:
    other = Queue(stage.store, "comics", clock=stage.queue.clock)

    @other.job()
    async def draw(job: JobContext) -> None: ...

    async with stage.working() as system:
        await other.enqueue_many(draw, [(), ()])
        await anyio.sleep(50.0)
        assert "worker.missing" not in stage.words()  # its worker may be about to start
        await anyio.sleep(600.0)
        assert stage.facts("worker.missing") == [{"queue": "comics", "jobs": 2}]
        await Worker(other, id="late").start(system)
        await anyio.sleep(120.0)
        await system.get("late").stop()
        await other.enqueue(draw)
        await anyio.sleep(600.0)
        assert [facts["jobs"] for facts in stage.facts("worker.missing")] == [2, 1]


async def test_the_ledger_alone_may_be_forgotten(stage: Stage) -> None:
    @stage.queue.job()
    async def work(job: JobContext) -> None:
        job.charge(1.0)

    async with stage.system() as system:
        await Worker(stage.queue, lease=600.0, ledger_retention=2 * 86_400.0).start(system)
        old = await stage.queue.enqueue(work)
        await anyio.sleep(3 * 86_400.0)
        assert await stage.store.job(old) is not None
        assert await stage.store.spent(since=0.0) == 0.0


async def test_a_worker_leaves_no_tasks_and_no_runs_behind(stage: Stage) -> None:
    @stage.queue.job(backoff=Fixed(0.5))
    async def work(job: JobContext, number: int) -> None:
        if number % 2 and job.attempt == 1:
            raise ValueError
        await job.step("a", anyio.lowlevel.checkpoint)

    before = all_runs()
    async with stage.working() as system:
        ids = await stage.queue.enqueue_many(work, [(number,) for number in range(50)])
        await wait_all(stage, ids)
        await settle()
        assert [run for run in all_runs() if run not in before] == []
        await assert_no_leaks(system)


def all_runs() -> list[object]:
    """Find all runs there are; errors that are parameters of other tests hold some in their tracebacks."""
    from relight.actors.jobs._run import Run

    gc.collect()
    return [found for found in gc.get_objects() if type(found) is Run]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"concurrency": 0}, "concurrency must be 1 or more"),
        ({"lease": 0.5}, "lease must be 1 or more"),
        ({"drain": -1.0}, "drain must be 0 or more"),
        ({"retention": 0.0}, "retention must be more than 0"),
        ({"ledger_retention": 86_400.0}, "ledger_retention must be 172800 or more seconds, for budgets"),
        ({"queues": []}, "must hold a queue"),
        ({"queues": [Queue(MemoryStore()), Queue(MemoryStore())]}, "share one store"),
    ],
)
def test_a_wrong_worker_is_refused(options: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Worker(**{"queues": Queue(MemoryStore()), **options})  # type: ignore[arg-type]


def test_a_worker_of_no_queue_is_refused() -> None:
    with pytest.raises(TypeError, match=r"must be queues, got a MemoryStore: write Worker\(queue\)"):
        Worker([MemoryStore()])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]


def test_queues_of_a_worker_have_names_of_their_own() -> None:
    store = MemoryStore()
    with pytest.raises(ValueError, match="names of their own"):
        Worker([Queue(store), Queue(store)])
    assert repr(Worker([Queue(store), Queue(store, "b")])) == "<Worker jobs of default, b>"
    with pytest.raises(JobSpecError, match=r"Worker.id"):
        Worker(Queue(store), id="a/b")
