"""Conservation: whatever happens to a service and its callers, each message has exactly one end."""

from collections import Counter
from collections.abc import Awaitable, Callable
from random import Random

import anyio
import anyio.lowlevel
import pytest

from relight.runtime import Ref, RelightError, UnhandledMessageError
from relight.supervisors import CallKey, FailureKind, GuardStatistics, open_system
from relight.supervisors.policies import Breaker
from tests.supervisors.scripted import (
    Askers,
    Call,
    Job,
    Script,
    Step,
    Unknown,
    at_rest,
    bug,
    fails,
    hangs,
    limited,
    ok,
    policy,
    serve,
    server,
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
    failed = by_outcome["failed"] + by_outcome["crashed"]
    assert sum(found.failures.values()) - found.failures.get(FailureKind.TIMEOUT, 0) <= failed


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


# --- which counter an end goes to ---

Deed = Callable[[Ref, Script, Askers], Awaitable[None]]


async def answered(ref: Ref, script: Script, askers: Askers) -> None:
    await askers.ask()


async def rejected(ref: Ref, script: Script, askers: Askers) -> None:
    script.plan(fails(FailureKind.BAD_REQUEST))
    await askers.ask()


async def given_up(ref: Ref, script: Script, askers: Askers) -> None:
    script.plan(*[server()] * 3)
    await askers.ask()


async def crashed(ref: Ref, script: Script, askers: Askers) -> None:
    script.plan(bug())
    await askers.ask()


async def left_in_hand(ref: Ref, script: Script, askers: Askers) -> None:
    script.plan(hangs())
    outcome = await askers.ask()
    await anyio.sleep(1)
    outcome.cancel()


async def left_before_a_retry(ref: Ref, script: Script, askers: Askers) -> None:
    script.plan(server())
    outcome = await askers.ask()
    await anyio.sleep(0.5)
    outcome.cancel()


async def told(ref: Ref, script: Script, askers: Askers) -> None:
    await ref.tell(Job())


async def told_in_vain(ref: Ref, script: Script, askers: Askers) -> None:
    script.plan(*[server()] * 3)
    await ref.tell(Job())


async def told_a_bug(ref: Ref, script: Script, askers: Askers) -> None:
    script.plan(bug())
    await ref.tell(Job())


async def unknown(ref: Ref, script: Script, askers: Askers) -> None:
    with pytest.raises(UnhandledMessageError):
        await ref.ask(Unknown())


async def refused(ref: Ref, script: Script, askers: Askers) -> None:
    """The first is blocked, the second was queued, the third comes later and is never taken."""
    script.plan(fails(FailureKind.QUOTA, after=1.0))
    await askers.ask()
    await askers.ask()
    await anyio.sleep(2)
    await askers.ask()


async def refused_when_told(ref: Ref, script: Script, askers: Askers) -> None:
    script.plan(fails(FailureKind.QUOTA, after=1.0))
    for _ in range(2):
        await ref.tell(Job())
    await anyio.sleep(2)
    await ref.tell(Job())


async def left_in_the_queue(ref: Ref, script: Script, askers: Askers) -> None:
    script.plan(ok(2.0))
    await askers.ask()
    outcome = await askers.ask()
    await anyio.sleep(1)
    outcome.cancel()


async def out_of_time_in_the_queue(ref: Ref, script: Script, askers: Askers) -> None:
    script.plan(limited(retry_after=10.0), ok(20.0))
    await askers.ask(timeout=100.0)
    await anyio.sleep(1)
    await askers.ask(timeout=12.0)


@pytest.mark.parametrize(
    ("deed", "handled", "dead", "abandoned"),
    [
        (answered, 1, 0, 0),
        (rejected, 1, 0, 0),
        (given_up, 1, 0, 0),
        (crashed, 1, 0, 0),
        (left_in_hand, 1, 0, 0),
        (left_before_a_retry, 0, 0, 1),
        (told, 1, 0, 0),
        (told_in_vain, 0, 1, 0),
        (told_a_bug, 1, 0, 0),
        (unknown, 0, 1, 0),
        (refused, 1, 1, 0),
        (refused_when_told, 0, 3, 0),
        (left_in_the_queue, 1, 0, 1),
        (out_of_time_in_the_queue, 1, 0, 1),
    ],
)
@virtual_time
async def test_each_end_of_a_message_is_counted_once(
    deed: Deed, handled: int, dead: int, abandoned: int
) -> None:
    script = Script()
    async with open_system() as system:
        ref = await serve(system, script, policy(concurrency=1))
        async with Askers(ref) as askers:
            await deed(ref, script, askers)
        await anyio.sleep(100)
        actor = (await at_rest(system)).actor
        assert (actor.handled, actor.dead_letters, actor.abandoned) == (handled, dead, abandoned)
        assert actor.accepted == handled + dead + abandoned
