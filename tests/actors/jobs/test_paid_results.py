"""What a run has paid for is kept: through a store that is away, a lease that ends, a lease that is lost."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import msgspec
import pytest

from relight.actors import Usage
from relight.actors.jobs import Job, JobContext, JobState, Queue, Step, Worker
from relight.runtime import Request, handles
from relight.supervisors import Child, GuardedActor, System, open_system

from .stage import FlakyStore, Stage

pytestmark = [pytest.mark.anyio, pytest.mark.virtual_time]
LEASE = 15.0


class Picture(msgspec.Struct):
    of: str
    usage: Usage = Usage(usd=0.5)


class Draw(Request[Picture], frozen=True):
    what: str
    seconds: float = 0.0


class Studio:
    """Steps that cost money, and how often each was begun and done."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.done: list[str] = []

    async def draw(self, what: str, seconds: float = 0.0) -> str:
        self.begun.append(what)
        await anyio.sleep(seconds)
        self.done.append(what)
        return f"<{what}>"

    @asynccontextmanager
    async def open(self, system: System) -> AsyncGenerator[None]:
        """Let an actor draw, for half a dollar each."""
        draw = self.draw

        class Painter(GuardedActor):
            @handles
            async def paint(self, message: Draw) -> Picture:
                return Picture(await draw(message.what, message.seconds))

        await system.spawn(Child("painter", Painter))
        yield


@pytest.fixture
def store() -> FlakyStore:
    return FlakyStore()


@pytest.fixture
def stage(store: FlakyStore) -> Stage:
    return Stage(store)


@pytest.fixture
def studio() -> Studio:
    return Studio()


def twin(store: FlakyStore, made: FlakyStore | None = None) -> FlakyStore:
    """Make another way to the same store: it may be away for one worker and not for the other."""
    made = made or FlakyStore()
    own = {name: vars(made)[name] for name in ("is_away", "is_passing", "refused")}
    vars(made).update({**vars(store), **own})
    return made


# --- a store that is away --------------------------------------------------------------------------------


async def test_a_result_waits_for_a_store_that_is_away_for_longer_than_the_lease(
    store: FlakyStore, stage: Stage, studio: Studio
) -> None:
    @stage.queue.job()
    async def work(job: JobContext) -> list[str]:
        first = await job.step("first", studio.draw, "first", 2.0)
        return [first, await job.step("second", studio.draw, "second")]

    async with stage.working(lease=LEASE):
        id_ = await stage.queue.enqueue(work)
        await anyio.sleep(1.0)
        store.is_away = True
        await anyio.sleep(600.0)
        store.is_away = False
        assert await stage.queue.result_of(work, id_) == ["<first>", "<second>"]
        assert anyio.current_time() < 603.0  # not after the longest wait between two tries
    assert studio.done == ["first", "second"]
    assert (await stage.job(id_)).runs == 1
    assert (stage.words().count("worker.lease_in_doubt"), stage.words().count("worker.lease_renewed")) == (
        1,
        1,
    )
    assert "worker.lease_lost" not in stage.words()


async def test_a_call_in_flight_goes_on_beyond_the_lease_and_no_step_begins(
    store: FlakyStore, stage: Stage, studio: Studio
) -> None:
    @stage.queue.job()
    async def work(job: JobContext) -> None:
        async def later() -> None:
            await anyio.sleep(20.0)
            await job.step("later", studio.draw, "later")

        async def long() -> None:
            await job.step("long", studio.draw, "long", 40.0)

        async with anyio.create_task_group() as group:
            group.start_soon(later)
            group.start_soon(long)

    async with stage.working(lease=LEASE):
        id_ = await stage.queue.enqueue(work)
        await anyio.sleep(1.0)
        store.is_away = True
        await anyio.sleep(100.0)
        assert studio.begun == ["long"]
        assert studio.done == ["long"]
        store.is_away = False
        await stage.queue.result_of(work, id_)
    assert studio.done == ["long", "later"]
    assert (await stage.job(id_)).runs == 1


async def test_a_result_is_stored_though_its_run_has_run_out_of_time_meanwhile(
    store: FlakyStore, stage: Stage, studio: Studio
) -> None:
    @stage.queue.job(attempt_timeout=10.0)
    async def work(job: JobContext) -> int:
        await job.step("a", studio.draw, "a", 2.0)
        await job.step("b", studio.draw, "b")
        return job.attempt

    async with stage.working(lease=LEASE):
        id_ = await stage.queue.enqueue(work)
        await anyio.sleep(1.0)
        store.is_away = True
        await anyio.sleep(100.0)
        store.is_away = False
        assert await stage.queue.result_of(work, id_) == 2
    assert studio.done == ["a", "b"]
    assert "job.stuck" not in stage.words()


async def test_a_worker_that_comes_back_first_takes_nothing_from_one_that_lives(
    store: FlakyStore, stage: Stage, studio: Studio
) -> None:
    """After a store was away all leases have ended, and one worker looks before the other can beat."""
    looked = anyio.Event()

    class Theirs(FlakyStore):
        async def overdue(self) -> dict[str, float]:
            found = await super().overdue()
            if found:
                looked.set()
            return found

    theirs = twin(store, Theirs())
    other = Queue(theirs, "other", clock=anyio.current_time)

    @stage.queue.job()
    async def work(job: JobContext) -> int:
        await job.step("a", studio.draw, "a", 30.0)
        return job.runs

    async with stage.working(lease=LEASE) as system:
        await Worker(other, lease=LEASE, id="other").start(system)
        id_ = await stage.queue.enqueue(work)
        await anyio.sleep(1.0)
        store.is_away = theirs.is_away = True
        await anyio.sleep(60.0)
        theirs.is_away = False
        await looked.wait()
        store.is_away = False
        assert await stage.queue.result_of(work, id_) == 1
    assert "rescued" not in await stage.kinds(id_)


@pytest.mark.parametrize("patience", [100.0, 3.0])
async def test_a_worker_that_ends_while_the_store_is_away_does_not_wait_for_ever(
    store: FlakyStore, stage: Stage, studio: Studio, patience: float
) -> None:
    @stage.queue.job()
    async def work(job: JobContext) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(job.step, "a", studio.draw, "a", 2.0)
            group.start_soon(job.step, "b", studio.draw, "b", 20.0)

    async with open_system(shutdown_timeout=patience) as system:
        system.events.listen(lambda name, facts: stage.said.append((name, facts)))
        await Worker(stage.queue, lease=LEASE).start(system)
        await stage.queue.enqueue(work)
        await anyio.sleep(1.0)
        store.is_away = True
        await anyio.sleep(30.0)
        began = anyio.current_time()
    assert anyio.current_time() - began < 30.0
    assert sorted(str(facts["step"]) for facts in stage.facts("job.step_dropped")) == ["a", "b"]
    assert {facts["reason"] for facts in stage.facts("job.step_dropped")} == {
        "a store: the disk is full, make room"
    }


# --- a lease that is lost ----------------------------------------------------------------------------------


class Pair:
    """Two workers on one store. The first has a job whose step it pays for, and is cut off meanwhile."""

    def __init__(self, studio: Studio) -> None:
        self.store = FlakyStore()
        self.stage = Stage(self.store)
        self.other = Stage(twin(self.store))
        self.studio = studio
        self.runs: list[tuple[str, int]] = []
        for who, queue in (("first", self.stage.queue), ("second", self.other.queue)):
            self._declare(who, queue)

    def _declare(self, who: str, queue: Queue) -> None:
        @queue.job(name="work", user=lambda: "ann")
        async def work(job: JobContext) -> str:
            self.runs.append((who, job.runs))
            picture = await job.ask("painter", Draw(who, 20.0 if who == "first" else 3.0), name="picture")
            await job.step("end", self.studio.draw, "end")
            return picture.of

    async def play(self, *, is_taken: bool) -> Job:
        """Have the lease lost, and the job taken by the other or not; returns it when it has ended."""
        first, second = self.stage.queue, self.other.queue
        async with self.stage.system() as system, self.studio.open(system):
            await Worker(first, id="first", lease=LEASE).start(system)
            id_ = await first.enqueue(first.functions["work"])
            await anyio.sleep(1.0)
            await Worker(second, id="second", lease=LEASE).start(system)
            if not is_taken:
                await second.pause()
            self.store.is_away = True
            await anyio.sleep(60.0)
            self.store.is_away = False
            await anyio.sleep(10.0)
            await second.resume()
            with anyio.fail_after(100.0):
                return await second.wait(id_)


async def test_a_result_whose_job_was_taken_and_not_begun_is_stored_late_and_used(studio: Studio) -> None:
    pair = Pair(studio)
    job = await pair.play(is_taken=False)
    assert (job.state, job.cost_usd) == (JobState.SUCCEEDED, 0.5)
    assert job.result == b'"<first>"'
    assert studio.done == ["first", "end"]
    kinds = await pair.stage.kinds(job.id)
    assert kinds[:3] == ["enqueued", "started", "rescued"]
    assert [kinds.count(kind) for kind in ("step", "step_dropped")] == [2, 0]
    assert [facts["step"] for facts in pair.stage.facts("job.step_saved_late")] == ["picture"]
    assert await pair.store.spent(since=0.0) == 0.5


async def test_a_result_whose_job_another_has_begun_is_dropped_and_its_cost_noted(studio: Studio) -> None:
    pair = Pair(studio)
    job = await pair.play(is_taken=True)
    assert (job.state, job.result, job.runs) == (JobState.SUCCEEDED, b'"<second>"', 2)
    assert studio.done == ["first", "second", "end"] or studio.done == ["second", "end", "first"]
    (dropped,) = [event for event in await pair.stage.events(job.id) if event.kind == "step_dropped"]
    assert (dropped.data["name"], dropped.data["cost_usd"]) == ("picture", 0.5)
    assert (job.cost_usd, await pair.store.spent(since=0.0, user="ann")) == (1.0, 1.0)
    (said,) = pair.stage.facts("job.step_dropped")
    assert said["reason"] == "another run of the job has begun"


async def test_nothing_is_claimed_before_late_results_are_stored(stage: Stage, studio: Studio) -> None:
    """Else the worker would pay for the step of its own job again."""

    class Slow(FlakyStore):
        async def save_late(self, job: str, run: int, step: Step) -> bool:
            await anyio.sleep(30.0)
            return await super().save_late(job, run, step)

    stage = Stage(slow := Slow())

    @stage.queue.job()
    async def work(job: JobContext) -> int:
        await job.step("a", studio.draw, "a", 5.0)
        return job.runs

    async with stage.working(lease=LEASE):
        id_ = await stage.queue.enqueue(work)
        await anyio.sleep(4.0)
        slow.is_away = True
        await anyio.sleep(4.0)
        slow._workers.clear()
        await twin(slow).reap()  # as another worker does
        slow.is_away = False
        assert await stage.queue.result_of(work, id_) == 2
    assert studio.done == ["a"]
    assert "job.stuck" not in stage.words()


async def test_a_result_at_hand_when_the_runner_dies_is_kept(
    store: FlakyStore, stage: Stage, studio: Studio
) -> None:
    @stage.queue.job()
    async def work(job: JobContext) -> int:
        await job.step("a", studio.draw, "a", 2.0)
        return job.runs

    async with stage.working(lease=LEASE) as system:
        id_ = await stage.queue.enqueue(work)
        await anyio.sleep(1.0)
        store.is_away = True
        await anyio.sleep(3.0)
        system.kill(system.get("jobs/runner"))
        await anyio.sleep(10.0)
        store.is_away = False
        assert await stage.queue.result_of(work, id_) == 2
    assert studio.done == ["a"]
