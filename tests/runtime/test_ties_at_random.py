"""Ties under random use: whatever is done to whom and when, nobody hangs and nothing is left over."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from random import Random

import anyio
import anyio.abc
import pytest

from relight import (
    NORMAL,
    SHUTDOWN,
    ActorBusyError,
    ActorState,
    AskError,
    Child,
    Down,
    Exited,
    MailboxClosedError,
    NoSuchActorError,
    NotRunningError,
    Ref,
    RefusalError,
    Request,
    Restart,
    Supervisor,
    System,
    handles,
    open_system,
)
from tests.runtime.desk import Boom, Desk, Echo, Log, Nap, Note, cell_of, settle

pytestmark = pytest.mark.anyio

STEPS = 150


class Worker(Desk):
    """Ends at a signal, as most do."""

    @handles
    async def down(self, message: Down) -> None:
        await anyio.sleep(0.1)


class Trapper(Worker):
    """Is told of signals, and takes its time over them."""

    traps_exits = True

    @handles
    async def exited(self, message: Exited) -> None:
        await anyio.sleep(0.2)


class TrappingCrowd(Trapper):
    """Does three things at once."""

    concurrency = 3


class Hooked(Trapper):
    """Has something to do on its way in and out."""

    async def started(self) -> None:
        await anyio.sleep(0.1)

    async def stopping(self, reason: object) -> None:
        await anyio.sleep(0.1)


KINDS = (Worker, Trapper, TrappingCrowd, Hooked)


class Storm:
    """Does things to actors at random, and counts the asks that are not answered."""

    def __init__(self, system: System, refs: list[Ref], group: anyio.abc.TaskGroup, rng: Random) -> None:
        self.system, self.refs, self.group, self.rng = system, refs, group, rng
        self.open = 0

    def any(self) -> Ref:
        return self.rng.choice(self.refs)

    async def _call(self, call: Callable[[], Awaitable[object]]) -> None:
        self.open += 1
        try:
            await call()
        except (AskError, MailboxClosedError, RefusalError, NotRunningError, ActorBusyError):
            pass
        finally:
            self.open -= 1

    def soon(self, call: Callable[[], Awaitable[object]]) -> None:
        self.group.start_soon(self._call, call)

    def ask(self, message: Request[object]) -> None:
        self.soon(partial(self.any().ask, message, timeout=self.rng.choice([0.05, 1.0, 30.0])))

    def step(self) -> None:
        system, group = self.system, self.system.group(self.rng.choice("xy"))
        one, other = self.any(), self.any()
        actions: list[Callable[[], object]] = [
            lambda: self.ask(Echo(1)),
            lambda: self.ask(Nap(self.rng.random())),
            lambda: self.soon(partial(one.tell, Note())),
            lambda: self.ask(Boom()) if self.rng.random() < 0.3 else None,
            lambda: system.link(one, other),
            lambda: system.unlink(one, other),
            lambda: system.monitor(one, notify=other),
            lambda: system.monitor(one, notify=other).cancel(),
            lambda: system.exit(one, self.rng.choice([NORMAL, SHUTDOWN]), sender=other),
            lambda: system.kill(one) if self.rng.random() < 0.3 else None,
            lambda: system.suspend(one),
            lambda: system.resume(one),
            lambda: system.resume(other),
            lambda: self.soon(
                partial(system.replace_state, one, dict, timeout=self.rng.choice([0.0, 0.3, 2]))
            ),
            lambda: group.join(one),
            lambda: group.leave(one),
            lambda: self.soon(partial(group.broadcast, Note())),
            lambda: system.trace(one, size=5).close(),
            lambda: system.state(one),
        ]
        with suppress(NotRunningError, NoSuchActorError):
            self.rng.choice(actions)()


@pytest.mark.parametrize("seed", range(12))
async def test_whatever_is_done_every_asker_is_answered_and_nothing_is_left_over(seed: int) -> None:
    rng = Random(seed)
    log = Log()
    async with open_system() as system, anyio.create_task_group() as group:
        restarts = (Restart.PERMANENT, Restart.TRANSIENT, Restart.TEMPORARY, Restart.PERMANENT)
        children = [
            Child(f"w{number}", partial(KINDS[number % len(KINDS)], log), restart=restarts[number % 4])
            for number in range(12)
        ]
        tree = await system.spawn(Supervisor("tree", intensity=10_000, children=children))
        refs = [system.get(f"tree/w{number}") for number in range(len(children))]
        storm = Storm(system, refs, group, rng)
        for _ in range(STEPS):
            storm.step()
            if rng.random() < 0.5:
                await anyio.sleep(rng.random() * 0.2)
        await anyio.sleep(60)
        for ref in refs:
            system.resume(ref)
        await anyio.sleep(60)
        assert storm.open == 0
        for ref in refs:
            check_rest(ref)
        for ref in refs:
            if ref.is_alive:
                assert await ref.ask(Echo(1)) == 1
        await tree.stop()
        await settle()
        for ref in refs:
            assert cell_of(ref).ties is None
        assert len(cell_of(refs[0]).kernel.groups) == 0
        assert cell_of(refs[0]).kernel.starts == {}


def check_rest(ref: Ref) -> None:
    """Check that an actor has nothing to do, and that what it is tied to is tied to it."""
    statistics, cell = ref.statistics(), cell_of(ref)
    assert statistics.state in (ActorState.RUNNING, ActorState.STOPPED)
    assert (statistics.queued, statistics.in_hand, statistics.waiting) == (0, 0, 0)
    assert statistics.accepted == statistics.handled + statistics.dead_letters + statistics.abandoned
    assert cell.busy == 0
    if statistics.state is ActorState.RUNNING:
        assert cell.room == cell.concurrency
    if cell.ties is not None:
        assert cell.ties.control is None or not cell.ties.is_urgent
        for other in cell.ties.links:
            assert other.ties is not None
            assert cell in other.ties.links
        for monitor in cell.ties.watching:
            assert monitor.down is None
