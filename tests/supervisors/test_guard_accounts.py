"""Services of one API account share its gate, its block, its rate limit and its money."""

from functools import partial
from typing import Any

import anyio
import pytest
from anyio import wait_all_tasks_blocked

from relight.runtime import Actor, Ref, StartError, handles
from relight.supervisors import (
    BudgetExceededError,
    Child,
    FailureKind,
    ProviderBlockedError,
    RateLimitedError,
    Supervisor,
    System,
    open_system,
)
from relight.supervisors.policies import CostBudget, Policy, RateLimit
from tests.supervisors.scripted import (
    Askers,
    Call,
    Job,
    Script,
    Scripted,
    caught,
    fails,
    limited,
    listen,
    policy,
    server,
    statistics,
)
from tests.support.clocks import virtual_time

pytestmark = [pytest.mark.anyio, virtual_time]

EVERY_SECOND = RateLimit(requests_per_minute=60, burst=1.0)
ONE_DOLLAR = CostBudget(usd_per_minute=1.0)


class Crasher(Actor):
    """Crashes when it is told to."""

    @handles
    async def crash(self, message: Job) -> None:
        raise ValueError


def of_acme(**others: Any) -> Policy:
    return policy(account="acme", **others)


async def start(system: System, name: str, script: Script, its_policy: Policy) -> Ref:
    return await system.spawn(Child(name, partial(Scripted, script), policy=its_policy))


async def test_a_rate_limit_of_one_holds_back_the_others_and_all_are_woken() -> None:
    chat, images, alone = Script(), Script(), Script()
    chat.plan(limited(retry_after=10.0))
    async with open_system() as system:
        said = listen(system, "provider.paused")
        talker = await start(system, "chat", chat, of_acme())
        painter = await start(system, "images", images, of_acme())
        other = await start(system, "alone", alone, policy())
        async with Askers(talker) as talkers, Askers(painter) as painters, Askers(other) as others:
            await talkers.ask("a")
            await anyio.sleep(1)
            await painters.ask_all("bc", timeout=60.0)
            short = await painters.ask("short", timeout=5.0)
            await painter.tell(Job("d"))
            await others.ask("e")
            assert [statistics(system, name).state for name in ("chat", "images", "alone")] == [
                "paused",
                "paused",
                "ok",
            ]
        assert isinstance(short.error, RateLimitedError)
        assert (short.error.provider, short.at) == ("images", 1.0)
        assert all(10.0 <= moment <= 11.0 for moment in (*chat.moments[1:], *images.moments))
        assert sorted(images.names) == ["b", "c", "d"]
        assert alone.moments == [1.0]
        assert [(event["provider"], event["source"]) for event in said] == [
            ("chat", "server"),
            ("images", "account"),
        ]
        assert statistics(system, "images").gate.times_shut == 1
        assert statistics(system, "images").bulkhead.cuts == 1
        assert statistics(system, "alone").bulkhead.cuts == 0


async def test_what_another_has_queued_and_can_not_wait_is_refused_when_the_gate_shuts() -> None:
    chat, images = Script(), Script()
    chat.plan(limited(retry_after=60.0, after=2.0))
    images.plan(server(after=5.0))
    async with open_system() as system:
        talker = await start(system, "chat", chat, of_acme())
        painter = await start(system, "images", images, of_acme(concurrency=1))
        async with Askers(talker) as talkers, Askers(painter) as painters:
            await talkers.ask("a")
            await painters.ask("in hand")
            queued = await painters.ask("queued", timeout=30.0)
        assert isinstance(queued.error, RateLimitedError)
        assert queued.at == 2.0


@pytest.mark.parametrize("kind", [FailureKind.QUOTA, FailureKind.AUTH])
async def test_what_blocks_one_blocks_the_others_until_one_of_them_gets_through(kind: FailureKind) -> None:
    chat, images = Script(), Script()
    chat.plan(fails(kind))
    async with open_system() as system:
        said = listen(system, "provider.blocked")
        talker = await start(system, "chat", chat, of_acme())
        painter = await start(system, "images", images, of_acme())
        await caught(partial(talker.ask, Call("a")))
        refused = await caught(partial(painter.ask, Call("b")))
        assert isinstance(refused, ProviderBlockedError)
        assert (refused.provider, refused.retry_after) == ("images", 300.0)
        assert [statistics(system, name).state for name in ("chat", "images")] == ["blocked"] * 2
        assert [event["provider"] for event in said] == ["chat", "images"]
        await anyio.sleep(300)
        assert await painter.ask(Call("c")) == "c 1"
        assert await talker.ask(Call("d")) == "d 1"
        assert statistics(system, "chat").state == "ok"


async def test_they_take_turns_under_one_rate_limit() -> None:
    chat, images = Script(), Script()
    async with open_system() as system:
        talker = await start(system, "chat", chat, of_acme(rate_limit=EVERY_SECOND))
        painter = await start(system, "images", images, of_acme())
        async with Askers(talker) as talkers, Askers(painter) as painters:
            await talkers.ask_all("aaaa")
            await painters.ask_all("bbbb")
        together = sorted([*chat.moments, *images.moments])
        assert together == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
        # Neither is served before the other: each had begun a call by the second turn.
        assert images.moments == [1.0, 3.0, 5.0, 7.0]


async def test_a_limit_that_comes_later_holds_for_those_that_run() -> None:
    chat, images = Script(prices={"m1": 0.75}), Script(prices={"m1": 0.75})
    async with open_system() as system:
        talker = await start(system, "chat", chat, of_acme())
        await talker.ask(Call("a"))
        painter = await start(system, "images", images, of_acme(cost_budget=ONE_DOLLAR))
        await painter.ask(Call("b"))
        refused = await caught(partial(talker.ask, Call("c")))
        assert isinstance(refused, BudgetExceededError)
        assert (refused.provider, refused.scope) == ("chat", "acme")
        assert "the budget of acme has no room" in str(refused)
        chats, paintings = (statistics(system, name).spending for name in ("chat", "images"))
        assert chats is not None
        assert paintings is not None
        # What each has spent is its own; what is left is the account's.
        assert (chats.first_usd, paintings.first_usd) == (0.0, 0.75)
        assert chats.purses == paintings.purses


async def test_limits_that_contradict_each_other_are_refused_at_the_start() -> None:
    async with open_system() as system:
        first = await start(system, "chat", Script(), of_acme(rate_limit=EVERY_SECOND))
        await start(system, "same", Script(), of_acme(rate_limit=EVERY_SECOND))
        other = RateLimit(requests_per_minute=30)
        with pytest.raises(StartError, match=r"Policy\.rate_limit of account 'acme'"):
            await start(system, "images", Script(), of_acme(rate_limit=other))
        await start(system, "elsewhere", Script(), policy(account="emca", rate_limit=other))
        await first.stop()


async def test_an_account_nobody_uses_any_more_takes_new_limits() -> None:
    script = Script(prices={"m1": 1.0})
    async with open_system() as system:
        first = await start(system, "chat", script, of_acme(rate_limit=EVERY_SECOND, cost_budget=ONE_DOLLAR))
        await first.ask(Call("a"))
        await first.stop()
        second = await start(system, "chat", script, of_acme(cost_budget=ONE_DOLLAR))
        # The money is still spent.
        assert isinstance(await caught(partial(second.ask, Call("b"))), BudgetExceededError)
        assert statistics(system, "chat").rate_limit is None
        await second.stop()
        third = await start(system, "chat", script, of_acme())
        assert await third.ask(Call("c")) == "c 1"


async def test_who_has_ended_is_not_woken_any_more() -> None:
    chat, images = Script(), Script()
    async with open_system() as system:
        talker = await start(system, "chat", chat, of_acme(rate_limit=EVERY_SECOND))
        painter = await start(system, "images", images, of_acme())
        async with Askers(talker) as talkers, Askers(painter) as painters:
            await talkers.ask_all("ab")
            await painters.ask_all("c")
            await anyio.sleep(0.5)
            await talker.stop()
        assert (chat.names, images.names) == (["a"], ["c"])
        assert images.moments == [1.0]


async def test_a_service_that_restarts_with_its_group_keeps_its_place_in_the_account() -> None:
    script = Script()
    async with open_system() as system:
        children = [
            Child("chat", partial(Scripted, script), policy=of_acme(rate_limit=EVERY_SECOND)),
            Child("images", partial(Scripted, script), policy=of_acme()),
            Child("crasher", Crasher),
        ]
        await system.spawn(Supervisor("all", strategy="one_for_all", children=children))
        await system.get("all/crasher").tell(Job())
        await wait_all_tasks_blocked()
        assert script.incarnations == 4
        chat, images = system.get("all/chat"), system.get("all/images")
        async with Askers(chat) as talkers, Askers(images) as painters:
            await talkers.ask("a")
            await painters.ask("b")
        assert sorted(script.moments) == [0.0, 1.0]


@pytest.mark.parametrize("name", ["", "  "])
def test_an_account_has_a_name(name: str) -> None:
    with pytest.raises(ValueError, match=r"Policy\.account must be a name or None"):
        Policy(account=name)
