"""Dispatch: a few workers serve every actor, and cancelling one handler harms no other."""

import time
from functools import partial

import anyio
import pytest

from relight import Actor, Child, Message, Ref, handles, open_system
from relight.runtime import DispatchStatistics, Worker
from relight.runtime import _dispatch as dispatch_module
from relight.runtime._dispatch import BATCH, KEEP, QUANTUM, Pace
from tests.runtime.desk import Boom, Crowd, Desk, Echo, Hold, Log, Note, asking, cell_of, open_desk, settle

pytestmark = pytest.mark.anyio


def workers(ref: Ref) -> DispatchStatistics:
    found = cell_of(ref).kernel.dispatcher.statistics()
    assert isinstance(found, DispatchStatistics)
    return found


async def test_idle_actors_own_no_task() -> None:
    log = Log()
    async with open_system() as system:
        refs = [await system.spawn(Child(str(number), partial(Desk, log))) for number in range(100)]
        for ref in refs:
            await ref.ask(Echo())
        assert workers(refs[0]).workers <= 3


async def test_workers_are_used_again() -> None:
    async with open_desk() as (_, ref, _log):
        for number in range(200):
            await ref.ask(Echo(number))
        assert workers(ref).workers_peak <= 3


async def test_a_handler_that_waits_holds_a_worker_and_gives_it_back() -> None:
    async with open_desk(Crowd) as (_, ref, log), anyio.create_task_group() as group:
        for number in range(3):
            await asking(group, ref, Hold(number))
        busy = workers(ref)
        assert busy.workers - busy.idle == 3
        log.open()
        await settle()
        rested = workers(ref)
        assert rested.workers == rested.idle
        assert rested.ready == 0


async def test_idle_workers_beyond_those_kept_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch_module, "KEEP", 4)
    log = Log()
    async with open_system() as system, anyio.create_task_group() as group:
        refs = [await system.spawn(Child(str(number), partial(Desk, log))) for number in range(20)]
        for ref in refs:
            await asking(group, ref, Hold())
        assert workers(refs[0]).workers >= 20
        log.open()
        await settle()
        assert workers(refs[0]).workers == workers(refs[0]).idle == 4
        assert await refs[0].ask(Echo(1)) == 1


async def test_a_chain_of_actors_needs_one_worker_each_and_strands_nothing() -> None:
    class Link(Desk):
        async def echo(self, message: Echo) -> int:
            if message.number == 0:
                return 0
            return 1 + await refs[message.number - 1].ask(Echo(message.number - 1))

    log = Log()
    refs: list[Ref] = []
    async with open_system() as system:
        refs += [await system.spawn(Child(str(number), partial(Link, log))) for number in range(50)]
        assert await refs[-1].ask(Echo(49)) == 49


async def test_work_made_ready_by_a_handler_that_then_waits_is_not_stranded() -> None:
    class Sender(Desk):
        async def hold(self, message: Hold) -> int:
            for far in fars:
                await far.tell(Note(far.path))
            return await super().hold(message)

    log = Log()
    fars: list[Ref] = []
    async with open_system() as system, anyio.create_task_group() as group:
        fars += [await system.spawn(Child(str(number), partial(Desk, log))) for number in range(10)]
        sender = await system.spawn(Child("sender", partial(Sender, log)))
        await asking(group, sender, Hold())
        assert {entry for entry in log if isinstance(entry, str)} == {str(number) for number in range(10)}
        log.open()


class Endless(Actor):
    """Always has more to do."""

    @handles
    async def note(self, message: Note) -> None:
        self.ref.tell_nowait(message)


async def test_a_busy_actor_lets_others_have_their_turn() -> None:
    """After a batch the worker yields, though its actor has more to do."""
    async with open_desk() as (system, desk, _log):
        endless = await system.spawn(Child("endless", Endless))
        await endless.tell(Note())
        for number in range(20):
            assert await desk.ask(Echo(number)) == number
        assert endless.statistics().handled <= 20 * 4 * BATCH


async def test_a_saturated_actor_does_not_multiply_workers() -> None:
    """Were each of them to stay for more, a tick would take as many batches as there are."""
    async with open_desk() as (system, desk, _log):
        endless = await system.spawn(Child("endless", Endless))
        await endless.tell(Note())
        for number in range(300):
            await desk.ask(Echo(number))
        assert workers(desk).workers_peak <= 4


class Burn(Message, frozen=True):
    seconds: float


class Burner(Desk):
    """Computes without ever waiting."""

    @handles
    async def burn(self, message: Burn) -> None:
        until = time.thread_time() + message.seconds
        while time.thread_time() < until:
            pass
        self.log.append("burnt")


async def test_handlers_that_compute_starve_nobody() -> None:
    """Slow batches shrink to a message, so whoever else is ready waits for one or two of them."""
    async with open_desk(Burner) as (system, ref, log):
        other = await system.spawn(Child("other", partial(Desk, Log())))
        for _ in range(400):
            await ref.tell(Burn(0.0006))
        for _ in range(12):  # the first batches are long
            await other.ask(Echo())
        before = len(log)
        for _ in range(5):
            await other.ask(Echo())
        assert before < 380
        assert len(log) - before <= 20


async def test_a_killed_handlers_worker_serves_others_unharmed() -> None:
    async with open_desk(shutdown=0.0) as (system, ref, log), anyio.create_task_group() as group:
        other = await system.spawn(Child("other", partial(Desk, log)))
        await asking(group, ref, Hold())
        await ref.stop()
        await settle()
        for number in range(20):
            assert await other.ask(Echo(number)) == number
        assert workers(other).workers_peak <= 3


async def test_a_worker_cancelled_in_its_handler_serves_the_queue_of_the_next_incarnation() -> None:
    async with open_desk(Crowd) as (_, ref, log), anyio.create_task_group() as group:
        for number in range(2):
            await asking(group, ref, Hold(number))
        await ref.tell(Boom())
        for number in range(100):
            await ref.tell(Note(number))
        await settle()
        assert [entry for entry in log if isinstance(entry, int)] == list(range(100))


async def test_a_cancellation_that_comes_when_the_handler_has_just_ended_hits_nobody_else() -> None:
    """The handler runs to its end in the very tick its actor is killed."""

    class Late(Desk):
        async def hold(self, message: Hold) -> int:
            await super().hold(message)
            cell_of(self.ref).kill()
            return 1

    async with open_desk() as (system, other, log), anyio.create_task_group() as group:
        victim = await system.spawn(Child("victim", partial(Late, log), restart="temporary"))
        held = await asking(group, victim, Hold())
        for number in range(10):
            await other.tell(Note(number))
        log.open()
        await settle()
        assert held.is_in
        assert not victim.is_alive
        for number in range(10):
            assert await other.ask(Echo(number)) == number


async def test_cancelling_names_what_it_means() -> None:
    worker = Worker()
    worker.hand = "first"
    assert not worker.cancel("first")  # not at work yet: it has no scope
    with anyio.CancelScope() as worker.scope:
        assert not worker.cancel("second")
        assert not worker.spent
        assert worker.cancel("first")
        assert worker.spent
        await anyio.sleep(1)
    assert worker.scope.cancelled_caught


class Clock:
    """What the machine's clocks say."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wall = self.processor = 0.0
        monkeypatch.setattr(time, "perf_counter", lambda: self.wall)
        monkeypatch.setattr(time, "thread_time", lambda: self.processor)

    def batch(self, pace: Pace, *, wall: float, processor: float) -> int:
        """Let one batch take so long; returns its size."""
        size = pace.begin()
        self.wall += wall
        self.processor += processor
        pace.end()
        return size


def test_quick_batches_stay_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, pace = Clock(monkeypatch), Pace()
    assert [clock.batch(pace, wall=QUANTUM / 2, processor=QUANTUM / 2) for _ in range(3)] == [BATCH] * 3


def test_a_batch_that_computes_too_long_halves_the_next_down_to_a_single_message(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, pace = Clock(monkeypatch), Pace()
    sizes = [clock.batch(pace, wall=2 * QUANTUM, processor=2 * QUANTUM) for _ in range(10)]
    assert sizes == [64, 32, 16, 8, 4, 2, 1, 1, 1, 1]


def test_waiting_costs_the_loop_nothing_and_shrinks_no_batch_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, pace = Clock(monkeypatch), Pace()
    sizes = [clock.batch(pace, wall=100 * QUANTUM, processor=QUANTUM / 10) for _ in range(5)]
    assert sizes == [64, 32, 64, 64, 64]


def test_batches_grow_again_when_they_are_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, pace = Clock(monkeypatch), Pace()
    for _ in range(8):
        clock.batch(pace, wall=2 * QUANTUM, processor=2 * QUANTUM)
    sizes = [clock.batch(pace, wall=QUANTUM / 2, processor=QUANTUM / 2) for _ in range(8)]
    assert sizes == [1, 2, 4, 8, 16, 32, 64, 64]


def test_as_many_idle_workers_are_kept_as_a_busy_service_needs() -> None:
    assert KEEP >= 64
