"""Of several reasons to refuse a call, or a retry, the one that comes first in the order is told."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, NamedTuple

import anyio
import pytest

from relight.runtime import DeadlineExceededError, Ref
from relight.supervisors import (
    BudgetExceededError,
    Child,
    CircuitBreakerOpenError,
    FailureKind,
    ProviderBlockedError,
    ProviderError,
    ProviderFailedError,
    RateLimitedError,
    RetriesExhaustedError,
    System,
    open_system,
)
from relight.supervisors.policies import Breaker, CostBudget, Policy, RateLimit, RetryBudget
from tests.supervisors.scripted import (
    Askers,
    Call,
    Script,
    Scripted,
    Step,
    bug,
    caught,
    fails,
    hangs,
    limited,
    ok,
    policy,
    server,
    statistics,
)
from tests.support.clocks import virtual_time

pytestmark = [pytest.mark.anyio, virtual_time]

LONG = 10_000.0
"""Seconds, longer than the test."""

ALL_ON = policy(
    attempts=1,
    concurrency=2,
    breaker=Breaker(failures=1, open_seconds=LONG, open_cap=LONG),
    rate_limit=RateLimit(requests_per_minute=60, burst=5.0),
    cost_budget=CostBudget(usd_per_day=100.0),
    blocked_probe=LONG,
    failed_probe=LONG,
    intensity=0,
    account="acme",
)


class Cause(NamedTuple):
    """One reason to refuse the calls of ``svc``: what has to happen to which service of the account."""

    name: str
    service: str
    step: Step
    error: type[Exception]
    model: str = "free"


CAUSES = [
    Cause("failed", "svc", bug(1.0), ProviderFailedError),
    Cause("blocked", "other", fails(FailureKind.QUOTA, after=1.0), ProviderBlockedError),
    Cause("breaker", "svc", server(1.0), CircuitBreakerOpenError),
    Cause("gate", "other", limited(LONG, after=1.0), RateLimitedError),
    Cause("money", "other", ok(1.0), BudgetExceededError, model="dear"),
]
"""In the order in which they are asked for."""

PAIRS = [(earlier, later) for number, earlier in enumerate(CAUSES) for later in (None, *CAUSES[number + 1 :])]


class Stage:
    """A service with every policy on, and another one of its account."""

    def __init__(self, system: System, script: Script, ref: Ref, other: Ref) -> None:
        self.system = system
        self.script = script
        self.ref = ref
        self.other = other

    async def bring_about(self, *causes: Cause) -> None:
        """Have all of them happen. They are under way together: one alone would keep the next from it."""
        self.script.by_name = {cause.name: cause.step for cause in causes}
        refs = {"svc": self.ref, "other": self.other}
        async with anyio.create_task_group() as group:
            for cause in causes:
                call = Call(cause.name, model=cause.model)
                group.start_soon(caught, partial(refs[cause.service].ask, call))

    async def use_up_rate(self) -> None:
        """Five at once, and the next one in a second."""
        for _ in range(5):
            await caught(partial(self.other.ask, Call(model="free")))


@asynccontextmanager
async def staged() -> AsyncGenerator[Stage]:
    script = Script(prices={"m1": 0.1, "dear": 100.0, "most": 99.8})
    async with open_system() as system:
        ref = await system.spawn(Child("svc", partial(Scripted, script), policy=ALL_ON))
        other = await system.spawn(Child("other", partial(Scripted, script), policy=ALL_ON))
        yield Stage(system, script, ref, other)


@pytest.mark.parametrize(
    ("earlier", "later"),
    PAIRS,
    ids=[earlier.name + (f" before {later.name}" if later else "") for earlier, later in PAIRS],
)
async def test_the_first_reason_is_told(earlier: Cause, later: Cause | None) -> None:
    async with staged() as stage:
        await stage.bring_about(earlier, *([] if later is None else [later]))
        assert isinstance(await caught(partial(stage.ref.ask, Call(), timeout=20.0)), earlier.error)


async def test_the_rate_limit_comes_before_the_money() -> None:
    async with staged() as stage:
        await stage.use_up_rate()
        await stage.bring_about(CAUSES[-1])
        await stage.use_up_rate()
        refused = await caught(partial(stage.ref.ask, Call(), timeout=0.5))
        assert isinstance(refused, RateLimitedError)


async def test_the_money_comes_before_the_deadline_and_the_slots() -> None:
    """With money it waits for a slot until its deadline; without, it does not wait."""
    async with staged() as stage:
        stage.script.plan(hangs(), hangs())
        async with Askers(stage.ref) as askers:
            hanging = [await askers.ask("hangs") for _ in range(2)]
            late = await askers.ask("late", timeout=0.5)
            await anyio.sleep(1)
            assert isinstance(late.error, DeadlineExceededError)
            await stage.bring_about(CAUSES[-1]._replace(model="most"))
            poor = await askers.ask("poor", timeout=0.5)
            await anyio.sleep(0.1)
            assert isinstance(poor.error, BudgetExceededError)
            for outcome in hanging:
                outcome.cancel()


async def test_what_waits_for_a_slot_takes_neither_a_turn_nor_money() -> None:
    async with staged() as stage:
        stage.script.plan(hangs(), hangs())
        async with Askers(stage.ref) as askers:
            hanging = [await askers.ask("hangs") for _ in range(2)]
            waiting = await askers.ask("waits")
            await anyio.sleep(10)
            found = statistics(stage.system)
            assert found.spending is not None
            assert found.spending.purses[0].reserved_usd == pytest.approx(0.2)
            assert found.rate_limit is not None
            assert found.rate_limit.requests_left == pytest.approx(5.0)
            for outcome in (waiting, *hanging):
                outcome.cancel()


def denying(**others: Any) -> Policy:
    """A policy under which a failed call of 0.4 dollars has neither a retry nor the money for one."""
    budgets: dict[str, Any] = {
        "retry_budget": RetryBudget(share=0.0, per_minute=0.0),
        "cost_budget": CostBudget(usd_per_day=0.5),
    }
    return policy(breaker=None, **{**budgets, **others})


@pytest.mark.parametrize(
    ("step", "others", "expected"),
    [
        (fails(FailureKind.BAD_REQUEST), {}, "bad_request"),
        (server(), {"attempts": 1}, "server"),
        (server(), {"wait": 50.0, "max_wait": 10.0}, "server"),
        (server(), {}, "the retry budget is spent"),
        (server(), {"retry_budget": None}, "the cost budget is spent"),
    ],
    ids=["kind", "attempts", "wait", "retry budget", "cost budget"],
)
async def test_the_first_reason_not_to_retry_is_told(
    step: Step, others: dict[str, object], expected: str
) -> None:
    """Each case lacks what comes before it; all that comes after it would deny the retry too."""
    script = Script(prices={"m1": 0.4})
    script.plan(step)
    async with open_system() as system:
        ref = await system.spawn(Child("svc", partial(Scripted, script), policy=denying(**others)))
        error = await caught(partial(ref.ask, Call()))
        assert isinstance(error, ProviderError)
        assert expected in str(error)
        assert isinstance(error, RetriesExhaustedError) == ("budget" in expected)
        assert len(script.seen) == 1
