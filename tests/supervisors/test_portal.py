"""Portal: threads reach actors, and none is left waiting. In real time: threads are real."""

# ruff: noqa: ASYNC110 - threads have no event of the loop

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from math import inf
from typing import TypeVar

import anyio
import anyio.lowlevel
import pytest

from relight import (
    Actor,
    ActorCrashedError,
    ActorStoppedError,
    AskTimeoutError,
    Child,
    MailboxClosedError,
    MailboxFullError,
    Message,
    Portal,
    Ref,
    RelightError,
    Request,
    ShutdownPhase,
    StartError,
    Supervisor,
    System,
    SystemEndedError,
    WrongThreadError,
    handles,
    open_system,
)
from relight.supervisors import _portal

pytestmark = pytest.mark.anyio

ResultT = TypeVar("ResultT")


class Add(Request[int], frozen=True):
    number: int


class Boom(Request[int], frozen=True):
    pass


class Wait(Request[int], frozen=True):
    pass


class Put(Message, frozen=True):
    number: int


class Adder(Actor):
    mailbox = 4

    def __init__(self) -> None:
        self.total = 0
        self.seen: list[int] = []
        self.threads: set[int] = set()
        self.waiting = anyio.Event()
        self.gate = anyio.Event()

    @handles
    async def add(self, message: Add) -> int:
        self.threads.add(threading.get_ident())
        self.total += message.number
        return self.total

    @handles
    async def boom(self, message: Boom) -> int:
        raise ValueError("boom")

    @handles
    async def wait(self, message: Wait) -> int:
        self.waiting.set()
        await self.gate.wait()
        return 1

    @handles
    async def put(self, message: Put) -> None:
        self.seen.append(message.number)


async def in_thread(function: Callable[[], ResultT]) -> ResultT:
    with anyio.fail_after(30.0):
        return await anyio.to_thread.run_sync(function, abandon_on_cancel=True)


async def spawn_adder(system: System) -> tuple[Ref, Adder]:
    adder = Adder()
    return await system.spawn(Child("adder", lambda: adder)), adder


async def outcome_of(portal: Portal, function: Callable[[], object]) -> object:
    def run() -> object:
        try:
            return function()
        except RelightError as error:
            return error

    return await in_thread(run)


async def test_a_thread_asks_tells_and_gets_the_actors_answers() -> None:
    async with open_system() as system:
        ref, adder = await spawn_adder(system)
        portal = system.portal

        def work() -> int:
            portal.tell(ref, Add(40))
            portal.tell_nowait(ref, Add(1))
            return portal.ask(ref, Add(1), timeout=5.0)

        assert await in_thread(work) == 42
        assert adder.threads == {threading.get_ident()}
        assert system.portal is portal


async def test_eight_threads_ask_two_hundred_times_each() -> None:
    async with open_system() as system:
        ref, adder = await spawn_adder(system)
        answers: list[int] = []

        def work() -> None:
            for _ in range(200):
                answers.append(system.portal.ask(ref, Add(1), timeout=30.0))  # noqa: PERF401

        async with anyio.create_task_group() as group:
            for _ in range(8):
                group.start_soon(in_thread, work)
        assert sorted(answers) == list(range(1, 1601))
        assert adder.total == 1600


async def test_the_errors_of_asks_reach_the_thread() -> None:
    async with open_system() as system:
        ref, adder = await spawn_adder(system)
        portal = system.portal
        crashed = await outcome_of(portal, partial(portal.ask, ref, Boom()))
        assert isinstance(crashed, ActorCrashedError)
        assert isinstance(crashed.__cause__, ValueError)
        late = await outcome_of(portal, partial(portal.ask, ref, Wait(), 0.01))
        assert isinstance(late, AskTimeoutError)
        adder.gate.set()
        await in_thread(partial(portal.stop, ref))
        assert not ref.is_alive
        gone = await outcome_of(portal, partial(portal.tell, ref, Put(1)))
        assert isinstance(gone, MailboxClosedError)


async def test_a_full_mailbox_holds_the_thread_up() -> None:
    async with open_system() as system:
        ref, adder = await spawn_adder(system)
        portal = system.portal
        await ref.tell(Wait())
        await adder.waiting.wait()
        sent: list[int] = []

        def work() -> None:
            for number in range(8):
                portal.tell(ref, Put(number))
                sent.append(number)

        async with anyio.create_task_group() as group:
            group.start_soon(in_thread, work)
            while ref.statistics().waiting == 0:
                await anyio.sleep(0.001)
            assert sent == [0, 1, 2, 3]
            full = await outcome_of(portal, partial(portal.tell_nowait, ref, Put(9)))
            assert isinstance(full, MailboxFullError)
            adder.gate.set()
        assert await ref.ask(Add(0)) == 0
        assert adder.seen == list(range(8))


async def test_a_thread_starts_and_stops_actors_and_subtrees() -> None:
    async with open_system() as system:
        portal = system.portal

        def work() -> int:
            ref = portal.spawn(Child("a", Adder))
            tree = portal.spawn(Supervisor("tree", children=[Child("b", Adder)]))
            assert [status.id for status in portal.call(tree.which_children)] == ["b"]
            portal.stop(ref)
            portal.call(tree.stop)
            return portal.call(double, 21)

        async def double(number: int) -> int:
            await anyio.lowlevel.checkpoint()
            return 2 * number

        def broken() -> Adder:
            raise ValueError("no")

        assert await in_thread(work) == 42
        assert system.actors() == []
        failed = await outcome_of(portal, partial(portal.spawn, Child("c", broken)))
        assert isinstance(failed, StartError)


async def test_the_loops_own_thread_is_refused() -> None:
    async with open_system() as system:
        ref, _ = await spawn_adder(system)
        with pytest.raises(
            WrongThreadError, match=r"portal.ask\(\) on the event loop's own thread"
        ) as caught:
            system.portal.ask(ref, Add(1))
        assert caught.value.call == "portal.ask()"


async def test_a_system_that_has_ended_is_an_error() -> None:
    async with open_system() as system:
        ref, _ = await spawn_adder(system)
        portal = system.portal
    ended = await outcome_of(portal, partial(portal.ask, ref, Add(1)))
    assert isinstance(ended, SystemEndedError)
    assert ended.call == "portal.ask()"


async def test_nobody_waits_on_when_the_system_ends() -> None:
    outcomes: list[object] = []
    cancelled: list[str] = []

    async def hang() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.append("hang")

    async def keep(portal: Portal, function: Callable[[], object]) -> None:
        outcomes.append(await outcome_of(portal, function))

    async with anyio.create_task_group() as group, open_system() as system:
        ref, adder = await spawn_adder(system)
        portal = system.portal
        await ref.tell(Wait())
        await adder.waiting.wait()
        for _ in range(4):
            group.start_soon(keep, portal, partial(portal.ask, ref, Add(1), inf))
        while ref.statistics().queued < 4:
            await anyio.sleep(0.001)
        group.start_soon(keep, portal, partial(portal.tell, ref, Put(1)))
        group.start_soon(keep, portal, partial(portal.call, hang))
        while ref.statistics().waiting == 0:
            await anyio.sleep(0.001)
        system.at_shutdown(ShutdownPhase.INTAKE, partial(anyio.sleep, 0.01), name="a turn for the call")
        adder.gate.set()
    assert len(outcomes) == 6
    kinds = {type(outcome) for outcome in outcomes}
    assert kinds <= {ActorStoppedError, MailboxClosedError, SystemEndedError, int, type(None)}
    assert SystemEndedError in kinds
    assert cancelled == ["hang"]


async def test_a_system_that_fails_fails_the_calls_in_flight() -> None:
    class FatalError(BaseException):
        pass

    async def die() -> None:
        raise FatalError

    outcomes: list[object] = []

    async def keep(portal: Portal) -> None:
        outcomes.append(await outcome_of(portal, partial(portal.call, anyio.sleep_forever)))

    async with anyio.create_task_group() as group:
        with pytest.raises(FatalError):  # noqa: PT012 - the block raises
            async with open_system() as system:
                group.start_soon(keep, system.portal)
                system.at_shutdown(ShutdownPhase.DRAIN, die, name="die")
                while not system.portal._calls:
                    await anyio.sleep(0.001)
    assert [type(outcome) for outcome in outcomes] == [SystemEndedError]


async def test_a_thread_that_is_interrupted_cancels_its_call(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, cancelled = threading.Event(), anyio.Event()

    async def hang() -> None:
        begun.set()
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.set()

    class Interrupted(Future[None]):
        def result(self, timeout: float | None = None) -> None:
            assert begun.wait(20.0)
            raise KeyboardInterrupt

    monkeypatch.setattr(_portal, "Future", Interrupted)
    async with open_system() as system:

        def work() -> bool:
            with contextlib.suppress(KeyboardInterrupt):
                system.portal.call(hang)
                return False
            return True

        assert await in_thread(work)
        with anyio.fail_after(20.0):
            await cancelled.wait()
        assert not system.portal._calls


async def test_a_call_whose_thread_left_before_the_loop_took_it_never_begins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun: list[int] = []

    async def begin() -> None:
        begun.append(1)

    class Interrupted(Future[None]):
        def result(self, timeout: float | None = None) -> None:
            raise KeyboardInterrupt

    monkeypatch.setattr(_portal, "Future", Interrupted)
    async with open_system() as system:

        def work() -> None:
            with contextlib.suppress(KeyboardInterrupt):
                system.portal.call(begin)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()  # the loop stands still meanwhile
        await anyio.sleep(0.01)
    assert begun == []


async def test_a_call_the_loop_has_not_taken_yet_fails_with_the_end_and_never_begins() -> None:
    begun: list[int] = []
    outcomes: list[object] = []

    async def begin() -> None:
        begun.append(1)

    def work() -> None:
        try:
            portal.call(begin)
        except SystemEndedError as error:
            outcomes.append(error.call)

    async with open_system() as system:
        portal = system.portal
        thread = threading.Thread(target=work)
        thread.start()
        while not portal._calls:
            pass  # the loop stands still meanwhile
        portal.close()
        thread.join(20.0)
        assert outcomes == ["portal.call()"]
        await anyio.sleep(0.01)
    assert begun == []


async def test_a_call_whose_thread_leaves_between_its_start_and_its_first_step_does_nothing() -> None:
    begun: list[int] = []

    async def begin() -> None:
        begun.append(1)

    async with open_system() as system:
        call = _portal._Call(system._kernel, "call", begin)
        call._begin()
        call._outcome.cancel()
        await anyio.sleep(0.01)
    assert begun == []
