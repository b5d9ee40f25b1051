"""Steps: done once, whatever happens to the run around them."""

import errno
import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import cast

import anyio
import msgspec
import pytest

from relight.actors import Usage
from relight.actors.jobs import (
    JobContext,
    JobState,
    MemoryStore,
    Queue,
    Retry,
    Step,
    Store,
    StoreError,
    Worker,
    together,
)
from relight.runtime import Actor, Request, StreamRequest, handles
from relight.supervisors import (
    Child,
    FailureKind,
    GuardedActor,
    ProviderError,
    StreamBrokenError,
    current_attempt,
    open_system,
)
from relight.supervisors.policies import Fixed
from tests.actors.jobs.stage import Stage

pytestmark = pytest.mark.anyio
virtual = pytest.mark.virtual_time


class Panel(msgspec.Struct, frozen=True):
    number: int
    usage: Usage = Usage()


class Paint(Request[Panel], frozen=True):
    number: int


class Painter(GuardedActor):
    """Paints for two cents, and keeps the keys it was called with."""

    def __init__(self, keys: list[str]) -> None:
        self.keys = keys

    @handles
    async def paint(self, message: Paint) -> Panel:
        self.keys.append(current_attempt().idempotency_key)
        return Panel(message.number, Usage(usd=0.02))


@pytest.fixture
def stage() -> Stage:
    return Stage()


@virtual
async def test_a_finished_step_is_never_run_again(stage: Stage) -> None:
    done: list[str] = []

    async def do(name: str) -> str:
        done.append(name)
        return name.upper()

    @stage.queue.job(attempts=5, backoff=Fixed(1.0))
    async def work(job: JobContext) -> list[str]:
        results = [await job.step(name, do, name) for name in ("a", "b", "c")[: job.attempt]]
        if job.attempt < 3:
            raise ValueError
        return results

    async with stage.working():
        id_ = await stage.queue.enqueue(work)
        assert await stage.queue.result(id_) == ["A", "B", "C"]
    assert done == ["a", "b", "c"]


@virtual
async def test_a_step_returns_the_same_in_every_run(stage: Stage) -> None:
    """What was stored and read again, also in the run that did it."""
    seen: list[object] = []

    async def typed() -> Panel:
        return Panel(1)

    async def untyped():  # type: ignore[no-untyped-def]
        return Panel(2)

    @stage.queue.job(backoff=Fixed(1.0))
    async def work(job: JobContext) -> None:
        seen.append(await job.step("typed", typed))
        seen.append(await job.step("untyped", untyped))
        seen.append(await job.step("told", partial(untyped), returns=Panel))
        if job.attempt == 1:
            raise Retry

    async with stage.working():
        await stage.queue.wait(await stage.queue.enqueue(work))
    assert seen[:3] == seen[3:]
    assert seen[0] == Panel(1)
    assert isinstance(seen[1], dict)
    assert seen[2] == Panel(2)


@virtual
async def test_parallel_steps_are_each_done_once(stage: Stage) -> None:
    done: list[int] = []

    async def do(number: int) -> int:
        await anyio.sleep(number)
        done.append(number)
        return number

    @stage.queue.job(backoff=Fixed(1.0))
    async def work(job: JobContext) -> int:
        results: list[int] = []

        async def branch(number: int) -> None:
            results.append(await job.step(f"n-{number}", do, number))

        async with anyio.create_task_group() as group:
            for number in range(5):
                group.start_soon(branch, number)
            if job.attempt == 1:
                await anyio.sleep(2.5)
                raise ValueError("in the middle")
        return sum(results)

    async with stage.working():
        assert await stage.queue.result(await stage.queue.enqueue(work)) == 10
    assert sorted(done) == [0, 1, 2, 3, 4]


@virtual
async def test_a_result_is_stored_though_the_run_is_cancelled_meanwhile() -> None:
    """It may be paid for."""

    class Slow(MemoryStore):
        async def save_step(self, job: str, fence: int, step: Step) -> None:
            await anyio.sleep(0.1)
            await super().save_step(job, fence, step)

    stage = Stage(Slow(anyio.current_time))
    done = 0

    async def do() -> int:
        nonlocal done
        done += 1
        with anyio.CancelScope(shield=True):
            await anyio.sleep(3.0)
        return done

    @stage.queue.job(backoff=Fixed(1.0), attempt_timeout=2.0)
    async def work(job: JobContext) -> int:
        return await job.step("paid", do)

    async with stage.working():
        assert await stage.queue.result(await stage.queue.enqueue(work)) == 1
    assert done == 1


@virtual
async def test_two_steps_of_one_name_are_an_error(stage: Stage) -> None:
    async def do() -> None: ...

    @stage.queue.job()
    async def work(job: JobContext) -> None:
        await job.step("a", do)
        await job.step("a", do)

    async with stage.working():
        job = await stage.queue.wait(await stage.queue.enqueue(work))
    assert (job.state, job.attempt) == (JobState.DEAD, 1)
    assert job.error is not None
    assert "step 'a' begins a second time" in job.error


@virtual
async def test_a_step_in_hand_keeps_its_name_for_itself(stage: Stage) -> None:
    async def do(seconds: float) -> None:
        await anyio.sleep(seconds)

    @stage.queue.job()
    async def work(job: JobContext) -> None:
        await together(job.step("a", do, 2.0), job.step("a", do, 1.0))

    async with stage.working():
        job = await stage.queue.wait(await stage.queue.enqueue(work))
    assert (job.state, job.attempt) == (JobState.DEAD, 1)
    assert "step 'a' begins a second time" in (job.error or "")


@virtual
async def test_a_step_that_failed_can_be_tried_again_under_its_name(stage: Stage) -> None:
    tried: list[str] = []

    async def draw(what: str) -> str:
        tried.append(what)
        if len(tried) < 3:
            raise ConnectionError
        return what

    @stage.queue.job(backoff=Fixed(1.0))
    async def work(job: JobContext) -> tuple[str, int]:
        drawn = ""
        for what in ("cat", "small cat", "dot"):
            with suppress(ConnectionError):
                drawn = await job.step("draw", draw, what)
                break
        if job.attempt == 1:
            raise Retry
        return drawn, job.attempt

    async with stage.working():
        id_ = await stage.queue.enqueue(work)
        assert await stage.queue.result_of(work, id_) == ("dot", 2)
    assert tried == ["cat", "small cat", "dot"]
    assert [step.name for step in (await stage.detail(id_)).steps] == ["draw"]


@virtual
async def test_a_step_cut_short_can_be_tried_again_under_its_name(stage: Stage) -> None:
    tried = 0

    async def draw() -> int:
        nonlocal tried
        tried += 1
        await anyio.sleep(10.0 if tried == 1 else 0.0)
        return tried

    @stage.queue.job()
    async def work(job: JobContext) -> int:
        with anyio.move_on_after(1.0):
            return await job.step("draw", draw)
        return await job.step("draw", draw)

    async with stage.working():
        assert await stage.queue.result_of(work, await stage.queue.enqueue(work)) == 2


@virtual
@pytest.mark.parametrize("is_large", [False, True])
async def test_a_job_function_that_goes_back_after_a_failure_finds_what_is_finished(
    stage: Stage, tmp_path: Path, is_large: bool
) -> None:
    """As its next run would."""
    queue = Queue(stage.store, blobs=tmp_path, max_inline=10 if is_large else 1000, clock=anyio.current_time)
    done: list[str] = []

    async def write(what: str) -> str:
        done.append(what)
        return what * 20

    async def paint(what: str) -> None:
        done.append(f"paint {what}")
        if done.count(f"paint {what}") == 1:
            raise ConnectionError

    @queue.job(attempts=1)
    async def work(job: JobContext) -> int:
        while True:
            with suppress(ConnectionError):
                text = await job.step("write", write, "a")
                await job.step("paint", paint, "b")
                return len(text)

    async with stage.system() as system:
        await Worker(queue).start(system)
        assert await queue.result_of(work, await queue.enqueue(work)) == 20
    assert done == ["a", "paint b", "paint b"]


@virtual
async def test_a_finished_step_is_not_mistaken_for_another_of_its_name(stage: Stage) -> None:
    """In a loop that names all its steps alike, each would be given the first one's result."""

    class Odd:
        __hash__ = None  # type: ignore[assignment]

        def __eq__(self, other: object) -> bool:
            raise ValueError("which of these?")

    async def write(what: object) -> None:
        if isinstance(what, str) and what == "bad":
            raise ConnectionError

    @stage.queue.job()
    async def work(job: JobContext, whats: list[str]) -> None:
        for what in whats:
            argument = Odd() if what == "odd" else what
            await job.step("write", write, argument)
            with suppress(ConnectionError):
                await job.step("fail", write, "bad")

    async with stage.working():
        ids = [await stage.queue.enqueue(work, whats) for whats in (["a", "b"], ["odd", "odd"])]
        for id_ in ids:
            assert "step 'write' begins a second time" in ((await stage.queue.wait(id_)).error or "")


@virtual
async def test_a_call_made_again_in_one_run_has_the_same_key_and_another_call_another(stage: Stage) -> None:
    keys: list[str] = []

    class Fails(GuardedActor):
        @handles
        async def paint(self, message: Paint) -> Panel:
            keys.append(current_attempt().idempotency_key)
            raise ProviderError("painter", FailureKind.OVERLOADED, retryable=False)

    @stage.queue.job(attempts=1)
    async def work(job: JobContext) -> None:
        for number in (1, 1, 2, 2, 1):
            with suppress(ProviderError):
                await job.ask("painter", Paint(number), name="panel")

    async with stage.working() as system:
        await system.spawn(Child("painter", Fails))
        id_ = await stage.queue.enqueue(work)
        await stage.queue.wait(id_)
    first, other = f"{id_}:panel", f"{id_}:panel:again-2"
    assert keys == [first, first, other, other, first]


async def _run(queue: Queue, id_: str) -> JobState:
    async with open_system() as system:
        await Worker(queue).start(system)
        return (await queue.wait(id_)).state


def _user(name: str) -> str:
    return f"user-{name}"


async def _do(value: object) -> object:
    return value


@virtual
async def test_a_step_of_another_version_is_not_used_and_not_run_again() -> None:
    store, done = MemoryStore(anyio.current_time), 0

    async def do() -> int:
        nonlocal done
        done += 1
        return done

    def queue(version: str, *, fails: bool) -> Queue:
        made = Queue(store, clock=anyio.current_time)

        @made.job(attempts=1)
        async def work(job: JobContext) -> int:
            result = await job.step("a", do, version=version)
            if fails:
                raise ValueError
            return result

        return made

    old = queue("1", fails=True)
    id_ = await old.enqueue(old.functions["work"])
    assert await _run(old, id_) is JobState.DEAD
    await store.retry([id_])
    new = queue("2", fails=False)
    assert await _run(new, id_) is JobState.DEAD
    (job,) = [detail.job for detail in [await store.job(id_)] if detail]
    assert job.error is not None
    assert "step 'a' was finished by version '1' of its code, which is '2' now" in job.error
    await store.retry([id_])
    assert await _run(queue("1", fails=False), id_) is JobState.SUCCEEDED
    assert done == 1


@virtual
async def test_a_job_with_finished_steps_of_another_version_is_not_run() -> None:
    store = MemoryStore(anyio.current_time)

    def queue(version: str, *, fails: bool) -> Queue:
        made = Queue(store, clock=anyio.current_time)

        @made.job(attempts=1, version=version)
        async def work(job: JobContext) -> None:
            if fails:
                await job.step("a", _do, 1)
                raise ValueError

        return made

    old = queue("1", fails=True)
    begun = await old.enqueue(old.functions["work"])
    assert await _run(old, begun) is JobState.DEAD
    fresh = await old.enqueue(old.functions["work"])
    await store.retry([begun])
    new = queue("2", fails=False)
    assert await _run(new, begun) is JobState.DEAD
    assert await _run(new, fresh) is JobState.SUCCEEDED


@virtual
async def test_a_step_that_the_code_no_longer_has_is_said(stage: Stage) -> None:
    @stage.queue.job(backoff=Fixed(1.0))
    async def work(job: JobContext) -> None:
        if job.attempt == 1:
            await job.step("old name", _do, 1)
            raise ValueError
        await job.step("new name", _do, 1)

    async with stage.working():
        id_ = await stage.queue.enqueue(work)
        assert (await stage.queue.wait(id_)).state is JobState.SUCCEEDED
    assert stage.facts("job.steps_unused")[0]["steps"] == ["old name"]
    assert "log" in await stage.kinds(id_)


@virtual
async def test_a_step_has_its_time(stage: Stage) -> None:
    @stage.queue.job(attempts=1)
    async def work(job: JobContext) -> None:
        await job.step("slow", anyio.sleep, 100.0, timeout=5.0)

    async with stage.working():
        job = await stage.queue.wait(await stage.queue.enqueue(work))
    assert job.error == "step 'slow': not done within 5 s"
    assert job.finished_at == pytest.approx(5.0, abs=0.1)


@virtual
async def test_asks_are_steps_with_the_jobs_own_idempotency_keys(stage: Stage) -> None:
    keys: list[str] = []

    @stage.queue.job(backoff=Fixed(1.0))
    async def work(job: JobContext) -> list[int]:
        first = await job.ask(painter, Paint(1))
        second = await job.step("second", painter.ask, Paint(2))
        if job.attempt == 1:
            raise ValueError
        third = await job.ask(painter, Paint(3), timeout=5.0)
        assert job.cost_usd == pytest.approx(0.06)
        assert job.idempotency_key("second") == f"{job.id}:second"
        return [first.number, second.number, third.number]

    async with stage.working() as system:
        painter = await system.spawn(Child("painter", partial(Painter, keys)))
        id_ = await stage.queue.enqueue(work)
        assert await stage.queue.result(id_) == [1, 2, 3]
    assert keys == [f"{id_}:{step}" for step in ("Paint-1", "second", "Paint-2")]
    detail = await stage.detail(id_)
    assert detail.job.cost_usd == pytest.approx(0.06)
    assert [step.cost_usd for step in detail.steps] == [0.02, 0.02, 0.02]
    assert await stage.store.spent(since=0.0) == pytest.approx(0.06)


class Talk(StreamRequest[Panel], frozen=True):
    breaks: bool = False


class Speaker(GuardedActor):
    """Says what it cost in its last part, or with the news that it broke."""

    @handles
    async def talk(self, message: Talk) -> AsyncGenerator[Panel]:
        yield Panel(1)
        if message.breaks:
            raise StreamBrokenError("speaker", partial=Panel(1, Usage(usd=0.01)))
        yield Panel(2, Usage(usd=0.03))


@virtual
@pytest.mark.parametrize("leaves", [False, True])
async def test_what_a_stream_cost_is_its_steps(stage: Stage, leaves: bool) -> None:
    async def listen(talk: Talk) -> int:
        heard = 0
        with suppress(StreamBrokenError):
            async with speaker.stream(talk) as parts:
                async for part in parts:
                    heard += 1
                    if leaves and part.number == 2:
                        break
        return heard

    @stage.queue.job(attempts=1)
    async def work(job: JobContext) -> list[int]:
        return [await job.step("well", listen, Talk()), await job.step("broken", listen, Talk(breaks=True))]

    async with stage.working() as system:
        speaker = await system.spawn(Child("speaker", Speaker))
        id_ = await stage.queue.enqueue(work)
        assert await stage.queue.result_of(work, id_) == [2, 1]
    detail = await stage.detail(id_)
    assert {step.name: step.cost_usd for step in detail.steps} == {"well": 0.03, "broken": 0.01}
    assert (detail.job.cost_usd, await stage.store.spent(since=0.0)) == (0.04, 0.04)


@virtual
async def test_calls_after_a_step_that_failed_are_the_jobs_own_again(stage: Stage) -> None:
    keys: list[str] = []

    async def fail() -> None:
        raise ValueError

    @stage.queue.job(attempts=1)
    async def work(job: JobContext) -> None:
        with suppress(ValueError):
            await job.step("fails", fail)
        await painter.ask(Paint(1))

    async with stage.working() as system:
        painter = await system.spawn(Child("painter", partial(Painter, keys)))
        id_ = await stage.queue.enqueue(work)
        await stage.queue.wait(id_)
    assert keys == [f"{id_}:run-1"]
    assert (await stage.job(id_)).cost_usd == pytest.approx(0.02)


@virtual
async def test_a_call_made_again_after_a_crash_has_the_same_key(stage: Stage) -> None:
    """Also one that an agent in between makes; each call of a step has a key of its own."""
    keys: list[str] = []

    class Draw(Request[int], frozen=True):
        panels: int

    class Agent(Actor):
        @handles
        async def draw(self, message: Draw) -> int:
            for number in range(message.panels):
                await painter.ask(Paint(number))
            if len(keys) == 2:
                raise ValueError("crashed before it answered")
            return message.panels

    @stage.queue.job(backoff=Fixed(1.0))
    async def work(job: JobContext) -> int:
        return await job.step("draw", agent.ask, Draw(2))

    async with stage.working() as system:
        painter = await system.spawn(Child("painter", partial(Painter, keys)))
        agent = await system.spawn(Child("agent", Agent))
        id_ = await stage.queue.enqueue(work)
        assert await stage.queue.result(id_) == 2
    assert keys == [f"{id_}:draw", f"{id_}:draw:2"] * 2
    assert (await stage.job(id_)).cost_usd == pytest.approx(0.08)  # what the failed run cost, too


@virtual
async def test_calls_outside_a_job_have_random_keys(stage: Stage) -> None:
    keys: list[str] = []
    async with stage.system() as system:
        painter = await system.spawn(Child("painter", partial(Painter, keys)))
        await painter.ask(Paint(1))
        await painter.ask(Paint(1), timeout=5.0)
    assert len(set(keys)) == 2
    assert all(len(key) == 32 for key in keys)


@virtual
async def test_a_sleep_holds_no_slot_and_spends_no_attempt(stage: Stage) -> None:
    began: list[float] = []

    @stage.queue.job()
    async def sleepy(job: JobContext) -> float:
        began.append(anyio.current_time())
        await job.sleep(1000.0)
        await job.sleep(500.0)
        await job.sleep(0.5)
        return anyio.current_time()

    @stage.queue.job()
    async def other(job: JobContext) -> float:
        return anyio.current_time()

    async with stage.working(concurrency=1):
        first = await stage.queue.enqueue(sleepy)
        second = await stage.queue.enqueue(other)
        assert await stage.queue.result_of(other, second) < 1.0
        assert (await stage.job(first)).state is JobState.WAITING
        assert await stage.queue.result_of(sleepy, first) == pytest.approx(1500.5, abs=0.1)
    job = await stage.job(first)
    assert (job.attempt, job.runs) == (1, 3)
    assert [attempt.is_spent for attempt in (await stage.detail(first)).attempts] == [False, False]


@virtual
async def test_a_sleep_beside_a_step_in_hand_waits_in_place(stage: Stage) -> None:
    done = 0

    async def do() -> None:
        nonlocal done
        done += 1
        await anyio.sleep(100.0)

    @stage.queue.job()
    async def work(job: JobContext) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(job.step, "paid", do)
            await anyio.sleep(1.0)
            await job.sleep(50.0)

    async with stage.working():
        id_ = await stage.queue.enqueue(work)
        await stage.queue.wait(id_)
    job = await stage.job(id_)
    assert (done, job.runs, job.state) == (1, 1, JobState.SUCCEEDED)


@virtual
async def test_a_job_tells_how_far_it_is(stage: Stage) -> None:
    @stage.queue.job()
    async def work(job: JobContext) -> None:
        await job.progress(0.25, "a quarter")
        await job.progress(7.0)
        await job.log("hello", panel=3)

    async with stage.working():
        id_ = await stage.queue.enqueue(work)
        await stage.queue.wait(id_)
    told = [
        (event.kind, event.data) for event in await stage.events(id_) if event.kind in ("progress", "log")
    ]
    expected: list[tuple[str, Mapping[str, object]]] = [
        ("progress", {"value": 0.25, "message": "a quarter"}),
        ("progress", {"value": 1.0}),
        ("log", {"text": "hello", "panel": 3}),
    ]
    assert told == expected


@virtual
async def test_a_context_knows_its_job(stage: Stage) -> None:
    seen: list[object] = []

    @stage.queue.job(attempts=1, user=_user)
    async def work(job: JobContext, name: str) -> None:
        seen.extend(
            (job.id, job.kind, job.queue, job.user, job.attempt, job.max_attempts, job.is_last_attempt)
        )
        seen.extend((job.service_retries, job.seconds_left, repr(job)))

    async with stage.working():
        id_ = await stage.queue.enqueue(work, "ann")
        await stage.queue.wait(id_)
    assert seen[:7] == [id_, "work", "default", "user-ann", 1, 1, True]
    assert seen[7:] == [0, float("inf"), f"<JobContext work {id_} attempt 1>"]


# --- large results: real files, real time --------------------------------------------------------------


async def test_a_large_result_goes_to_a_file_and_comes_back(tmp_path: Path) -> None:
    store = MemoryStore()
    queue = Queue(store, blobs=tmp_path / "blobs", max_inline=100)
    done = 0

    async def large() -> str:
        nonlocal done
        done += 1
        return "x" * 1000

    @queue.job(backoff=Fixed(0.0))
    async def work(job: JobContext) -> int:
        text = await job.step("large", large)
        if job.attempt == 1:
            raise ValueError
        return len(text)

    id_ = await queue.enqueue(work)
    assert await _run(queue, id_) is JobState.SUCCEEDED
    detail = await store.job(id_)
    assert detail is not None
    (step,) = detail.steps
    files = [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]
    assert [path.name for path in files] == [step.blob]
    assert (done, step.result, detail.job.result) == (1, b"", b"1000")


@pytest.mark.parametrize("trouble", [errno.ENOSPC, errno.EACCES, errno.EROFS])
async def test_a_large_result_waits_until_its_folder_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: int
) -> None:
    """What the step did is paid for: it is not done again because a disk is full."""
    store = MemoryStore()
    queue = Queue(store, blobs=tmp_path, max_inline=100)
    done, refused = 0, 0
    fsync = os.fsync

    def full(handle: int) -> None:
        nonlocal refused
        if refused < 2:
            refused += 1
            raise OSError(trouble, os.strerror(trouble))
        fsync(handle)

    async def large() -> str:
        nonlocal done
        done += 1
        monkeypatch.setattr(os, "fsync", full)
        return "x" * 1000

    @queue.job(attempts=1)
    async def work(job: JobContext) -> int:
        return len(await job.step("large", large))

    id_ = await queue.enqueue(work)
    assert await _run(queue, id_) is JobState.SUCCEEDED
    assert (done, refused) == (1, 2)


async def test_a_large_result_is_put_back_where_it_was_swept_while_it_waited(tmp_path: Path) -> None:
    """While the store is away for long, and another worker finds that nobody refers to the file."""
    refused = anyio.Event()

    class Away(MemoryStore):
        async def save_step(self, job: str, fence: int, step: Step) -> None:
            if not refused.is_set():
                (file,) = (path for path in tmp_path.rglob("*") if path.is_file())  # noqa: ASYNC240
                file.unlink()
                refused.set()
                raise StoreError("a store", "away", is_passing=True)
            await super().save_step(job, fence, step)

    queue = Queue(Away(), blobs=tmp_path, max_inline=100)

    async def large() -> str:
        return "x" * 1000

    @queue.job(attempts=1)
    async def work(job: JobContext) -> int:
        return len(await job.step("large", large))

    async with open_system() as system:
        await Worker(queue).start(system)
        id_ = await queue.enqueue(work)
        assert await queue.result_of(work, id_, timeout=30.0) == 1000
    assert refused.is_set()
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 1  # noqa: ASYNC240


async def test_a_damaged_file_is_noticed_and_the_step_not_run_again(tmp_path: Path) -> None:
    store = MemoryStore()
    queue = Queue(store, blobs=tmp_path, max_inline=10)
    done = 0

    async def large() -> str:
        nonlocal done
        done += 1
        return "x" * 1000

    @queue.job(attempts=2, backoff=Fixed(0.0))
    async def work(job: JobContext) -> None:
        await job.step("large", large)
        (file,) = (path for path in tmp_path.rglob("*") if path.is_file())  # noqa: ASYNC240 - a moment  # noqa: ASYNC240
        file.write_bytes(b"y")
        raise ValueError

    id_ = await queue.enqueue(work)
    assert await _run(queue, id_) is JobState.DEAD
    detail = await store.job(id_)
    assert detail is not None
    assert done == 1
    assert "is damaged" in (detail.job.error or "")


@pytest.mark.parametrize("limits", [{"max_inline": 10}, {"max_result": 10}])
async def test_a_result_too_large_says_what_to_do(limits: dict[str, int]) -> None:
    store = MemoryStore()
    queue = Queue(store, **limits)  # type: ignore[arg-type]

    @queue.job()
    async def work(job: JobContext) -> None:
        await job.step("large", _do, "x" * 1000)

    id_ = await queue.enqueue(work)
    assert await _run(queue, id_) is JobState.DEAD
    detail = await store.job(id_)
    assert detail is not None
    assert "1002 bytes, more than 10" in (detail.job.error or "")


def _ring() -> list[object]:
    ring: list[object] = []
    ring.append(ring)
    return ring


UNSTORABLE = [object(), {("a", "b"): 1}, _ring()]


@virtual
@pytest.mark.parametrize("result", UNSTORABLE, ids=["object", "keys", "ring"])
async def test_a_result_that_can_not_be_stored_is_paid_for_once(stage: Stage, result: object) -> None:
    """Another attempt would cost the same money and give the same."""
    done: list[str] = []

    async def odd():  # type: ignore[no-untyped-def]
        done.append("odd")
        return result

    @stage.queue.job(attempts=5)
    async def work(job: JobContext) -> None:
        await job.step("odd", odd)

    async with stage.working():
        id_ = await stage.queue.enqueue(work)
        job = await stage.queue.wait(id_)
    assert (job.state, job.attempt, done) == (JobState.DEAD, 1, ["odd"])
    assert "step 'odd': its result can't be stored" in (job.error or "")
    assert "return what JSON holds" in (job.error or "")
    assert (job.cause or "").startswith("odd: UnstorableResultError")


@virtual
async def test_a_jobs_own_result_that_can_not_be_stored_is_the_end(stage: Stage) -> None:
    @stage.queue.job(attempts=5)
    async def work(job: JobContext) -> object:
        return object()

    async with stage.working():
        job = await stage.queue.wait(await stage.queue.enqueue(work))
    assert (job.state, job.attempt) == (JobState.DEAD, 1)
    assert f"job {job.id}: its result can't be stored" in (job.error or "")


@virtual
async def test_a_result_of_another_type_is_tried_again(stage: Stage) -> None:
    """What a model says next may be what was asked for."""
    said: list[object] = ["half an emoji \ud83d", {"number": "one"}, {"number": 1}]

    async def ask() -> Panel:
        return cast("Panel", said.pop(0))

    @stage.queue.job(attempts=5, backoff=Fixed(1.0))
    async def work(job: JobContext) -> tuple[int, int]:
        return (await job.step("ask", ask)).number, job.attempt

    async with stage.working():
        assert await stage.queue.result_of(work, await stage.queue.enqueue(work)) == (1, 3)


@virtual
@pytest.mark.parametrize("what", ["step", "job"])
async def test_a_result_that_the_store_does_not_take_is_paid_for_once(what: str) -> None:
    class Picky(MemoryStore):
        def check(self, data: bytes) -> None:
            if len(data) > 100:
                raise StoreError("a store", "string or blob too big", is_passing=False, is_of_value=True)

        async def save_step(self, job: str, fence: int, step: Step) -> None:
            self.check(step.result)
            await super().save_step(job, fence, step)

        async def succeed(
            self, job: str, fence: int, result: bytes, *, cost_usd: float, retries: int
        ) -> None:
            self.check(result)
            await super().succeed(job, fence, result, cost_usd=cost_usd, retries=retries)

    stage = Stage(Picky(anyio.current_time))
    done: list[str] = []

    async def draw() -> str:
        done.append("draw")
        return "x" * 200

    @stage.queue.job(attempts=5)
    async def work(job: JobContext) -> str:
        return await (job.step("draw", draw) if what == "step" else draw())

    async with stage.working():
        job = await stage.queue.wait(await stage.queue.enqueue(work))
    assert (job.state, job.attempt, done) == (JobState.DEAD, 1, ["draw"])
    where = f"job {job.id}, step 'draw'" if what == "step" else f"job {job.id}"
    assert f"{where}: its result (202 bytes) can't be stored: a store: string or blob" in (job.error or "")
    assert "worker.lease_lost" not in stage.words()


@virtual
@pytest.mark.parametrize("usd", [float("nan"), float("inf"), -0.5])
async def test_what_is_no_sum_is_not_charged(stage: Stage, usd: float) -> None:
    @stage.queue.job(attempts=1)
    async def work(job: JobContext) -> None:
        job.charge(0.25)
        job.charge(usd)

    async with stage.working():
        job = await stage.queue.wait(await stage.queue.enqueue(work))
    assert (job.cost_usd, job.state) == (0.25, JobState.DEAD)
    assert "usd must be 0 or more, and finite" in (job.error or "")


@virtual
@pytest.mark.parametrize("seconds", [float("nan"), float("inf")])
async def test_a_sleep_without_an_end_is_refused(stage: Stage, seconds: float) -> None:
    @stage.queue.job(attempts=1)
    async def work(job: JobContext) -> None:
        await job.sleep(seconds)

    async with stage.working():
        job = await stage.queue.wait(await stage.queue.enqueue(work))
    assert "seconds must be finite" in (job.error or "")


@virtual
@pytest.mark.parametrize("name", ["a\0b", "half an emoji \ud83d", "x" * 1001])
async def test_a_step_whose_name_can_not_be_stored_is_not_begun(stage: Stage, name: str) -> None:
    begun: list[str] = []

    async def pay() -> None:
        begun.append("pay")

    @stage.queue.job(attempts=1)
    async def work(job: JobContext) -> None:
        await job.step(name, pay)

    async with stage.working():
        job = await stage.queue.wait(await stage.queue.enqueue(work))
    assert (job.state, begun) == (JobState.DEAD, [])
    assert "step: name" in (job.error or "")


async def test_texts_no_store_takes_are_written_out(closed_store: Store) -> None:
    """A model's reply may end in half an emoji, a program's output in anything."""
    queue = Queue(closed_store)

    @queue.job(attempts=1)
    async def work(job: JobContext) -> None:
        await job.log("half \ud83d", facts={"a\0": ["b\0", 1]}, whole="\U0001f600")
        await job.progress(0.5, "\ud83d")
        raise ValueError("half \ud83d and \0")

    async with open_system() as system:
        await system.spawn(Worker(queue).spec())
        id_ = await queue.enqueue(work)
        job = await queue.wait(id_, 30.0)
        assert (job.state, job.error) == (JobState.DEAD, "half \\ud83d and \\0")
        log, progress = [
            event.data for event in await closed_store.events("0") if event.kind in ("log", "progress")
        ]
    assert log == {"text": "half \\ud83d", "facts": {"a\\0": ["b\\0", 1]}, "whole": "\U0001f600"}
    assert progress["message"] == "\\ud83d"
