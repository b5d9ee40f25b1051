"""The conformance suite: good actors pass, and each check is seen to fail on an actor made for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from functools import partial
from typing import ClassVar

import anyio
import pytest

from relight import (
    Actor,
    ExitReason,
    FailureKind,
    Fixed,
    Message,
    Policy,
    ProviderError,
    Request,
    Retry,
    handles,
)
from relight.testing import ACTOR_CHECKS, ActorConformance, ConformanceError, check_actor_conformance
from tests.testing.actors import Add, Counter, Host, Nap, Note, Service, real_time

pytestmark = pytest.mark.anyio

MESSAGES: tuple[Message, ...] = (Add(1), Note(), Nap(0.5))


@pytest.mark.parametrize("check", ACTOR_CHECKS)
@pytest.mark.parametrize("made", [Counter, Host])
async def test_a_good_actor_passes_every_check(check: str, made: type[Actor]) -> None:
    await check_actor_conformance(made, MESSAGES, checks=[check])


@pytest.mark.parametrize("check", ACTOR_CHECKS)
async def test_a_good_service_passes_every_check(check: str) -> None:
    await check_actor_conformance(Service, [Add(1)], checks=[check])


@real_time
@pytest.mark.slow
async def test_the_suite_runs_in_real_time_too() -> None:
    await check_actor_conformance(Counter, [Add(1), Note(), Nap(0.01)], rounds=10)
    checks = ["restarts_afresh", "stops_in_time", "ignores_unknown_messages"]
    await check_actor_conformance(Service, [Add(1)], checks=checks, policy=QUICK)


QUICK = Policy(restart_backoff=Fixed(0.01))


@pytest.mark.anyio
class TestCounter(ActorConformance):
    """The suite as a class."""

    messages = MESSAGES
    options: ClassVar[Mapping[str, object]] = {"rounds": 10}

    def make(self) -> Actor:
        return Counter()


async def test_the_class_has_a_test_for_each_check() -> None:
    tests = {name.removeprefix("test_") for name in vars(ActorConformance) if name.startswith("test_")}
    assert tests == set(ACTOR_CHECKS)
    with pytest.raises(ConformanceError, match=r"ActorConformance.make\(\) must return a new actor"):
        await ActorConformance().check("handles_its_messages")


# --- actors that break one rule each ------------------------------------------------------------------


class Raising(Counter):
    @handles
    async def add(self, message: Add) -> int:
        raise KeyError(message.amount)


class RaisingOnNotes(Counter):
    @handles
    async def note(self, message: Note) -> None:
        raise KeyError(message.text)


class Deaf(Actor):
    """Handles nothing."""


class Silent(Counter):
    @handles
    async def add(self, message: Add) -> int:
        await anyio.sleep_forever()
        return 0


class Fragile(Service):
    """Crashes for good when an attempt is cancelled."""

    broken = False

    @handles
    async def add(self, message: Add) -> int:
        if self.broken:
            raise RuntimeError("broken")
        try:
            await anyio.sleep(0.5)
        except BaseException:
            self.broken = True
            raise
        return message.amount


ONLY = Counter()


def the_same() -> Actor:
    return ONLY


class NeverAgain(Counter):
    made = 0

    def __init__(self) -> None:
        super().__init__()
        type(self).made += 1
        if type(self).made > 1:
            raise OSError("the port is taken")


class Sharing(Counter):
    seen: ClassVar[list[int]] = []

    @handles
    async def add(self, message: Add) -> int:
        self.seen.append(message.amount)
        return 0


class Slow(Counter):
    async def stopping(self, reason: ExitReason) -> None:
        await anyio.sleep(60)


class RaisingAtStop(Counter):
    async def stopping(self, reason: ExitReason) -> None:
        raise OSError("cannot close")


class ClosingTwice(Counter):
    closed = False

    async def stopping(self, reason: ExitReason) -> None:
        if self.closed:
            raise OSError("closed before")
        self.closed = True


class HangingTwice(ClosingTwice):
    async def stopping(self, reason: ExitReason) -> None:
        if self.closed:
            await anyio.sleep_forever()
        self.closed = True


KEPT: list[Actor] = []


class Kept(Counter):
    def __init__(self) -> None:
        super().__init__()
        KEPT.append(self)


class Greedy(Counter):
    """Takes every message, and chokes on those it does not know."""

    @handles
    async def anything(self, message: Message) -> None:
        raise TypeError(f"what is a {type(message).__name__}?")


class GreedyWhenTold(Counter):
    asked = False

    @handles
    async def anything(self, message: Message) -> None:
        if self.asked:
            raise TypeError(f"what is a {type(message).__name__}?")
        self.asked = True


tenant: ContextVar[str] = ContextVar("tenant")


class Binding(Counter):
    @handles
    async def add(self, message: Add) -> int:
        tenant.set("ann")
        return 0


class Resetting(Binding):
    isolated = True


class Locked(Host):
    def __init__(self) -> None:
        super().__init__()
        self.lock = anyio.Lock()

    @handles
    async def nap(self, message: Nap) -> float:
        async with self.lock:
            await anyio.sleep(message.seconds)
        return message.seconds


class Callback(Request[int], frozen=True):
    call: Callable[[], int]


class Loose(Request[int], frozen=True):
    items: object


class Calling(Counter):
    @handles
    async def call(self, message: Callback) -> int:
        return message.call()

    @handles
    async def loose(self, message: Loose) -> int:
        return 0


class Blocking(Counter):
    @handles
    async def add(self, message: Add) -> int:
        await anyio.lowlevel.checkpoint()
        time.sleep(0.08)  # noqa: ASYNC251 - the fault under test
        return 0


class BlockingOnce(Blocking):
    """Held up once, as by a busy machine."""

    held = False

    @handles
    async def add(self, message: Add) -> int:
        if not self.held:
            self.held = True
            time.sleep(0.08)  # noqa: ASYNC251
        return 0


BAD: list[tuple[str, Callable[[], Actor], Sequence[Message], str]] = [
    ("handles_its_messages", Raising, [Add()], r"it crashed on Add: KeyError\(1\)"),
    ("handles_its_messages", RaisingOnNotes, [Note()], "it crashed on Note; the log says how"),
    ("handles_its_messages", Deaf, [Add()], "it did not handle Add: .* has no handler"),
    ("handles_its_messages", Deaf, [Note()], "it did not handle Note: it became a dead letter"),
    ("handles_its_messages", Silent, [Add()], "it did not handle Add: .* no reply to Add within 30 s"),
    ("survives_askers_that_leave", Fragile, [Add()], "it crashed once an asker of Add had left"),
    ("restarts_afresh", the_same, [Add()], "returned the same object again"),
    ("restarts_afresh", NeverAgain, [Add()], "it did not start again after a crash: it is"),
    ("keeps_state_apart", Sharing, [Add()], r"'seen' was changed by handlers .* shares=\['seen'\]"),
    ("stops_in_time", Slow, [Add()], "actor.stop_overran when it was stopped: shutdown="),
    ("stops_in_time", RaisingAtStop, [Add()], "actor.stop_failed when it was stopped: error_type=OSError"),
    ("stops_in_time", ClosingTwice, [Add()], "raised when it was called a second time: OSError"),
    ("stops_in_time", HangingTwice, [Add()], "hangs when it is called a second time"),
    ("starts_and_stops_without_leaks", Kept, [Add()], "100 of 100 stopped objects are kept alive"),
    ("ignores_unknown_messages", Greedy, [Add()], "an unknown type was answered with ActorCrashedError"),
    ("ignores_unknown_messages", GreedyWhenTold, [Add()], "it crashed on a message of an unknown type"),
    ("leaves_no_context_variables", Binding, [Add()], "the handler of Add leaves tenant bound"),
    (
        "handles_as_many_at_once_as_declared",
        Locked,
        [Nap(1)],
        "concurrency = 3, but 3 Nap at once take 3 s and one takes 1 s",
    ),
    ("handles_as_many_at_once_as_declared", Raising, [Add()], "it crashed on Add"),
    ("sends_messages_as_data", Calling, [Callback(lambda: 1)], "msgspec can't encode Callback"),
    ("sends_messages_as_data", Calling, [Loose((1, 2))], r"msgspec turns Loose.* into .*: type its fields"),
    ("never_blocks_the_loop", Blocking, [Add()], "the handler of Add held the event loop for 0.08"),
]


@pytest.mark.parametrize(
    ("check", "factory", "messages", "complaint"), BAD, ids=[f"{row[0]}-{row[1].__name__}" for row in BAD]
)
async def test_a_bad_actor_is_found_out(
    check: str, factory: Callable[[], Actor], messages: Sequence[Message], complaint: str
) -> None:
    KEPT.clear()
    NeverAgain.made = 0
    with pytest.raises(ConformanceError, match=complaint) as caught:
        await check_actor_conformance(factory, messages, checks=[check])
    assert list(caught.value.failures) == [check]


async def test_every_check_is_seen_to_fail() -> None:
    assert {row[0] for row in BAD} == set(ACTOR_CHECKS)


@pytest.mark.parametrize(
    ("check", "factory"),
    [("leaves_no_context_variables", Resetting), ("never_blocks_the_loop", BlockingOnce)],
)
async def test_what_only_looks_bad_passes(check: str, factory: Callable[[], Actor]) -> None:
    await check_actor_conformance(factory, [Add()], checks=[check])


async def test_state_that_is_shared_on_purpose_passes() -> None:
    await check_actor_conformance(Sharing, [Add()], checks=["keeps_state_apart"], shares=["seen"])


async def test_an_answer_by_exception_is_no_crash() -> None:
    class Declining(Counter):
        declines = (KeyError,)

        @handles
        async def add(self, message: Add) -> int:
            raise KeyError

        @handles
        async def note(self, message: Note) -> None:
            raise KeyError

    class Failing(Service):
        @handles
        async def add(self, message: Add) -> int:
            raise ProviderError("p", FailureKind.BAD_REQUEST)

    await check_actor_conformance(Declining, [Add(), Note()], checks=["handles_its_messages"])
    await check_actor_conformance(Failing, [Add()], checks=["handles_its_messages"])


async def test_the_report_names_the_actor_and_each_rule() -> None:
    with pytest.raises(ConformanceError) as caught:
        await check_actor_conformance(
            partial(partial(Raising)), [Add()], checks=["handles_its_messages", "sends_messages_as_data"]
        )
    assert str(caught.value).splitlines() == [
        "Raising breaks 1 of 2 rules",
        "  handles_its_messages: it crashed on Add: KeyError(1)",
    ]


async def test_a_check_that_does_not_exist_is_refused() -> None:
    for checks, skip in ((["no_such"], []), (None, ["no_such"])):
        with pytest.raises(ValueError, match="there is no check 'no_such': choose from handles_"):
            await check_actor_conformance(Counter, [Add()], checks=checks, skip=skip)


async def test_a_start_that_fails_is_said() -> None:
    def broken() -> Actor:
        raise OSError("no")

    with pytest.raises(ConformanceError, match="handles_its_messages: StartError: subject: did not start"):
        await check_actor_conformance(broken, [Add()], checks=["handles_its_messages"])


async def test_state_that_cannot_be_copied_is_compared_by_its_surface() -> None:
    class Holding(Counter):
        locks: ClassVar[list[object]] = [threading.Lock()]

        @handles
        async def add(self, message: Add) -> int:
            self.locks.append(threading.Lock())
            return 0

    with pytest.raises(ConformanceError, match="'locks' was changed by handlers"):
        await check_actor_conformance(Holding, [Add()], checks=["keeps_state_apart"])


async def test_a_rehearsal_that_is_cancelled_fails_as_the_call_does() -> None:
    class Hanging(Service):
        @handles
        async def add(self, message: Add) -> int:
            await anyio.sleep_forever()
            return 0

    policy = Policy(attempt_timeout=1.0, retry=Retry(attempts=1))
    with pytest.raises(ConformanceError, match=r"never_blocks_the_loop: .* no answer within 1 s"):
        await check_actor_conformance(Hanging, [Add()], checks=["never_blocks_the_loop"], policy=policy)
