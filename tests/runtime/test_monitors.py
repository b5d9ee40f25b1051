"""Monitors: one Down for each incarnation, whatever ended it and whenever one asks."""

import gc
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial

import anyio
import pytest

from relight import (
    Child,
    Down,
    Exit,
    ExitKind,
    ExitReason,
    Fixed,
    Monitor,
    Ref,
    Supervisor,
    System,
    handles,
    open_system,
)
from tests.runtime.desk import Boom, Desk, Echo, Hold, Log, Note, asking, cell_of, open_desk, settle

pytestmark = pytest.mark.anyio


async def test_a_monitor_tells_how_an_actor_crashed() -> None:
    async with open_desk() as (system, ref, _log):
        monitor = system.monitor(ref)
        assert monitor.down is None
        await ref.tell(Boom())
        down = await monitor.wait()
        assert (down.ref, down.incarnation) == (ref, 1)
        assert down.reason.kind is ExitKind.CRASHED
        assert repr(down.reason.error) == "ValueError('boom')"
        assert monitor.down is down


async def test_a_monitor_tells_of_a_stop() -> None:
    reason = ExitReason(ExitKind.NORMAL, detail="done")
    async with open_desk() as (system, ref, _log):
        monitor = system.monitor(ref)
        await ref.stop(reason)
        assert (await monitor.wait()).reason == reason


async def test_a_monitor_tells_of_a_kill() -> None:
    async with open_desk(shutdown=0.0) as (system, ref, _log):
        monitor = system.monitor(ref)
        await ref.stop()
        assert (await monitor.wait()).reason.kind is ExitKind.KILLED


async def test_a_monitor_tells_of_an_exit_by_the_actor_itself() -> None:
    class Quitter(Desk):
        async def boom(self, message: Boom) -> int:
            raise Exit(ExitReason(ExitKind.SHUTDOWN, detail="enough"))

    async with open_desk(Quitter) as (system, ref, _log):
        monitor = system.monitor(ref)
        await ref.tell(Boom())
        down = await monitor.wait()
        assert str(down.reason) == "shutdown: enough"


async def test_a_monitor_of_a_dead_actor_reports_at_once() -> None:
    async with open_desk() as (system, ref, _log):
        await ref.stop()
        monitor = system.monitor(ref)
        assert monitor.down is not None
        assert (await monitor.wait()).reason.kind is ExitKind.NORMAL


async def test_a_monitor_watches_one_incarnation() -> None:
    async with open_desk() as (system, ref, _log):
        first = system.monitor(ref)
        await ref.tell(Boom("one"))
        await settle()
        second = system.monitor(ref)
        assert second.down is None
        await ref.tell(Boom("two"))
        assert [(await monitor.wait()).incarnation for monitor in (first, second)] == [1, 2]


async def test_a_monitor_of_an_actor_between_two_incarnations_reports_the_last_one() -> None:
    log = Log()
    async with open_system() as system:
        ref = await system.spawn(Child("desk", partial(Desk, log), backoff=Fixed(60)))
        await ref.tell(Boom())
        await settle()
        down = await system.monitor(ref).wait()
        assert (down.incarnation, down.reason.kind) == (1, ExitKind.CRASHED)


async def test_a_monitor_set_while_an_actor_stops_reports_its_end() -> None:
    async with open_desk() as (system, ref, log), anyio.create_task_group() as group:
        await asking(group, ref, Hold())
        group.start_soon(ref.stop)
        await settle()
        monitor = system.monitor(ref)
        assert monitor.down is None
        log.open()
        assert (await monitor.wait()).reason.kind is ExitKind.NORMAL


async def test_a_monitor_set_while_an_actor_starts_reports_a_start_that_failed_for_good() -> None:
    class OnceOnly(Desk):
        async def started(self) -> None:
            if self.number > 1:
                await anyio.sleep(1)
                raise ValueError("no second life")

    log = Log()
    async with open_system() as system:
        child = Child("once", partial(OnceOnly, log))
        await system.spawn(Supervisor("tree", intensity=1, children=[child], restart="temporary"))
        ref = system.get("tree/once")
        await ref.tell(Boom())
        await settle()
        monitor = system.monitor(ref)
        assert monitor.down is None
        with anyio.fail_after(10):
            await monitor.wait()


async def test_all_who_wait_on_a_monitor_are_told() -> None:
    async with open_desk() as (system, ref, _log):
        monitor = system.monitor(ref)
        downs: list[object] = []

        async def wait() -> None:
            downs.append(await monitor.wait())

        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(wait)
            await settle()
            await ref.stop()
        assert len(downs) == 3


async def test_a_cancelled_wait_leaves_the_monitor_good_for_others() -> None:
    async with open_desk() as (system, ref, _log):
        monitor = system.monitor(ref)
        with anyio.move_on_after(1):
            await monitor.wait()
        await ref.stop()
        assert (await monitor.wait()).incarnation == 1


async def test_dropped_monitors_leak_nothing() -> None:
    async with open_desk() as (system, ref, _log):
        kept = system.monitor(ref)
        for _ in range(100):
            with anyio.move_on_after(0.1):
                await system.monitor(ref).wait()
        gc.collect()
        ties = cell_of(ref).ties
        assert ties is not None
        monitors = ties.monitors
        assert monitors is not None
        assert kept in monitors
        assert len(monitors) < 5


async def test_a_monitor_waits_on_though_nobody_holds_it_but_the_wait() -> None:
    async with open_desk() as (system, ref, _log), anyio.create_task_group() as group:
        downs: list[object] = []

        async def wait() -> None:
            downs.append(await system.monitor(ref).wait())

        group.start_soon(wait)
        await settle()
        gc.collect()
        await ref.stop()
        await settle()
        assert len(downs) == 1


async def test_monitors_fire_at_the_end_of_the_system() -> None:
    monitors: list[Monitor] = []
    async with open_desk() as (system, ref, _log):
        monitors.append(system.monitor(ref))
    down = monitors[0].down
    assert down is not None
    assert down.reason.kind is ExitKind.SHUTDOWN


async def test_only_actors_of_this_library_can_be_monitored() -> None:
    async with open_desk() as (system, ref, _log):
        assert await ref.ask(Echo(1)) == 1
        with pytest.raises(TypeError, match="is not an actor of this system"):
            system.monitor("desk")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


# --- monitors that tell -----------------------------------------------------------------------------------


class Watcher(Desk):
    """A desk that is told how others end."""

    @handles
    async def down(self, message: Down) -> None:
        self.log.append((message.ref.path, message.incarnation, str(message.reason)))

    async def echo(self, message: Echo) -> int:
        self.monitor(self.log.far)
        return 0


@asynccontextmanager
async def open_watch() -> AsyncGenerator[tuple[System, Ref, Ref, Log], None]:
    """Open a system with a watcher and a desk."""
    log = Log()
    async with open_system() as system:
        watcher = await system.spawn(Child("watcher", partial(Watcher, log)))
        desk = await system.spawn(Child("desk", partial(Desk, Log())))
        yield system, watcher, desk, log


async def test_a_watcher_is_told_before_whatever_it_has_queued() -> None:
    async with open_watch() as (system, watcher, desk, log), anyio.create_task_group() as group:
        await asking(group, watcher, Hold(1))
        monitor = system.monitor(desk, notify=watcher)
        await watcher.tell(Note("queued"))
        await desk.tell(Boom())
        await settle()
        assert monitor.down is not None
        log.open()
        await settle()
        assert log == [("holds", 1), ("held", 1), ("desk", 1, "crashed: ValueError"), "queued"]


async def test_a_watcher_is_told_though_nobody_holds_the_monitor() -> None:
    async with open_watch() as (system, watcher, desk, log):
        system.monitor(desk, notify=watcher)
        gc.collect()
        await desk.stop()
        await settle()
        assert log == [("desk", 1, "normal")]
        assert cell_of(watcher).ties is None


async def test_a_watcher_of_the_dead_is_told_at_once() -> None:
    async with open_watch() as (system, watcher, desk, log):
        await desk.stop()
        system.monitor(desk, notify=watcher)
        await settle()
        assert log == [("desk", 1, "normal")]


async def test_a_watcher_that_watches_no_longer_is_told_nothing() -> None:
    async with open_watch() as (system, watcher, desk, log):
        monitor = system.monitor(desk, notify=watcher)
        other = system.monitor(desk)
        monitor.cancel()
        other.cancel()
        monitor.cancel()
        assert (cell_of(watcher).ties, cell_of(desk).ties) == (None, None)
        await desk.stop()
        await settle()
        assert log == []
        assert monitor.down is None


async def test_a_monitor_that_has_fired_can_be_cancelled() -> None:
    async with open_watch() as (system, watcher, desk, _log):
        monitor = system.monitor(desk, notify=watcher)
        await desk.stop()
        monitor.cancel()
        assert monitor.down is not None


async def test_the_next_incarnation_of_a_watcher_is_told_nothing() -> None:
    async with open_watch() as (system, watcher, desk, log):
        monitor = system.monitor(desk, notify=watcher)
        await watcher.tell(Boom())
        await settle()
        assert (cell_of(watcher).ties, cell_of(desk).ties) == (None, None)
        await desk.stop()
        await settle()
        assert log == []
        assert monitor.down is None


async def test_a_watcher_that_has_stopped_is_told_nothing() -> None:
    async with open_watch() as (system, watcher, desk, log):
        await watcher.stop()
        system.monitor(desk, notify=watcher)
        assert (cell_of(watcher).ties, cell_of(desk).ties) == (None, None)
        await desk.stop()
        system.monitor(desk, notify=watcher)
        await settle()
        assert log == []


async def test_an_actor_that_watches_itself_does_not_hear_of_its_own_end() -> None:
    async with open_watch() as (system, watcher, _desk, log):
        system.monitor(watcher, notify=watcher)
        await watcher.tell(Boom())
        await settle()
        assert log == []


async def test_an_actor_watches_another_by_itself() -> None:
    async with open_watch() as (_system, watcher, desk, log):
        log.far = desk
        await watcher.ask(Echo())
        await desk.tell(Boom())
        await settle()
        assert log == [("desk", 1, "crashed: ValueError")]
