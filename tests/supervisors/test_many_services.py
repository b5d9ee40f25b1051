"""Ten thousand calls at once over fifty services, one in five failing: all end, no asker is served last."""

from collections import defaultdict
from functools import partial
from statistics import fmean, median

import anyio
import pytest

from relight import Child, FailureKind, GuardedActor, Policy, ProviderError, Request, handles, open_system
from relight.supervisors import current_attempt
from relight.supervisors.policies import Breaker, Concurrency, Fixed, Retry
from relight.testing import assert_no_leaks
from tests.support.clocks import virtual_time

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

SERVICES, ASKERS, ROUNDS = 50, 100, 100
SLOTS, MAILBOX = 8, 100
ONE_IN = 10
"""One call in so many fails once, another for good."""
WORK = 0.05


class Draw(Request[int], frozen=True):
    """The reply is the number of the attempt that made it."""

    asker: int
    round: int

    @property
    def fate(self) -> int:
        return (self.asker * 7 + self.round) % ONE_IN


class Painter(GuardedActor):
    # Trio begins tasks in an order of its own: by chance, those of one service that fail may come together.
    policy = Policy(
        retry=Retry(backoff=Fixed(1.0)),
        breaker=Breaker(failures=ASKERS * ROUNDS, failure_rate=None),
        concurrency=Concurrency(SLOTS),
        mailbox=MAILBOX,
    )

    def __init__(self, begun: list[Draw]) -> None:
        self._begun = begun

    @handles
    async def draw(self, message: Draw) -> int:
        number = current_attempt().number
        if number == 1:
            self._begun.append(message)
        await anyio.sleep(WORK)
        if message.fate == 0 and number == 1:
            raise ProviderError("painter", FailureKind.SERVER)
        if message.fate == 1:
            raise ProviderError("painter", FailureKind.BAD_REQUEST)
        return number


@virtual_time
async def test_ten_thousand_calls_over_fifty_services_all_end_in_a_fair_order() -> None:
    replies: dict[tuple[int, int], int | FailureKind] = {}
    ends: dict[int, list[float]] = defaultdict(list)
    asked: list[list[Draw]] = [[] for _ in range(SERVICES)]
    begun: list[list[Draw]] = [[] for _ in range(SERVICES)]
    async with open_system() as system:
        painters = [
            await system.spawn(Child(f"painter-{number}", partial(Painter, own)))
            for number, own in enumerate(begun)
        ]

        async def ask(message: Draw) -> None:
            service = message.round % SERVICES
            asked[service].append(message)
            began = anyio.current_time()
            try:
                reply: int | FailureKind = await painters[service].ask(message)
            except ProviderError as error:
                reply = error.kind
            assert (message.asker, message.round) not in replies
            replies[message.asker, message.round] = reply
            ends[message.asker].append(anyio.current_time() - began)

        tasks = len(anyio.get_running_tasks())
        async with anyio.create_task_group() as group:
            for turn in range(ROUNDS):
                for place in range(ASKERS):
                    group.start_soon(ask, Draw((place + turn * 37) % ASKERS, turn))
            await anyio.sleep(WORK / 2)
            assert len(anyio.get_running_tasks()) <= tasks + ASKERS * ROUNDS + SERVICES * SLOTS

        for asker in range(ASKERS):
            for turn in range(ROUNDS):
                expected = {0: 2, 1: FailureKind.BAD_REQUEST}.get(Draw(asker, turn).fate, 1)
                assert replies[asker, turn] == expected
        assert begun == asked  # first come, first served, at each service
        waits = sorted(fmean(times) for times in ends.values())
        assert waits[-1] <= 1.25 * median(waits)  # the order of their asking differs, by chance
        for service in system.services():
            found = service.actor
            assert found.queued_peak <= MAILBOX
            assert service.bulkhead.peak == SLOTS
            assert (service.retries_total, found.accepted) == (20, 200)
        await assert_no_leaks(system)
