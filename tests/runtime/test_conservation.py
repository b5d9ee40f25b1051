"""Conservation: under random cancellations, crashes and stops every message has exactly one end."""

from __future__ import annotations

import random
from collections import Counter
from functools import partial
from math import inf

import anyio
import pytest

from relight import (
    Actor,
    ActorCrashedError,
    ActorStoppedError,
    AskTimeoutError,
    Child,
    DeadlineExceededError,
    Exit,
    MailboxClosedError,
    MailboxFullError,
    Message,
    Overflow,
    Ref,
    Request,
    Supervisor,
    System,
    handles,
    open_system,
)

pytestmark = pytest.mark.anyio

SENDERS = 12
EACH = 25


class Ask(Request[int], frozen=True):
    number: int


class Tell(Message, frozen=True):
    number: int


class Ledger:
    """What senders and handlers saw, message by message."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.sent: dict[int, str] = {}
        """What each sender was told of its message."""
        self.begun: Counter[int] = Counter()
        self.ended: Counter[int] = Counter()
        self.next = 0

    def number(self) -> int:
        self.next += 1
        return self.next


class Shaky(Actor):
    """Takes a little while, and crashes now and then."""

    mailbox = 4

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    async def work(self, number: int) -> int:
        ledger = self.ledger
        ledger.begun[number] += 1
        try:
            fate = ledger.rng.random()
            if fate < 0.6:
                await anyio.sleep(ledger.rng.choice([0, 0, 0.01, 0.05]))
            if fate < 0.05:
                raise ValueError(number)
            if fate < 0.07:
                raise Exit
            return number
        finally:
            ledger.ended[number] += 1

    @handles
    async def ask(self, message: Ask) -> int:
        return await self.work(message.number)

    @handles
    async def tell(self, message: Tell) -> None:
        await self.work(message.number)


class ShakyCrowd(Shaky):
    concurrency = 3


class ShakyStream(Shaky):
    overflow = Overflow.DROP_OLDEST


class Sender:
    """Sends at random, with patience or without, and writes down what it was told."""

    def __init__(self, ledger: Ledger, ref: Ref) -> None:
        self.ledger, self.ref = ledger, ref

    async def run(self) -> None:
        rng = self.ledger.rng
        for _ in range(EACH):
            number = self.ledger.number()
            self.ledger.sent[number] = "cancelled"  # unless something else is known
            with anyio.move_on_after(rng.choice([0, 0, 0.001, 0.02, 0.2, inf])):
                self.ledger.sent[number] = await self.send(number)
            await anyio.sleep(rng.choice([0, 0, 0.005, 0.02]))

    async def send(self, number: int) -> str:
        rng, ref = self.ledger.rng, self.ref
        try:
            way = rng.random()
            if way < 0.3:
                await ref.tell(Tell(number))
                return "told"
            if way < 0.5:
                ref.tell_nowait(Tell(number))
                return "told"
            await ref.ask(Ask(number), timeout=rng.choice([None, 0.01, 0.05, inf]))
        except (MailboxFullError, MailboxClosedError):
            return "not taken"
        except DeadlineExceededError:
            return "not begun"
        except AskTimeoutError:
            return "begun"
        except ActorCrashedError:
            return "crashed"
        except ActorStoppedError:
            return "stopped"
        return "answered"


async def disturb(ledger: Ledger, system: System, ref: Ref, *, stops: bool) -> None:
    """Stop the actor at some moment, if the run is to have one."""
    await anyio.sleep(ledger.rng.uniform(0.05, 0.6))
    if stops:
        await ref.stop(timeout=ledger.rng.choice([None, 0, 0.01]))


async def storm(seed: int, actor: type[Shaky]) -> tuple[Ledger, Ref, Counter[str]]:
    ledger = Ledger(seed)
    stops = ledger.rng.random() < 0.5
    async with open_system() as system:
        child = Child("shaky", partial(actor, ledger), shutdown=0.05)
        await system.spawn(Supervisor("tree", intensity=1000, children=[child]))
        ref = system.get("tree/shaky")
        async with anyio.create_task_group() as group:
            for _ in range(SENDERS):
                group.start_soon(Sender(ledger, ref).run)
            group.start_soon(partial(disturb, ledger, system, ref, stops=stops))
        with anyio.move_on_after(30):
            while ref.is_alive and (ref.statistics().queued or ref.statistics().in_hand):  # noqa: ASYNC110
                await anyio.sleep(0.1)
        before = ref.statistics()
        letters = system.dead_letters.statistics()
    by_reason: Counter[str] = Counter()
    for (_, reason), count in letters.counts.items():
        by_reason[reason] += count
    after = ref.statistics()
    assert (after.queued, after.in_hand, after.waiting) == (0, 0, 0)
    assert after.handled == before.handled
    return ledger, ref, by_reason


def check(ledger: Ledger, ref: Ref, dead: Counter[str]) -> None:
    statistics, sent = ref.statistics(), ledger.sent
    told = Counter(sent.values())
    # Handlers: nothing twice, nothing half, and all of it counted.
    assert set(ledger.begun.values()) <= {1}
    assert ledger.begun == ledger.ended
    assert statistics.handled == len(ledger.begun)
    # The mailbox: what was taken has one end.
    ends = statistics.handled + statistics.dead_letters + statistics.abandoned
    assert statistics.accepted == ends
    # The senders: what each was told is true.
    for number, outcome in sent.items():
        begun = bool(ledger.begun[number])
        if outcome in ("not taken", "not begun"):
            assert not begun, (number, outcome)
        if outcome in ("answered", "begun", "crashed"):
            assert begun, (number, outcome)
    # And together: at least what senders know was taken, at most that and what they gave up on.
    surely = told["told"] + told["answered"] + told["begun"] + told["crashed"] + told["stopped"]
    assert surely <= statistics.accepted <= surely + told["cancelled"] + told["not begun"]
    # A told message that was taken was handled or is a dead letter, never forgotten.
    lost = sum(1 for number, outcome in sent.items() if outcome == "told" and not ledger.begun[number])
    assert lost == sum(dead.values())
    assert statistics.late_replies <= told["begun"] + told["cancelled"] + told["stopped"]


@pytest.mark.parametrize("seed", range(50))
async def test_every_message_has_exactly_one_end(seed: int) -> None:
    ledger, ref, dead = await storm(seed, (Shaky, ShakyCrowd, ShakyStream)[seed % 3])
    check(ledger, ref, dead)


@pytest.mark.slow
@pytest.mark.parametrize("anyio_backend", ["uvloop"], indirect=True)
@pytest.mark.parametrize("seed", range(3))
async def test_every_message_has_exactly_one_end_in_real_time(seed: int) -> None:
    ledger, ref, dead = await storm(seed, (Shaky, ShakyCrowd, ShakyStream)[seed % 3])
    check(ledger, ref, dead)


@pytest.mark.slow
async def test_the_storms_reach_every_outcome() -> None:
    """A storm that never crashed, expired or overflowed would prove nothing."""
    outcomes: Counter[str] = Counter()
    for seed in range(12):
        ledger, ref, dead = await storm(seed, (Shaky, ShakyCrowd, ShakyStream)[seed % 3])
        outcomes.update(ledger.sent.values())
        outcomes.update(dead)
        outcomes["restarts"] += ref.statistics().restarts
        outcomes["late"] += ref.statistics().late_replies
        outcomes["abandoned"] += ref.statistics().abandoned
    expected = {"told", "answered", "not taken", "not begun", "begun", "crashed", "stopped", "cancelled"}
    assert {outcome for outcome in outcomes if outcomes[outcome]} >= expected | {
        "overflow",
        "restarts",
        "late",
        "abandoned",
    }
