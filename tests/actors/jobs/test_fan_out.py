"""Jobs that enqueue other jobs: each once, however often they are run."""

from collections.abc import Callable

import anyio
import pytest

from relight.actors.jobs import JobContext, JobState, MemoryStore, Query, Queue, Step, StoreError, Worker
from relight.runtime import Actor, Request, handles
from relight.supervisors import Child
from relight.supervisors.policies import Fixed
from tests.actors.jobs.stage import FlakyStore, Stage

pytestmark = [pytest.mark.anyio, pytest.mark.virtual_time]


class ForgetfulStore(MemoryStore):
    """A store that does not store the first steps, as when the process dies before it does."""

    def __init__(self, clock: Callable[[], float], *, forgets: int) -> None:
        super().__init__(clock)
        self.forgets = forgets

    async def save_step(self, job: str, fence: int, step: Step) -> None:
        if self.forgets > 0:
            self.forgets -= 1
            raise StoreError("a store", "the process died", is_passing=False)
        await super().save_step(job, fence, step)


async def test_a_job_enqueues_others_once_and_they_go_on_when_it_ends() -> None:
    stage, drawn = Stage(), list[str]()

    @stage.queue.job(backoff=Fixed(1.0))
    async def draw(job: JobContext, what: str) -> str:
        await anyio.sleep(100.0)
        drawn.append(what)
        return what.upper()

    @stage.queue.job(backoff=Fixed(1.0))
    async def plan(job: JobContext) -> list[str]:
        ids = [await job.enqueue(draw, what) for what in ("a tower", "a goose")]
        ids.append(await job.enqueue(draw, "a bell", name="last"))
        if job.attempt == 1:
            raise ValueError("once more")
        return ids

    async with stage.working():
        id_ = await stage.queue.enqueue(plan)
        ids = await stage.queue.result_of(plan, id_)
        assert drawn == []
        assert [await stage.queue.result(each) for each in ids] == ["A TOWER", "A GOOSE", "A BELL"]
    assert sorted(drawn) == ["a bell", "a goose", "a tower"]
    assert [step.name for step in (await stage.detail(id_)).steps] == ["draw-1", "draw-2", "last"]


async def test_a_job_is_stored_once_also_where_the_step_was_not() -> None:
    stage, drawn = Stage(ForgetfulStore(anyio.current_time, forgets=2)), list[str]()

    @stage.queue.job()
    async def draw(job: JobContext) -> None:
        drawn.append(job.id)

    @stage.queue.job(backoff=Fixed(100.0))
    async def plan(job: JobContext) -> str:
        return await job.enqueue(draw)

    async with stage.working():
        id_ = await stage.queue.enqueue(plan)
        assert await stage.queue.result_of(plan, id_) == drawn[0]
        assert (await stage.job(id_)).attempt == 3
    assert len(drawn) == len(await stage.store.jobs(Query(kind="draw"))) == 1
    assert len(drawn[0]) == 26


async def test_it_waits_while_the_store_is_away_and_spends_no_attempt() -> None:
    store = FlakyStore()
    stage = Stage(store)

    @stage.queue.job()
    async def draw(job: JobContext) -> int:
        return 1

    @stage.queue.job(attempts=1)
    async def plan(job: JobContext) -> str:
        store.is_away = True
        return await job.enqueue(draw)

    async with stage.working():
        id_ = await stage.queue.enqueue(plan)
        await anyio.sleep(5.0)
        store.is_away = False
        assert await stage.queue.result(await stage.queue.result_of(plan, id_)) == 1
    assert store.refused > 0


async def test_the_new_job_is_for_the_same_user_unless_somebody_says_otherwise() -> None:
    stage = Stage()

    @stage.queue.job()
    async def draw(job: JobContext) -> str | None:
        return job.user

    @stage.queue.job(user=str)
    async def draw_for(job: JobContext, who: str) -> str | None:
        return job.user

    @stage.queue.job()
    async def plan(job: JobContext) -> list[str]:
        return [
            await job.enqueue(draw),
            await job.enqueue(draw_for, "bob"),
            await job.enqueue(draw, user="eve", delay=10.0),
        ]

    async with stage.working():
        ids = await stage.queue.result_of(plan, await stage.queue.enqueue(plan, user="ann"))
        assert [await stage.queue.result(id_) for id_ in ids] == ["ann", "bob", "eve"]
        late = await stage.job(ids[2])
    assert late.started_at is not None
    assert late.started_at - late.created_at == pytest.approx(10.0, abs=0.1)


async def test_the_new_job_may_be_of_another_queue() -> None:
    stage = Stage()
    prints = Queue(stage.store, "prints", clock=anyio.current_time)

    @prints.job()
    async def print_page(job: JobContext) -> str:
        return job.queue

    @stage.queue.job(attempts=1)
    async def plan(job: JobContext) -> str:
        return await job.enqueue(print_page, queue=prints)

    @stage.queue.job(attempts=1)
    async def lost(job: JobContext) -> str:
        return await job.enqueue(print_page)

    async with stage.system() as system:
        await Worker([stage.queue, prints]).start(system)
        id_ = await stage.queue.result_of(plan, await stage.queue.enqueue(plan))
        assert await prints.result(id_) == "prints"
        job = await stage.queue.wait(await stage.queue.enqueue(lost))
    assert job.state is JobState.DEAD
    assert job.error == "queue 'default' has no job 'print_page': it is of 'prints'"


class Paint(Request[bytes], frozen=True):
    scene: str


class Painter(Actor):
    @handles
    async def paint(self, message: Paint) -> bytes:
        return message.scene.encode()


async def test_an_actor_is_asked_by_its_path_or_name_and_looked_up_when_it_is_asked() -> None:
    stage = Stage()

    @stage.queue.job(attempts=2, backoff=Fixed(1.0))
    async def work(job: JobContext) -> bytes:
        return await job.ask("painter", Paint("a goose"), timeout=5.0)

    async with stage.working() as system:
        id_ = await stage.queue.enqueue(work)
        await anyio.sleep(0.5)
        await system.spawn(Child("painter", Painter))
        assert await stage.queue.result(id_) == b"a goose"
        detail = await stage.detail(id_)
    assert [attempt.error_type for attempt in detail.attempts] == ["NoSuchActorError"]
    assert [step.name for step in detail.steps] == ["Paint-1"]
