"""A provider says how many attempts it takes at once, and its guard goes by that."""

import anyio
import pytest

from relight.runtime import Request, handles
from relight.supervisors import Child, GuardedActor, open_system
from relight.supervisors.policies import Concurrency, Policy
from relight.testing import capture_events
from tests.support.clocks import virtual_time

pytestmark = [pytest.mark.anyio, virtual_time]

FOUR = Policy(concurrency=Concurrency(4))


class Work(Request[int], frozen=True):
    most: int = 0


class Narrow(GuardedActor):
    """Works for a second, then says how many it takes at once; the reply is how many there were."""

    def __init__(self) -> None:
        self.at_work = 0

    @handles
    async def work(self, message: Work) -> int:
        self.at_work += 1
        peak = self.at_work
        await anyio.sleep(1)
        self.at_work -= 1
        if message.most:
            self.bound_concurrency(message.most)
        return peak


async def peaks(most: int) -> list[int]:
    """Return how many were at work in three rounds of four, of which the first says *most*."""
    found: list[int] = []

    async with open_system() as system:
        ref = await system.spawn(Child("narrow", Narrow, policy=FOUR))
        for sent in (most, 0, 0):
            replies: list[int] = []

            async def ask(most: int = sent, replies: list[int] = replies) -> None:
                replies.append(await ref.ask(Work(most)))

            async with anyio.create_task_group() as group:
                for _ in range(4):
                    group.start_soon(ask)
            found.append(max(replies))
    return found


@pytest.mark.parametrize(("most", "expected"), [(1, 1), (2, 2), (4, 4), (9, 4)])
async def test_no_more_begin_than_the_provider_takes_and_the_policy_allows(most: int, expected: int) -> None:
    assert await peaks(most) == [4, expected, expected]


async def test_a_new_bound_is_an_event_and_one_that_is_known_is_none() -> None:
    async with open_system() as system:
        with capture_events(system) as events:
            ref = await system.spawn(Child("narrow", Narrow, policy=FOUR))
            for most in (9, 2, 2, 3):
                await ref.ask(Work(most))
    bounds = [event for event in events if event.name == "provider.concurrency_bounded"]
    assert [(event.fields["limit"], event.fields["most"]) for event in bounds] == [(2, 2), (3, 3)]


async def test_a_service_knows_the_policy_it_is_under() -> None:
    service = Narrow()
    assert service.policy_in_force == Narrow.policy
    service.bound_concurrency(1)  # nobody to tell yet
    async with open_system() as system:
        await system.spawn(Child("narrow", lambda: service, policy=FOUR))
        assert service.policy_in_force == FOUR
