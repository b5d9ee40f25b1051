"""Attempts: what follows when a run of a job fails, row by row, in virtual time."""

from collections.abc import Awaitable, Callable
from functools import partial
from itertools import pairwise
from random import Random

import anyio
import pytest

from relight.actors.jobs import Fail, JobContext, JobState, Retry
from relight.runtime import Actor, DeadlineExceededError, Request, handles
from relight.supervisors import (
    BudgetExceededError,
    Child,
    CircuitBreakerOpenError,
    FailureKind,
    GuardedActor,
    ProviderError,
    RateLimitedError,
    RetriesExhaustedError,
)
from relight.supervisors.policies import Fixed, Policy
from relight.supervisors.policies import Retry as CallRetry
from tests.actors.jobs.stage import Stage

pytestmark = [pytest.mark.anyio, pytest.mark.virtual_time]


@pytest.fixture
def stage() -> Stage:
    return Stage()


class Ask(Request[str], frozen=True):
    pass


async def test_a_job_fails_three_times_with_growing_waits_and_then_succeeds(stage: Stage) -> None:
    began: list[float] = []

    @stage.queue.job()
    async def stubborn(job: JobContext) -> str:
        began.append(anyio.current_time())
        if job.attempt < 4:
            raise ConnectionError(f"try {job.attempt}")
        return "done"

    async with stage.working():
        id_ = await stage.queue.enqueue(stubborn)
        assert await stage.queue.result_of(stubborn, id_, timeout=300.0) == "done"
    waits = [after - before for before, after in pairwise(began)]
    assert len(waits) == 3
    assert waits == sorted(waits)
    assert 1.0 <= waits[0] <= 2.0 < waits[1] <= 8.0 < waits[2] <= 32.0
    round_ = ["started", "retrying"]
    assert await stage.kinds(id_) == ["enqueued", *round_, *round_, *round_, "started", "succeeded"]
    attempts = (await stage.detail(id_)).attempts
    assert [(each.number, each.error, each.is_spent) for each in attempts] == [
        (1, "try 1", True),
        (2, "try 2", True),
        (3, "try 3", True),
    ]
    assert "ConnectionError: try 3" in attempts[-1].traceback
    assert stage.words() == [
        *("job.started", "job.retrying") * 3,
        "job.started",
        "job.succeeded",
    ]


async def test_a_job_is_dead_after_its_last_attempt(stage: Stage) -> None:
    @stage.queue.job(attempts=5)
    async def hopeless(job: JobContext) -> None:
        raise ValueError("never")

    async with stage.working():
        id_ = await stage.queue.enqueue(hopeless)
        job = await stage.queue.wait(id_)
    assert (job.state, job.attempt, job.runs, job.error) == (JobState.DEAD, 5, 5, "never")
    assert job.cause == "ValueError: never"
    attempts = (await stage.detail(id_)).attempts
    assert [attempt.retry_in is None for attempt in attempts] == [False] * 4 + [True]
    assert stage.facts("job.dead")[0]["error"] == "never"


async def test_a_job_may_say_that_another_attempt_is_of_no_use(stage: Stage) -> None:
    @stage.queue.job()
    async def picky(job: JobContext) -> None:
        raise Fail("the order is empty")

    async with stage.working():
        job = await stage.queue.wait(await stage.queue.enqueue(picky))
    assert (job.state, job.attempt, job.error) == (JobState.DEAD, 1, "the order is empty")


async def test_a_backoff_that_raises_ends_its_own_job_alone(stage: Stage) -> None:
    class Broken(Fixed, frozen=True):
        def wait(self, attempt: int, rng: Random) -> float:
            raise RuntimeError("no such wait")

    @stage.queue.job(backoff=Broken(1.0))
    async def failing(job: JobContext) -> None:
        raise ValueError

    @stage.queue.job()
    async def long(job: JobContext) -> int:
        await anyio.sleep(100.0)
        return job.runs

    async with stage.working():
        other = await stage.queue.enqueue(long)
        job = await stage.queue.wait(await stage.queue.enqueue(failing))
        assert await stage.queue.result_of(long, other) == 1
    assert (job.state, job.runs, job.error) == (JobState.DEAD, 1, "no such wait")
    assert "worker.lease_lost" not in stage.words()


async def test_a_job_may_say_when_to_try_again(stage: Stage) -> None:
    @stage.queue.job()
    async def polite(job: JobContext) -> float:
        if job.attempt == 1:
            raise Retry("not yet", after=500.0)
        return anyio.current_time()

    async with stage.working():
        id_ = await stage.queue.enqueue(polite)
        assert await stage.queue.result_of(polite, id_) >= 500.0
    assert (await stage.job(id_)).attempt == 2


async def test_a_refusal_with_a_moment_waits_for_it_and_spends_no_attempt(stage: Stage) -> None:
    """Also when there are more refusals than attempts."""

    @stage.queue.job(attempts=2)
    async def refused(job: JobContext) -> str:
        if anyio.current_time() < 200.0:
            raise CircuitBreakerOpenError("openai", retry_after=30.0)
        return "done"

    async with stage.working():
        id_ = await stage.queue.enqueue(refused)
        assert await stage.queue.result_of(refused, id_) == "done"
    job = await stage.job(id_)
    assert job.attempt == 1
    assert job.runs > 6
    assert {attempt.is_spent for attempt in (await stage.detail(id_)).attempts} == {False}
    assert "retrying" not in await stage.kinds(id_)


async def test_a_refused_job_holds_no_slot_while_it_waits(stage: Stage) -> None:
    @stage.queue.job()
    async def refused(job: JobContext) -> None:
        if job.runs == 1:
            raise RateLimitedError("openai", retry_after=1000.0)

    @stage.queue.job()
    async def other(job: JobContext) -> float:
        return anyio.current_time()

    async with stage.working(concurrency=1):
        first = await stage.queue.enqueue(refused)
        second = await stage.queue.enqueue(other)
        assert await stage.queue.result_of(other, second) < 1.0
        assert (await stage.job(first)).state is JobState.WAITING
        assert (await stage.queue.wait(first)).state is JobState.SUCCEEDED


async def test_a_refusal_that_outlasts_the_deadline_is_the_end(stage: Stage) -> None:
    @stage.queue.job(timeout=60.0)
    async def refused(job: JobContext) -> None:
        raise CircuitBreakerOpenError("openai", retry_after=300.0)

    async with stage.working():
        job = await stage.queue.wait(await stage.queue.enqueue(refused))
    assert job.state is JobState.DEAD
    assert job.finished_at is not None
    assert job.finished_at < 1.0


@pytest.mark.parametrize(
    "refusal",
    [
        # Half-open: nobody knows when its probe will be back.
        partial(CircuitBreakerOpenError, "openai"),
        # Met by a service on the way.
        partial(ProviderError, "outer", FailureKind.REFUSED),
        partial(CircuitBreakerOpenError, "openai", retry_after=0.0),
    ],
)
async def test_a_refusal_without_a_moment_is_waited_for_a_little(
    stage: Stage, refusal: Callable[[], Exception]
) -> None:
    @stage.queue.job(attempts=2)
    async def refused(job: JobContext) -> None:
        if anyio.current_time() < 5.0:
            raise refusal()

    async with stage.working():
        job = await stage.queue.wait(await stage.queue.enqueue(refused))
    assert (job.state, job.attempt) == (JobState.SUCCEEDED, 1)
    assert 4 < job.runs < 60


async def test_a_deadline_that_is_too_near_is_no_refusal(stage: Stage) -> None:
    @stage.queue.job(attempts=2)
    async def late(job: JobContext) -> None:
        raise DeadlineExceededError("openai", "not begun")

    async with stage.working():
        job = await stage.queue.wait(await stage.queue.enqueue(late))
    assert (job.state, job.attempt) == (JobState.DEAD, 2)


async def test_a_refusal_that_crashed_an_agent_is_still_a_refusal(stage: Stage) -> None:
    class Agent(Actor):
        @handles
        async def ask(self, message: Ask) -> str:
            if anyio.current_time() < 50.0:
                raise CircuitBreakerOpenError("openai", retry_after=60.0)
            return "done"

    @stage.queue.job()
    async def work(job: JobContext) -> str:
        return await job.ask(agent, Ask())

    async with stage.working() as system:
        agent = await system.spawn(Child("agent", Agent))
        id_ = await stage.queue.enqueue(work)
        assert await stage.queue.result_of(work, id_) == "done"
    assert (await stage.job(id_)).attempt == 1


async def test_what_the_guard_retried_is_one_attempt_and_its_count_is_kept(stage: Stage) -> None:
    calls = 0

    class Ill(GuardedActor):
        policy = Policy(retry=CallRetry(attempts=3, backoff=Fixed(1.0)), breaker=None)

        @handles
        async def ask(self, message: Ask) -> str:
            nonlocal calls
            calls += 1
            if calls <= 4:
                raise ProviderError("ill", FailureKind.SERVER, "down")
            return "done"

    @stage.queue.job()
    async def work(job: JobContext) -> str:
        return await job.step("ask", ill.ask, Ask())

    async with stage.working() as system:
        ill = await system.spawn(Child("ill", Ill))
        id_ = await stage.queue.enqueue(work)
        assert await stage.queue.result_of(work, id_) == "done"
    detail = await stage.detail(id_)
    assert (calls, detail.job.attempt) == (5, 2)
    assert detail.attempts[0].error_type == RetriesExhaustedError.__name__
    assert detail.attempts[0].step == "ask"
    assert detail.job.service_retries == 3  # two of the first call, one of the second
    assert detail.steps[0].service_retries == 1


async def test_a_caller_fault_is_not_tried_again(stage: Stage) -> None:
    @stage.queue.job()
    async def work(job: JobContext) -> None:
        raise ProviderError("openai", FailureKind.BAD_REQUEST, "no such parameter")

    async with stage.working():
        job = await stage.queue.wait(await stage.queue.enqueue(work))
    assert (job.state, job.attempt) == (JobState.DEAD, 1)


async def test_waits_go_by_the_kind_of_error(stage: Stage) -> None:
    @stage.queue.job(
        backoff=Fixed(1.0), backoff_by_error={OSError: Fixed(50.0), FailureKind.OVERLOADED: Fixed(500.0)}
    )
    async def work(job: JobContext) -> None:
        if job.attempt == 1:
            raise ConnectionError("an OSError")
        if job.attempt == 2:
            raise ProviderError("openai", FailureKind.OVERLOADED)
        raise ValueError(job.attempt)

    async with stage.working():
        id_ = await stage.queue.enqueue(work)
        await stage.queue.wait(id_)
    waits = [attempt.retry_in for attempt in (await stage.detail(id_)).attempts]
    assert waits == [50.0, 500.0, 1.0, 1.0, None]


async def test_a_service_that_says_when_to_come_back_is_not_asked_before(stage: Stage) -> None:
    @stage.queue.job(attempts=2, backoff=Fixed(1.0))
    async def work(job: JobContext) -> None:
        raise ProviderError("openai", FailureKind.RATE_LIMIT, retry_after=90.0)

    async with stage.working():
        id_ = await stage.queue.enqueue(work)
        await stage.queue.wait(id_)
    assert (await stage.detail(id_)).attempts[0].retry_in == 90.0


async def test_a_spent_budget_is_the_end(stage: Stage) -> None:
    @stage.queue.job(budget_usd=1.0)
    async def work(job: JobContext) -> None:
        await job.step("one", one)
        job.charge(2.0)
        await job.step("two", one)

    async def one() -> int:
        return 1

    async with stage.working():
        id_ = await stage.queue.enqueue(work)
        job = await stage.queue.wait(id_)
    assert (job.state, job.attempt, job.cost_usd) == (JobState.DEAD, 1, 2.0)
    assert (await stage.detail(id_)).attempts[0].error_type == BudgetExceededError.__name__


async def test_an_attempt_that_takes_too_long_is_cancelled_and_spent(stage: Stage) -> None:
    @stage.queue.job(attempt_timeout=10.0)
    async def slow(job: JobContext) -> str:
        await anyio.sleep(5.0 if job.attempt == 2 else 50.0)
        return "done"

    async with stage.working():
        id_ = await stage.queue.enqueue(slow)
        assert await stage.queue.result_of(slow, id_) == "done"
    attempt = (await stage.detail(id_)).attempts[0]
    assert (attempt.error, attempt.error_type, attempt.seconds) == (
        "not done within 10 s",
        "TimeoutError",
        10.0,
    )


async def test_a_job_past_its_deadline_is_cancelled_and_dead(stage: Stage) -> None:
    @stage.queue.job(timeout=30.0)
    async def slow(job: JobContext) -> None:
        assert 29.0 < job.seconds_left <= 30.0
        await anyio.sleep(1000.0)

    async with stage.working():
        job = await stage.queue.wait(await stage.queue.enqueue(slow))
    assert (job.state, job.error) == (JobState.DEAD, "its deadline passed")
    assert job.finished_at == pytest.approx(30.0, abs=0.1)


async def test_errors_of_parallel_branches_are_judged_together(stage: Stage) -> None:
    """One refusal among real failures does not make the attempt free, and the longest wait counts."""

    @stage.queue.job(attempts=2, backoff=Fixed(1.0))
    async def work(job: JobContext) -> None:
        refusal = CircuitBreakerOpenError("openai", retry_after=99.0)
        raise ExceptionGroup("both", [refusal, ExceptionGroup("inner", [ValueError("broken")])])

    async with stage.working():
        id_ = await stage.queue.enqueue(work)
        job = await stage.queue.wait(id_)
    first = (await stage.detail(id_)).attempts[0]
    assert (job.state, job.attempt) == (JobState.DEAD, 2)
    assert (first.is_spent, first.retry_in) == (True, 99.0)
    assert first.error == "broken"


async def test_of_parallel_steps_that_failed_the_gravest_is_told_with_its_own_step(stage: Stage) -> None:
    async def fail(error: Exception) -> None:
        raise error

    async def together(*works: Awaitable[None]) -> None:
        errors: list[Exception] = []
        for work in works:
            try:
                await work
            except Exception as error:  # noqa: BLE001 - raised below
                errors.append(error)
        raise ExceptionGroup("both", errors)

    @stage.queue.job(attempts=1)
    async def work(job: JobContext) -> None:
        refusal = CircuitBreakerOpenError("openai", retry_after=9.0)
        await together(job.step("draw", fail, ValueError("broken")), job.step("write", fail, refusal))

    async with stage.working():
        id_ = await stage.queue.enqueue(work)
        await stage.queue.wait(id_)
    (attempt,) = (await stage.detail(id_)).attempts
    assert (attempt.error, attempt.step) == ("broken", "draw")


async def test_secrets_stay_out_of_what_is_stored(stage: Stage) -> None:
    @stage.queue.job(attempts=1)
    async def leaky(job: JobContext) -> None:
        await job.log("token=abcdefgh12345678", api_key="abc", note="x")
        raise ValueError("401 for api_key=sk-proj-abcdefgh12345678")

    async with stage.working():
        id_ = await stage.queue.enqueue(leaky)
        await stage.queue.wait(id_)
    everything = repr((await stage.detail(id_), await stage.events(id_), stage.said))
    assert "12345678" not in everything
    assert "'abc'" not in everything


async def test_the_traceback_of_a_crashed_actor_tells_its_own_error_and_where(stage: Stage) -> None:
    """The ask's frames come after the cause's, and there are more of them than is kept."""

    class Broken(Actor):
        @handles
        async def ask(self, message: Ask) -> str:
            raise LookupError("no ink in the third drawer")

    @stage.queue.job(attempts=1)
    async def draw(job: JobContext) -> str:
        return await job.ask("broken", Ask())

    async with stage.working() as system:
        await system.spawn(Child("broken", Broken))
        id_ = await stage.queue.enqueue(draw)
        await stage.queue.wait(id_)
    (attempt,) = (await stage.detail(id_)).attempts
    assert attempt.traceback.startswith("Traceback (most recent call last)")
    told = [
        line
        for line in attempt.traceback.splitlines()
        if line.strip().startswith(("raise LookupError", "LookupError:", "return await job.ask", "relight."))
    ]
    assert [line.strip().partition("(")[0] for line in told] == [
        "raise LookupError",
        "LookupError: no ink in the third drawer",
        "return await job.ask",
        "relight.runtime.ActorCrashedError: broken: crashed on Ask: LookupError",
    ]


async def test_a_long_traceback_is_cut(stage: Stage) -> None:
    @stage.queue.job(attempts=1)
    async def deep(job: JobContext) -> None:
        raise ValueError("x" * 100_000)

    async with stage.working():
        id_ = await stage.queue.enqueue(deep)
        await stage.queue.wait(id_)
    (attempt,) = (await stage.detail(id_)).attempts
    assert len(attempt.traceback) <= 2048
    assert len(attempt.error) <= 2048
