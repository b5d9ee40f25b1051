"""Starting: what a start hook that hangs, or can't be cancelled, does to those who start it."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from math import inf

import anyio
import pytest

from relight import (
    Actor,
    Child,
    ExitReason,
    Ignore,
    MailboxClosedError,
    RelightError,
    StartError,
    Supervisor,
    System,
    open_system,
)
from tests.runtime.desk import Desk, Echo, Log, Note, heard, settle

pytestmark = pytest.mark.anyio


class Hanging(Actor):
    async def started(self) -> None:
        await anyio.sleep(inf)


class Stubborn(Actor):
    """Takes a minute to start and can't be cancelled."""

    async def started(self) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(60)


class Opener(Actor):
    """Tells what it has opened."""

    async def started(self) -> int:
        return 8080


async def test_what_the_start_hook_returns_is_the_refs_info() -> None:
    async with open_system() as system:
        ref = await system.spawn(Child("opener", Opener))
        assert ref.info == 8080
        await ref.stop()
        assert ref.info is None
        plain = await system.spawn(Child("plain", Actor))
        assert plain.info is None


async def test_a_start_that_never_ends_is_cut_at_its_time() -> None:
    async with open_system() as system:
        began = anyio.current_time()
        with pytest.raises(StartError, match="hanging: did not start: its start took longer than 2 s"):
            await system.spawn(Child("hanging", Hanging, start_timeout=2.0))
        assert anyio.current_time() - began == pytest.approx(2.0)
        assert system.actors() == []


async def test_a_start_that_swallows_its_cancellation_holds_nobody_and_is_reported_by_name() -> None:
    async with open_system() as system:
        events = heard(system)
        began = anyio.current_time()
        with pytest.raises(StartError, match="took longer than 2 s, and it does not give way"):
            await system.spawn(Child("stubborn", Stubborn, start_timeout=2.0))
        assert anyio.current_time() - began == pytest.approx(3.0)
        stuck = [fields for name, fields in events if name == "actor.stuck"]
        assert [fields["actor_path"] for fields in stuck] == ["stubborn"]
        # Its supervisor is free, and its id too.
        log = Log()
        ref = await system.spawn(Child("stubborn", lambda: Desk(log)))
        assert await ref.ask(Echo(1)) == 1
        await anyio.sleep(60)  # by now the hook has ended, and nobody minds
        assert await ref.ask(Echo(2)) == 2


async def test_whoever_leaves_while_it_starts_is_held_for_a_second_at_most() -> None:
    async with open_system() as system:
        began = anyio.current_time()
        with anyio.move_on_after(1.0):
            await system.spawn(Supervisor("tree", children=[Child("stubborn", Stubborn)]))
        assert anyio.current_time() - began == pytest.approx(1.0)
        await anyio.sleep(2)
        assert system.find("tree") is None


async def test_a_system_ends_in_time_while_a_child_never_finishes_starting() -> None:
    began = 0.0
    async with anyio.create_task_group() as group:
        async with open_system(shutdown_timeout=5.0) as system:
            group.start_soon(_spawn_in_vain, system, Child("hanging", Hanging, start_timeout=inf))
            await settle()
            began = anyio.current_time()
        assert anyio.current_time() - began <= 6.0


async def _spawn_in_vain(system: System, child: Child) -> None:
    with pytest.raises(RelightError):  # the system ends meanwhile
        await system.spawn(child)


async def test_a_child_that_is_not_wanted_has_ended_and_leaves_its_id_free() -> None:
    def unwanted() -> Actor:
        raise Ignore("switched off")

    async with open_system() as system:
        ref = await system.spawn(Child("off", unwanted))
        assert not ref.is_alive
        with pytest.raises(MailboxClosedError, match="ignored: switched off"):
            await ref.tell(Note())
        assert (await system.spawn(Child("off", Actor))).is_alive


class Slow(Desk):
    """Takes five seconds to stop."""

    async def stopping(self, reason: ExitReason) -> None:
        await anyio.sleep(5)
        self.log.append("stopped")


async def test_a_cancelled_start_of_a_tree_is_not_stuck_while_it_stops_what_had_started() -> None:
    log = Log()
    async with open_system() as system:
        events = heard(system)
        children = [Child("slow", partial(Slow, log), shutdown=10.0), Child("hangs", Hanging)]
        with anyio.move_on_after(1):
            await system.spawn(Supervisor("tree", children=children))
        await anyio.sleep(4.5)
        assert system.find("tree/slow") is not None
        await anyio.sleep(1)
        assert log == ["stopped"]
        assert system.actors() == []
        assert "actor.stuck" not in [name for name, _ in events]


class StubbornHoused(Stubborn):
    """Can't be cancelled, and enters a lifespan after all."""

    def __init__(self, log: Log) -> None:
        self.log = log

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None, None]:
        self.log.append("enters")
        try:
            yield
        finally:
            self.log.append("left")


async def test_a_lifespan_entered_by_a_start_that_was_left_behind_is_left() -> None:
    log = Log()
    async with open_system() as system:
        with pytest.raises(StartError, match="does not give way"):
            await system.spawn(Child("stubborn", partial(StubbornHoused, log), start_timeout=2.0))
        await anyio.sleep(100)
        assert log.count("enters") == log.count("left")


async def test_a_start_that_ends_after_a_kill_in_spite_of_it_has_failed() -> None:
    class Deaf(Actor):
        async def started(self) -> None:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.5)

    async with open_system() as system, anyio.create_task_group() as group:

        async def spawn() -> None:
            with pytest.raises(StartError, match="it was ended meanwhile"):
                await system.spawn(Child("deaf", Deaf))

        group.start_soon(spawn)
        await settle()
        system.kill(system.get("deaf"))
        await anyio.sleep(1)
        assert system.find("deaf") is None
