"""A thousand calls to a scripted service, each cancelled at a random moment, leave the guard as it was.

The attempts answer, fail, ask for long waits, hang and crash, so that the moments fall into every part of a
call: the line before the mailbox, the queue, an attempt, a wait for a retry, a pause of the provider, an open
breaker, a restart.
"""

from random import Random

import anyio
import pytest

from relight import AskError, Child, ProviderError, RefusalError, Request, open_system
from relight.supervisors import FailureKind
from relight.supervisors.policies import Breaker, Concurrency, Policy
from relight.testing import Crash, Delay, Fail, FlakyService, Hang, Ok, Outcome, assert_no_leaks

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

CANCELLATIONS = 1000
AT_ONCE = 40


class Draw(Request[object], frozen=True):
    """Anything."""


def outcome(rng: Random) -> Outcome:
    """Choose how one attempt goes."""
    ends: list[Ok | Fail | Hang | Crash] = [
        Ok(),
        Fail(FailureKind.SERVER),
        Fail(FailureKind.RATE_LIMIT, retry_after=rng.choice([0.5, 5.0])),
        Fail(FailureKind.BAD_REQUEST),
        Fail(FailureKind.TIMEOUT),
        Hang(),
        Crash(),
    ]
    (end,) = rng.choices(ends, weights=[50, 20, 4, 5, 5, 10, 1])
    return Delay(rng.uniform(0.0, 2.0), end)


@pytest.mark.parametrize("seed", range(3))
async def test_a_thousand_random_cancellations_leave_the_guard_as_it_was(seed: int) -> None:
    rng = Random(seed)
    script = FlakyService.script(outcome(rng) for _ in range(20_000))
    policy = Policy(
        breaker=Breaker(failures=4, open_seconds=2.0),
        concurrency=Concurrency(4),
        mailbox=16,
        attempt_timeout=10.0,
        intensity=1000,
    )
    cut = ended = 0
    async with open_system() as system:
        ref = await system.spawn(Child("flaky", script, policy=policy))
        limiter = anyio.CapacityLimiter(AT_ONCE)

        async def one(seconds: float) -> None:
            nonlocal cut, ended
            async with limiter:
                with anyio.move_on_after(seconds) as scope:
                    try:
                        await ref.ask(Draw())
                    except (ProviderError, RefusalError, AskError):
                        await anyio.sleep(rng.uniform(0.0, 1.0))  # refused at once: others come later
                    ended += 1
                cut += scope.cancelled_caught

        made = 0
        while cut < CANCELLATIONS:
            async with anyio.create_task_group() as group:
                for _ in range(4 * AT_ONCE):
                    group.start_soon(one, rng.uniform(0.0, 20.0))
            made += 4 * AT_ONCE
            assert made <= 20 * CANCELLATIONS
        assert ended > 100

        await anyio.sleep(600.0)  # for breaker, gate, restarts and attempts that are being cut
        await assert_no_leaks(system)
        (service,) = system.services()
        actor = service.actor
        assert script.in_flight == service.waiting_retries == service.bulkhead.in_flight == 0
        assert actor.accepted == actor.handled + actor.dead_letters + actor.abandoned
        script.outcomes.clear()
        for _ in range(policy.concurrency.limit):
            await ref.ask(Draw())
        assert service.state in {"ok", "half_open"}
