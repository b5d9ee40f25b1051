"""Engine: actors stop in reverse start order whatever is cancelled, and errors come out as they are."""

import asyncio
import random
from functools import partial
from math import inf

import anyio
import anyio.lowlevel
import pytest

from relight import ActorStoppedError, Child, ExitReason, Monitor, StartError, Supervisor, System, open_system
from relight.runtime import Engine, Kernel
from tests.runtime.desk import Boom, Desk, Dig, Echo, Hold, Log, asking, open_desk, settle
from tests.runtime.test_lifespan import House

pytestmark = pytest.mark.anyio


class Orderly(Desk):
    """Logs its name when it stops, after a pause."""

    def __init__(self, log: Log, name: object, pause: float = 0.0) -> None:
        super().__init__(log)
        self.name, self.pause = name, pause

    async def stopping(self, reason: ExitReason) -> None:
        await anyio.sleep(self.pause)
        self.log.append(self.name)


class Fatal(BaseException):
    """What no actor's edge may swallow."""


async def spawn_orderly(system: System, log: Log, count: int = 8) -> None:
    for number in range(count):
        await system.spawn(Child(str(number), partial(Orderly, log, number, random.random())))


async def test_actors_stop_in_reverse_start_order() -> None:
    log = Log()
    async with open_system() as system:
        await spawn_orderly(system, log)
    assert log == [7, 6, 5, 4, 3, 2, 1, 0]


@pytest.mark.parametrize("_run", range(40))
async def test_the_order_holds_under_an_outer_cancellation(_run: int) -> None:
    log = Log()
    with anyio.CancelScope() as scope:
        async with open_system() as system:
            await spawn_orderly(system, log)
            scope.cancel()
            await anyio.sleep(1)
    assert log == [7, 6, 5, 4, 3, 2, 1, 0]
    assert scope.cancelled_caught


async def test_the_order_holds_when_a_task_beside_the_system_fails() -> None:
    log = Log()

    async def fail() -> None:
        await anyio.sleep(1)
        raise ValueError("beside")

    with pytest.raises(ExceptionGroup) as caught:  # noqa: PT012 - the block raises
        async with anyio.create_task_group() as group, open_system() as system:
            group.start_soon(fail)
            await spawn_orderly(system, log)
            await anyio.sleep_forever()
    assert [repr(error) for error in caught.value.exceptions] == ["ValueError('beside')"]
    assert log == [7, 6, 5, 4, 3, 2, 1, 0]


async def test_subtrees_stop_newest_first_within_their_order() -> None:
    log = Log()

    def leaf(name: str) -> Child:
        return Child(name, partial(Orderly, log, name))

    async with open_system() as system:
        await system.spawn(Supervisor("one", children=[leaf("a"), leaf("b")]))
        await system.spawn(Supervisor("two", children=[leaf("c"), leaf("d")]))
    assert log == ["d", "c", "b", "a"]


async def test_the_bodys_own_error_comes_out_unwrapped() -> None:
    log = Log()
    with pytest.raises(KeyError, match="body"):  # noqa: PT012 - the block raises
        async with open_system() as system:
            await spawn_orderly(system, log, 2)
            raise KeyError("body")
    assert log == [1, 0]


async def test_the_bodys_own_group_comes_out_as_it_is() -> None:
    group = ExceptionGroup("body", [ValueError(1), KeyError(2)])
    with pytest.raises(ExceptionGroup) as caught:
        async with open_system():
            raise group
    assert caught.value is group


async def test_the_bodys_own_error_wins_over_a_cancellation_from_outside() -> None:
    with anyio.CancelScope() as scope, pytest.raises(KeyError, match="body"):  # noqa: PT012
        async with open_system():
            scope.cancel()
            raise KeyError("body")


async def test_stop_cancels_the_body_and_goes_no_further() -> None:
    log = Log()
    async with open_system() as system:
        await spawn_orderly(system, log, 3)
        system.stop()
        await anyio.sleep_forever()
    assert log == [2, 1, 0]
    await anyio.lowlevel.checkpoint()


async def test_a_system_can_be_stopped_by_an_actor() -> None:
    class Switch(Desk):
        async def echo(self, message: Echo) -> int:
            systems[0].stop()
            return 1

    systems: list[System] = []
    async with open_desk(Switch) as (system, ref, _log):
        systems.append(system)
        await ref.tell(Echo())
        await anyio.sleep_forever()


async def test_a_stop_without_another_await_lets_the_body_end() -> None:
    async with open_system() as system:
        system.stop()


async def test_an_error_of_the_body_after_a_stop_comes_out() -> None:
    with pytest.raises(KeyError, match="late"):  # noqa: PT012 - the block raises
        async with open_system() as system:
            system.stop()
            try:
                await anyio.sleep_forever()
            finally:
                raise KeyError("late")


async def test_the_whole_stop_has_a_deadline() -> None:
    log = Log()
    began = anyio.current_time()
    events: list[str] = []
    async with open_system(shutdown_timeout=4.0) as system:
        system.events.listen(lambda name, _: events.append(name))
        for number in range(5):
            await system.spawn(Child(str(number), partial(Orderly, log, number, 3.0), shutdown=inf))
    assert anyio.current_time() - began == pytest.approx(4.0)
    assert log == [4]
    assert "system.shutdown_overran" in events


async def test_the_whole_stop_does_not_wait_for_a_stuck_handler_to_answer_its_asker() -> None:
    """The handler itself can't be ended: the block is left when it gives way."""
    log = Log()
    async with anyio.create_task_group() as group:
        async with open_system(shutdown_timeout=2.0) as system:
            ref = await system.spawn(Child("digger", partial(Desk, log), shutdown=inf))
            stuck = await asking(group, ref, Dig(30))
            began = anyio.current_time()
        assert isinstance(stuck.error, ActorStoppedError)
        assert stuck.at == pytest.approx(began + 2.0)
        assert anyio.current_time() - began == pytest.approx(30)


async def test_an_error_no_actor_may_swallow_ends_the_system() -> None:
    class Bomb(Desk):
        async def boom(self, message: Boom) -> int:
            raise Fatal

    with pytest.raises(Fatal):  # noqa: PT012 - the block raises
        async with open_desk(Bomb) as (_, ref, _log):
            await ref.tell(Boom())
            await anyio.sleep_forever()


async def test_an_error_no_actor_may_swallow_ends_a_system_whose_body_has_no_await_left() -> None:
    class Bomb(Orderly):
        async def stopping(self, reason: ExitReason) -> None:
            raise Fatal

    log = Log()
    with pytest.raises(Fatal):
        async with open_system() as system:
            await system.spawn(Child("bomb", partial(Bomb, log, "bomb")))


async def test_a_failing_lifespan_task_ends_the_system() -> None:
    class Bomb(House):
        async def boom(self, message: Boom) -> int:
            raise Fatal

    log = Log()
    monitors: list[Monitor] = []
    with pytest.raises(Fatal):  # noqa: PT012 - the block raises
        async with open_system() as system:
            quiet = await system.spawn(Child("quiet", partial(House, log)))
            monitors.append(system.monitor(quiet))
            bomb = await system.spawn(Child("bomb", partial(Bomb, log)))
            await bomb.tell(Boom())
            await anyio.sleep_forever()
    assert monitors[0].down is not None


async def test_a_failed_start_of_one_actor_leaves_the_system_running() -> None:
    class Broken(Desk):
        async def started(self) -> None:
            raise OSError("broken")

    async with open_desk() as (system, ref, log):
        with pytest.raises(StartError, match="broken: did not start: OSError: broken"):
            await system.spawn(Child("broken", partial(Broken, log)))
        assert await ref.ask(Echo(1)) == 1


async def test_a_handler_that_awaits_a_cancelled_future_has_crashed_not_been_cancelled() -> None:
    """On asyncio both look the same. It must not be taken for a cancellation of the worker."""

    class Waiter(Desk):
        async def boom(self, message: Boom) -> int:
            raise anyio.get_cancelled_exc_class()() if self.cancels else ValueError

        cancels = False

    class AsyncioWaiter(Waiter):
        async def boom(self, message: Boom) -> int:
            future = asyncio.get_running_loop().create_future()
            future.cancel()
            await future
            return 1

    is_asyncio = "asyncio" in anyio.get_cancelled_exc_class().__module__
    async with open_desk(AsyncioWaiter if is_asyncio else Waiter) as (system, ref, log):
        other = await system.spawn(Child("other", partial(Desk, log)))
        await ref.tell(Boom())
        assert await ref.ask(Echo(1)) == 1
        assert await other.ask(Echo(2)) == 2
        assert ref.statistics().crashed == 1


class Root:
    """A tree that does what a test says."""

    def __init__(self, *, fails: bool = False, hangs: bool = False) -> None:
        self.fails, self.hangs = fails, hangs
        self.did: list[str] = []

    async def start(self, kernel: Kernel) -> None:
        self.did.append("start")
        if self.fails:
            raise OSError("no root")
        if self.hangs:
            await anyio.sleep(10)

    async def stop(self) -> None:
        self.did.append("stop")

    def abort(self) -> None:
        self.did.append("abort")


async def test_a_root_that_does_not_start_is_the_error_of_the_block() -> None:
    root = Root(fails=True)
    with pytest.raises(OSError, match="no root"):
        async with Engine(root, shutdown_timeout=1):
            raise AssertionError
    assert root.did[0] == "start"
    assert set(root.did[1:]) == {"abort"}


async def test_a_cancellation_while_the_root_starts_ends_it() -> None:
    root = Root(hangs=True)
    with anyio.move_on_after(1) as scope:
        async with Engine(root, shutdown_timeout=1):
            await anyio.sleep(1)
            raise AssertionError
    assert scope.cancelled_caught
    assert root.did[0] == "start"
    assert root.did[-1] in ("stop", "abort")


async def test_systems_can_be_nested_and_do_not_know_of_each_other() -> None:
    async with open_desk() as (outer, _, _), open_desk() as (inner, ref, _log):
        assert inner.get("desk") is ref
        assert outer.get("desk") is not ref
        assert await ref.ask(Echo(1)) == 1


async def test_a_held_call_from_outside_does_not_keep_the_system_from_ending() -> None:
    log = Log()
    async with anyio.create_task_group() as group:
        async with open_system() as system:
            ref = await system.spawn(Child("desk", partial(Desk, log), shutdown=1.0))
            held = await asking(group, ref, Hold())
        await settle()
        assert held.is_in
