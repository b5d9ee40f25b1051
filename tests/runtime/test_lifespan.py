"""Lifespan: entered and left by one task, around all handlers of an incarnation."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from math import inf

import anyio
import pytest

from relight import ActorCrashedError, ActorState, Child, ExitReason, StartError, Supervisor, open_system
from tests.runtime.desk import Boom, Crowd, Desk, Dig, Echo, Hold, Log, Note, asking, heard, open_desk, settle

pytestmark = pytest.mark.anyio


class House(Crowd):
    """Logs what happens around its handlers."""

    async def started(self) -> None:
        self.log.append("started")

    async def stopping(self, reason: ExitReason) -> None:
        self.log.append("stopping")

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None, None]:
        task = anyio.get_current_task()
        self.log.append("entered")
        try:
            yield
        finally:
            self.log.append("left" if anyio.get_current_task() == task else "left by another task")


class Frail(Crowd):
    """Its first lifespan crashes when the storm comes."""

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None, None]:
        async with anyio.create_task_group() as group:
            if self.number == 1:
                group.start_soon(self.fall)
            try:
                yield
            finally:
                self.log.append("left")
                group.cancel_scope.cancel()

    async def fall(self) -> None:
        await self.log.storm.wait()
        raise OSError("fell")


async def test_a_lifespan_is_entered_and_left_in_one_task() -> None:
    async with open_desk(House) as (_, _ref, log):
        pass
    assert log[-1] == "left"


async def test_a_lifespan_begins_after_started_and_ends_after_stopping() -> None:
    async with open_desk(House) as (_, ref, log):
        await ref.ask(Echo(1))
        await ref.stop()
        assert log == ["started", "entered", 1, "stopping", "left"]


async def test_each_incarnation_has_a_lifespan_of_its_own() -> None:
    async with open_desk(House) as (_, ref, log):
        await ref.tell(Boom())
        await ref.ask(Echo(1))
        assert log == ["started", "entered", "stopping", "left", "started", "entered", 1]


async def test_a_lifespan_may_hold_a_task_group_for_handlers() -> None:
    class Lender(Desk):
        @asynccontextmanager
        async def lifespan(self) -> AsyncGenerator[None, None]:
            async with anyio.create_task_group() as self.group:
                yield
                self.group.cancel_scope.cancel()

        async def note(self, message: Note) -> None:
            self.group.start_soon(self.later, message)

        async def later(self, message: Note) -> None:
            await anyio.sleep(1)
            self.log.append(message.text)

    async with open_desk(Lender) as (_, ref, log):
        await ref.tell(Note("lent"))
        await anyio.sleep(2)
        assert log == ["lent"]
        await ref.stop()


async def test_a_lifespan_that_crashes_crashes_the_actor_and_cancels_its_handlers() -> None:
    async with open_desk(Frail) as (system, ref, log), anyio.create_task_group() as group:
        events = heard(system)
        held = await asking(group, ref, Hold(1))
        log.storm.set()
        await settle()
        assert isinstance(held.error, ActorCrashedError)
        assert isinstance(held.error.__cause__, OSError)
        assert ("cancelled", 1) in log
        assert await ref.ask(Echo(2)) == 2
        assert ref.statistics().restarts == 1
        name, fields = events[0]
        assert (name, fields["message"], fields["error_type"]) == ("actor.crashed", "lifespan", "OSError")


async def test_a_lifespan_that_ends_by_itself_crashes_the_actor() -> None:
    class Brief(Desk):
        @asynccontextmanager
        async def lifespan(self) -> AsyncGenerator[None, None]:
            with anyio.move_on_after(1 if self.number == 1 else inf):
                yield

    async with open_desk(Brief) as (system, ref, log):
        events = heard(system)
        await anyio.sleep(2)
        assert [fields["error"] for name, fields in events if name == "actor.crashed"] == [
            "the lifespan ended while the actor was running"
        ]
        assert log.made == 2
        assert await ref.ask(Echo(1)) == 1


async def test_a_lifespan_that_fails_on_its_way_in_fails_the_start() -> None:
    class Locked(Desk):
        @asynccontextmanager
        async def lifespan(self) -> AsyncGenerator[None, None]:
            raise OSError("locked")
            yield

    async with open_desk() as (system, _, log):
        with pytest.raises(StartError, match="locked: did not start: OSError: locked") as caught:
            await system.spawn(Child("locked", partial(Locked, log)))
        assert isinstance(caught.value.__cause__, OSError)
        assert system.find("locked") is None


async def test_a_lifespan_that_never_yields_fails_the_start() -> None:
    class Sealed(Desk):
        @asynccontextmanager
        async def lifespan(self) -> AsyncGenerator[None, None]:
            if self.number == 0:
                yield

    async with open_desk() as (system, _, log):
        with pytest.raises(StartError, match="didn't yield"):
            await system.spawn(Child("sealed", partial(Sealed, log)))


async def test_a_lifespan_cancelled_on_its_way_in_fails_the_start() -> None:
    class Wary(Desk):
        @asynccontextmanager
        async def lifespan(self) -> AsyncGenerator[None, None]:
            home = getattr(getattr(self, "_home"), "home", None)  # noqa: B009
            assert home is None
            with anyio.CancelScope() as scope:
                scope.cancel()
                await anyio.sleep(1)
            raise StopError
            yield

    class StopError(Exception):
        pass

    async with open_desk() as (system, _, log):
        with pytest.raises(StartError, match="StopError"):
            await system.spawn(Child("wary", partial(Wary, log)))


@pytest.mark.parametrize("_run", range(10))
async def test_an_actor_never_runs_without_its_lifespan(_run: int) -> None:
    """The lifespan ends in the tick it was entered: on trio the order of the two tasks is a coin toss."""

    class Mayfly(Desk):
        @asynccontextmanager
        async def lifespan(self) -> AsyncGenerator[None, None]:
            with anyio.CancelScope() as scope:
                scope.cancel()
                yield

    async with open_desk() as (system, _, log):
        try:
            ref = await system.spawn(Child("mayfly", partial(Mayfly, log), restart="temporary"))
        except StartError as error:
            log.append(str(error))
            assert "its lifespan ended while it was starting" in str(log)
        else:
            await settle()
            assert not ref.is_alive


async def test_a_start_that_takes_too_long_leaves_the_lifespan_before_it_fails() -> None:
    class Slow(Desk):
        @asynccontextmanager
        async def lifespan(self) -> AsyncGenerator[None, None]:
            try:
                await anyio.sleep(60)
                yield
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(0.5)
                self.log.append("left")

    async with open_desk() as (system, _, log):
        began = anyio.current_time()
        with pytest.raises(StartError, match="its start took longer than 2 s"):
            await system.spawn(Child("slow", partial(Slow, log), start_timeout=2))
        assert anyio.current_time() - began == pytest.approx(2.5)
        assert log == ["left"]


async def test_a_lifespan_that_raises_on_its_way_out_is_reported() -> None:
    class Sore(Desk):
        @asynccontextmanager
        async def lifespan(self) -> AsyncGenerator[None, None]:
            yield
            raise OSError("sore")

    async with open_desk(Sore) as (system, ref, _log):
        events = heard(system)
        await ref.stop()
        assert [(name, fields["error"]) for name, fields in events] == [("actor.stop_failed", "sore")]
        assert ref.statistics().state is ActorState.STOPPED


async def test_a_lifespan_that_takes_too_long_to_leave_is_cancelled_and_reported() -> None:
    class Slow(Desk):
        @asynccontextmanager
        async def lifespan(self) -> AsyncGenerator[None, None]:
            yield
            try:
                await anyio.sleep(60)
            finally:
                self.log.append("cut")

    async with open_desk(Slow, shutdown=2.0) as (system, ref, log):
        events = heard(system)
        began = anyio.current_time()
        await ref.stop()
        assert anyio.current_time() - began == pytest.approx(2.0)
        assert log == ["cut"]
        assert ("actor.stop_overran", {"actor_path": "desk", "shutdown": 2.0}) in events


async def test_a_lifespan_that_does_not_end_at_all_is_left_behind_as_stuck() -> None:
    class Rusty(Desk):
        @asynccontextmanager
        async def lifespan(self) -> AsyncGenerator[None, None]:
            yield
            with anyio.CancelScope(shield=True):
                await anyio.sleep(60)

    async with open_desk(Rusty, shutdown=2.0) as (system, ref, _log):
        events = heard(system)
        began = anyio.current_time()
        await ref.stop()
        assert anyio.current_time() - began == pytest.approx(3.0)
        assert [name for name, _ in events] == ["actor.stop_overran", "actor.stuck"]


async def test_a_kill_cancels_the_lifespan() -> None:
    class Ward(Desk):
        @asynccontextmanager
        async def lifespan(self) -> AsyncGenerator[None, None]:
            try:
                yield
            except BaseException as error:
                self.log.append(isinstance(error, anyio.get_cancelled_exc_class()))
                raise

    async with open_desk(Ward, shutdown=0.0) as (_, ref, log):
        await ref.stop()
        assert log == [True]


async def test_a_stuck_handler_does_not_keep_the_lifespan_open() -> None:
    async with open_desk(House) as (_, ref, log), anyio.create_task_group() as group:
        await asking(group, ref, Dig(30))
        await ref.tell(Boom())
        await anyio.sleep(2)
        assert log.count("left") == 1
        assert await ref.ask(Echo(3)) == 3


async def test_handlers_finish_before_the_lifespan_is_left() -> None:
    async with open_desk(House) as (_, ref, log), anyio.create_task_group() as group:
        await asking(group, ref, Hold(1))
        group.start_soon(ref.stop)
        await settle()
        log.open()
        await settle()
        assert log[-3:] == [("held", 1), "stopping", "left"]


async def test_a_lifespan_that_crashes_while_the_actor_stops_is_reported_and_does_not_stop_the_stop() -> None:
    async with open_desk(Frail) as (system, ref, log), anyio.create_task_group() as group:
        events = heard(system)
        held = await asking(group, ref, Hold(1))
        group.start_soon(ref.stop)
        await settle()
        log.storm.set()
        await settle()
        assert [name for name, _ in events] == ["actor.stop_failed"]
        log.open()
        await settle()
        assert held.value == 1
        assert not ref.is_alive


async def test_lifespans_end_with_the_system() -> None:
    log = Log()
    async with open_system() as system:
        children = [Child(name, partial(House, log)) for name in ("a", "b")]
        await system.spawn(Supervisor("tree", children=children))
    assert log.count("entered") == log.count("left") == 2
