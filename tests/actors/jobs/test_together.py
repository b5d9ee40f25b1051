"""Parallel steps: all of them to their end, whatever becomes of one."""

import anyio
import pytest

from relight.actors.jobs import JobContext, JobState, together
from relight.supervisors import CircuitBreakerOpenError, FailureKind, ProviderError
from relight.supervisors.policies import Fixed
from tests.actors.jobs.stage import Stage

pytestmark = pytest.mark.anyio
virtual = pytest.mark.virtual_time


async def finish(seconds: float, done: list[float]) -> float:
    await anyio.sleep(seconds)
    done.append(seconds)
    return seconds


async def fail(error: Exception) -> float:
    raise error


@virtual
async def test_results_come_in_the_order_asked_for() -> None:
    done: list[float] = []
    assert await together(*(finish(seconds, done) for seconds in (3.0, 1.0, 2.0))) == (3.0, 1.0, 2.0)
    assert done == [1.0, 2.0, 3.0]
    assert await together() == ()


@virtual
async def test_a_failure_lets_the_others_finish_and_is_raised_as_it_is() -> None:
    done: list[float] = []
    failure = ProviderError("runpod", FailureKind.SERVER)
    with pytest.raises(ProviderError) as caught:
        await together(fail(failure), finish(2.0, done))
    assert caught.value is failure
    assert done == [2.0]


@virtual
async def test_several_failures_are_raised_as_a_group() -> None:
    failures = [ProviderError("runpod", FailureKind.SERVER), ValueError("b")]
    with pytest.raises(ExceptionGroup, match="2 of 3 parallel steps failed") as caught:
        await together(fail(failures[0]), finish(1.0, []), fail(failures[1]))
    assert list(caught.value.exceptions) == failures


@virtual
async def test_a_cancellation_ends_all_of_them() -> None:
    done: list[float] = []
    with anyio.move_on_after(1.5):
        await together(finish(1.0, done), finish(2.0, done))
    assert done == [1.0]


@virtual
async def test_the_next_attempt_of_a_job_finds_what_the_others_finished() -> None:
    stage, done = Stage(), list[float]()
    failures = [ValueError("a"), ValueError("b")]

    async def do(seconds: float) -> float:
        if failures:
            raise failures.pop()
        return await finish(seconds, done)

    @stage.queue.job(backoff=Fixed(1.0))
    async def work(job: JobContext) -> list[float]:
        steps = (job.step("a", do, 3.0), job.step("b", do, 2.0), job.step("other", finish, 1.0, done))
        return list(await together(*steps))

    async with stage.working():
        id_ = await stage.queue.enqueue(work)
        assert await stage.queue.result(id_) == [3.0, 2.0, 1.0]
    assert done == [1.0, 2.0, 3.0]


@virtual
async def test_of_several_failures_the_record_names_one_with_its_own_step() -> None:
    stage = Stage()

    async def break_after(seconds: float) -> None:
        await anyio.sleep(seconds)
        raise ValueError(f"broken after {seconds:g} s")

    @stage.queue.job(attempts=1)
    async def work(job: JobContext) -> None:
        await together(*(job.step(f"wait-{n}", break_after, float(n)) for n in (1, 3, 2)))

    async with stage.working():
        id_ = await stage.queue.enqueue(work)
        await stage.queue.wait(id_)
        attempt = (await stage.detail(id_)).attempts[0]
    assert (attempt.step, attempt.error) == ("wait-1", "broken after 1 s")


@virtual
async def test_when_all_are_refused_no_attempt_is_spent() -> None:
    stage = Stage()

    @stage.queue.job(attempts=1)
    async def work(job: JobContext) -> str:
        if job.runs == 1:
            await together(*(fail(CircuitBreakerOpenError("openai", retry_after=9.0 * n)) for n in (1, 2)))
        return "done"

    async with stage.working():
        id_ = await stage.queue.enqueue(work)
        job = await stage.queue.wait(id_)
    waited = (await stage.detail(id_)).attempts[0]
    assert (job.state, job.attempt, job.runs) == (JobState.SUCCEEDED, 1, 2)
    assert waited.retry_in == pytest.approx(18.9, abs=1.0)
