"""Conservation: whatever happens to a service and its callers, each message has exactly one end."""

from collections import Counter
from random import Random

import anyio
import anyio.lowlevel
import pytest

from relight.runtime import Ref, RelightError
from relight.supervisors import CallKey, FailureKind, GuardStatistics, open_system
from relight.supervisors.policies import Breaker
from tests.supervisors.scripted import (
    Askers,
    Call,
    Job,
    Script,
    Step,
    bug,
    fails,
    limited,
    ok,
    policy,
    serve,
    statistics,
)
from tests.support.clocks import virtual_time

pytestmark = pytest.mark.anyio

CALLS = 60


def a_step(rng: Random, scale: float) -> Step:
    """Choose how an attempt goes."""
    after = rng.choice([0.0, rng.random() * scale, rng.random() * 3 * scale])
    dice = rng.random()
    if dice < 0.55:
        return ok(after)
    if dice < 0.60:
        return bug(after)
    if dice < 0.66:
        return limited(retry_after=rng.random() * scale, after=after)
    if dice < 0.68:
        return fails(FailureKind.QUOTA, after=after)
    return fails(rng.choice([kind for kind in FailureKind if not kind.blocks_provider]), after=after)


async def storm(ref: Ref, script: Script, rng: Random, scale: float) -> Counter[str]:
    """Send calls at random moments, let some askers leave and some run out of time."""
    script.steps.extend(a_step(rng, scale) for _ in range(CALLS * 3))
    told = Counter[str]()

    async def tell(name: str) -> None:
        with anyio.move_on_after(rng.random() * 5 * scale):
            try:
                await ref.tell(Job(name))
            except RelightError:
                return
            told["sent"] += 1

    async with Askers(ref) as askers, anyio.create_task_group() as tellers:
        for number in range(CALLS):
            if rng.random() < 0.3:
                tellers.start_soon(tell, str(number))
            else:
                timeout = rng.choice([None, rng.random() * 2 * scale, 10 * scale])
                outcome = await askers.ask(str(number), timeout)
                if rng.random() < 0.3:
                    leaver = rng.choice([outcome, rng.choice(askers.outcomes)])
                    leaver.cancel()
            if rng.random() < 0.5:
                await anyio.sleep(rng.random() * 0.2 * scale)
    for outcome in askers.outcomes:
        assert isinstance(outcome.value, str | RelightError | None), outcome
        assert outcome.value is not None or outcome.scope.cancel_called
    return told


def check_the_books(found: GuardStatistics, script: Script) -> None:
    """Compare what was counted with what the service has seen."""
    actor = found.actor
    assert (actor.queued, actor.in_hand, actor.waiting) == (0, 0, 0)
    assert (found.bulkhead.in_flight, found.waiting_retries, script.running) == (0, 0, 0)
    assert actor.accepted == actor.handled + actor.dead_letters + actor.abandoned
    assert found.attempts == len(script.seen)
    assert found.bulkhead.peak == script.peak
    ended = sum(count for key, count in found.calls.items() if key.outcome != "rejected")
    assert found.attempts == ended + found.retries_total
    assert len(found.latencies) == ended
    assert sum(sum(histogram.counts) for histogram in found.durations.values()) == ended
    assert sum(found.refusals.values()) == sum(
        count for key, count in found.calls.items() if key == CallKey(key.model, key.operation, "rejected")
    )
    by_outcome = Counter(seen.outcome for seen in script.seen)
    assert sum(found.failures.values()) - found.failures.get(FailureKind.TIMEOUT, 0) <= by_outcome["failed"]


@pytest.mark.slow
@virtual_time
@pytest.mark.parametrize("seed", range(50))
async def test_every_message_to_a_service_has_one_end(seed: int) -> None:
    rng = Random(seed)
    script = Script()
    async with open_system(rng=Random(seed)) as system:
        ref = await serve(
            system,
            script,
            policy(
                attempts=rng.choice([1, 3, 5]),
                concurrency=rng.choice([1, 2, 8]),
                mailbox=rng.choice([1, 4, 1000]),
                breaker=rng.choice([None, Breaker(), Breaker(failures=2, open_seconds=3.0)]),
                attempt_timeout=2.0,
                blocked_probe=5.0,
                intensity=rng.choice([0, 3, 1000]),
                failed_probe=4.0,
                wait=rng.choice([0.0, 0.5]),
            ),
        )
        await storm(ref, script, rng, 1.0)
        await anyio.sleep(400)  # what was told is retried for as long as it takes
        script.steps.clear()
        await anyio.sleep(400)
        check_the_books(statistics(system), script)
        async with Askers(ref) as askers:
            for number in range(20):
                await askers.ask(str(number), 100.0)
                await anyio.lowlevel.checkpoint()
        assert [outcome.value for outcome in askers.outcomes] == [f"{number} 1" for number in range(20)]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(25))
async def test_every_message_has_one_end_in_real_time_too(seed: int) -> None:
    """On both backends, whose cancellations differ; ended by a stop in the middle of it."""
    rng = Random(seed)
    script = Script()
    async with open_system(rng=Random(seed), shutdown_timeout=10.0) as system:
        ref = await serve(
            system,
            script,
            policy(
                concurrency=rng.choice([1, 4]),
                mailbox=rng.choice([2, 1000]),
                attempt_timeout=0.03,
                wait=0.01,
                max_wait=1.0,
                breaker=rng.choice([None, Breaker(open_seconds=0.05, open_cap=0.1)]),
                blocked_probe=0.05,
                failed_probe=0.05,
                intensity=5,
                call_timeout=0.1,
            ),
        )
        async with anyio.create_task_group() as group:

            async def stop() -> None:
                await anyio.sleep(0.05)
                if seed % 2:
                    await ref.stop(timeout=rng.choice([0.0, 0.05]))

            group.start_soon(stop)
            await storm(ref, script, rng, 0.01)
        await ref.stop()
        actor = ref.statistics()
        assert (actor.queued, actor.in_hand, actor.waiting) == (0, 0, 0)
        assert actor.accepted == actor.handled + actor.dead_letters + actor.abandoned
        assert script.running == 0
        assert system.actors() == []
        assert isinstance(await ask_again(ref), RelightError)


async def ask_again(ref: Ref) -> str | Exception:
    try:
        return await ref.ask(Call())
    except RelightError as error:
        return error
