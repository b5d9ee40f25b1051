import math
from collections.abc import Awaitable, Callable
from random import Random

import anyio
import pytest
import trio
from trio.testing import MockClock

from relight.actors.ops.demo import Attempts, Bury, JobBoard, JobState, MemorySteps, Steps, WaitFor
from relight.runtime import DeadlineExceededError, RefusalError
from relight.supervisors import CircuitBreakerOpenError, FailureKind, ProviderError
from relight.supervisors.policies import Fixed

RNG = Random(1)
BUSY = ProviderError("openai", FailureKind.OVERLOADED, "busy")
REFUSED = RefusalError("openai", "the breaker is open", retry_after=10.0)


def a_board(attempts: Attempts | None = None) -> JobBoard:
    chosen = attempts or Attempts(backoff=Fixed(1.0), deadline=1_000.0)
    return JobBoard(MemorySteps(), chosen, rng=Random(1))


def failing(*errors: Exception) -> Callable[[Steps], Awaitable[None]]:
    left = list(errors)

    async def work(steps: Steps) -> None:
        if left:
            raise left.pop(0)

    return work


# ---- the decision


def test_a_failure_waits_the_backoff_and_spends_the_attempt() -> None:
    assert Attempts(backoff=Fixed(3.0)).decide(BUSY, 1, 100.0, RNG) == WaitFor(3.0, is_spent=True)


def test_the_last_attempt_buries_the_job_with_the_reason() -> None:
    verdict = Attempts(attempts=5).decide(BUSY, 5, 100.0, RNG)
    assert isinstance(verdict, Bury)
    assert "busy" in verdict.reason


@pytest.mark.parametrize("attempt", [1, 5])
def test_a_refusal_with_a_hint_waits_that_long_and_spends_nothing(attempt: int) -> None:
    verdict = Attempts(attempts=5).decide(REFUSED, attempt, 100.0, RNG)
    assert isinstance(verdict, WaitFor)
    assert not verdict.is_spent
    assert 10.0 <= verdict.seconds <= 11.0


def test_a_refusal_that_says_now_still_waits_a_little() -> None:
    verdict = Attempts().decide(RefusalError("openai", "probing", retry_after=0.0), 1, 100.0, RNG)
    assert isinstance(verdict, WaitFor)
    assert verdict.seconds > 0.05


def test_a_refusal_that_cannot_say_when_spends_nothing_either() -> None:
    verdict = Attempts(attempts=5).decide(
        CircuitBreakerOpenError("openai", "its probe is out"), 5, 100.0, RNG
    )
    assert isinstance(verdict, WaitFor)
    assert not verdict.is_spent
    assert 0.5 < verdict.seconds < 2.0


def test_a_deadline_that_passed_before_the_call_is_an_attempt() -> None:
    error = DeadlineExceededError("openai", "too late")
    assert Attempts(backoff=Fixed(3.0)).decide(error, 1, 100.0, RNG) == WaitFor(3.0, is_spent=True)


def test_a_wait_beyond_the_deadline_buries_the_job() -> None:
    verdict = Attempts().decide(REFUSED, 1, 9.0, RNG)
    assert isinstance(verdict, Bury)
    assert "no time left" in verdict.reason


@pytest.mark.parametrize("kind", FailureKind)
def test_only_what_can_never_work_is_buried_at_once(kind: FailureKind) -> None:
    verdict = Attempts(backoff=Fixed(1.0)).decide(ProviderError("openai", kind), 1, 100.0, RNG)
    assert isinstance(verdict, Bury) == (not kind.is_retryable and not kind.blocks_provider)


@pytest.mark.parametrize(("attempts", "deadline"), [(0, 1.0), (11, 1.0), (5, 0.0), (5, math.nan)])
def test_attempts_out_of_range_are_refused(attempts: int, deadline: float) -> None:
    with pytest.raises(ValueError, match=r"^Attempts\."):
        Attempts(attempts=attempts, deadline=deadline)


# ---- the board, in virtual time


def test_a_job_that_fails_four_times_succeeds_at_the_fifth() -> None:
    async def main() -> None:
        begun = trio.current_time()
        board = a_board()
        board.submit("comic-001")
        end = await board.run("comic-001", failing(BUSY, BUSY, BUSY, BUSY))
        assert (end.state, end.attempts) == (JobState.DONE, 5)
        assert trio.current_time() - begun == pytest.approx(4.0)

    trio.run(main, clock=MockClock(autojump_threshold=0))


def test_a_job_that_fails_five_times_is_dead_with_its_reason() -> None:
    async def main() -> None:
        board = a_board()
        board.submit("comic-001")
        end = await board.run("comic-001", failing(BUSY, BUSY, BUSY, BUSY, ValueError("no picture")))
        assert (end.state, end.attempts) == (JobState.DEAD, 5)
        assert "no picture" in end.reason
        assert board.ends == [end]
        assert board.unfinished == []
        assert board.statistics().dead == 1

    trio.run(main, clock=MockClock(autojump_threshold=0))


def test_twenty_refusals_spend_no_attempt() -> None:
    async def main() -> None:
        board = a_board()
        board.submit("comic-001")
        end = await board.run("comic-001", failing(*[REFUSED] * 20))
        assert (end.state, end.attempts) == (JobState.DONE, 1)

    trio.run(main, clock=MockClock(autojump_threshold=0))


def test_a_job_that_hangs_is_dead_at_its_deadline() -> None:
    async def hang(steps: Steps) -> None:
        await anyio.sleep_forever()

    async def main() -> None:
        board = a_board()
        board.submit("comic-001")
        end = await board.run("comic-001", hang)
        assert end.state is JobState.DEAD
        assert "time is up" in end.reason

    trio.run(main, clock=MockClock(autojump_threshold=0))


def test_a_cancelled_job_stays_unfinished() -> None:
    async def hang(steps: Steps) -> None:
        await anyio.sleep_forever()

    async def main() -> None:
        board = a_board()
        board.submit("comic-001")
        board.submit("comic-002")
        with anyio.move_on_after(1.0):
            await board.run("comic-001", hang)
        await board.run("comic-002", failing())
        assert board.unfinished == ["comic-001"]
        assert board.statistics().succeeded == 1

    trio.run(main, clock=MockClock(autojump_threshold=0))


def test_the_first_end_of_a_job_counts() -> None:
    async def main() -> None:
        board = a_board()
        board.submit("comic-001")
        end = await board.run("comic-001", failing())
        assert await board.bury("comic-001", "its agent crashed") == end

    trio.run(main)


# ---- steps


@pytest.mark.anyio
async def test_a_finished_step_is_not_run_again() -> None:
    calls: list[str] = []

    async def draw() -> list[str]:
        calls.append("drawn")
        return ["panel"]

    steps = Steps(MemorySteps(), "comic-001")
    assert await steps.run("panels", list[str], draw) == ["panel"]
    assert await steps.run("panels", list[str], draw) == ["panel"]
    assert calls == ["drawn"]


@pytest.mark.anyio
async def test_a_step_that_failed_is_run_again() -> None:
    async def draw() -> str:
        raise BUSY

    async def draw_well() -> str:
        return "panel"

    steps = Steps(MemorySteps(), "comic-001")
    with pytest.raises(ProviderError):
        await steps.run("panel", str, draw)
    assert await steps.run("panel", str, draw_well) == "panel"


@pytest.mark.anyio
async def test_jobs_do_not_share_steps_and_forget_them() -> None:
    store = MemorySteps()
    await store.save("comic-001", "panel", b"1")
    assert await store.load("comic-002", "panel") is None
    await store.forget("comic-001")
    assert await store.load("comic-001", "panel") is None


def test_an_attempt_goes_on_from_the_steps_of_the_one_before() -> None:
    runs: list[str] = []

    async def step(name: str) -> str:
        runs.append(name)
        return name

    async def work(steps: Steps) -> None:
        await steps.run("outline", str, lambda: step("outline"))
        if runs.count("prompts") == 0:
            await steps.run("prompts", str, lambda: step("prompts"))
            raise BUSY
        await steps.run("prompts", str, lambda: step("prompts"))

    async def main() -> None:
        board = a_board()
        board.submit("comic-001")
        end = await board.run("comic-001", work)
        assert end.state is JobState.DONE
        assert runs == ["outline", "prompts"]

    trio.run(main, clock=MockClock(autojump_threshold=0))
