"""Timers: lanes, heap and sweep against a model; exact in virtual time."""

import random
import weakref
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from math import inf

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from relight.runtime import Timer, Timers
from relight.runtime import _timers as timers_module

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def running(now: Callable[[], float] = anyio.current_time) -> AsyncGenerator[Timers, None]:
    timers = Timers(now)
    async with anyio.create_task_group() as group:
        group.start_soon(timers.run)
        yield timers
        group.cancel_scope.cancel()


async def test_a_callback_is_called_at_its_moment() -> None:
    moments: list[float] = []
    async with running() as timers:
        due = anyio.current_time() + 3
        timers.call_at(due, lambda: moments.append(anyio.current_time()))
        await anyio.sleep(10)
    assert moments == [pytest.approx(due)]


async def test_callbacks_are_called_in_order_whatever_the_order_they_were_set_in() -> None:
    called: list[int] = []
    async with running() as timers:
        now = anyio.current_time()
        for number in random.sample(range(50), 50):
            timers.call_at(now + number, lambda number=number: called.append(number))  # type: ignore[misc]
        await anyio.sleep(60)
    assert called == list(range(50))


async def test_a_cancelled_timer_is_not_called() -> None:
    called: list[str] = []
    async with running() as timers:
        timer = timers.call_at(anyio.current_time() + 1, lambda: called.append("cancelled"))
        timers.call_at(anyio.current_time() + 1, lambda: called.append("kept"))
        timer.cancel()
        await anyio.sleep(2)
    assert called == ["kept"]


async def test_a_timer_that_is_due_already_is_called_soon() -> None:
    called: list[str] = []
    async with running() as timers:
        timers.call_at(anyio.current_time() - 1, lambda: called.append("past"))
        await anyio.sleep(0.001)
    assert called == ["past"]


async def test_a_timer_set_before_the_task_runs_is_not_forgotten() -> None:
    called: list[str] = []
    timers = Timers(anyio.current_time)
    timers.call_at(anyio.current_time() + 1, lambda: called.append("early"))
    async with anyio.create_task_group() as group:
        group.start_soon(timers.run)
        await anyio.sleep(2)
        group.cancel_scope.cancel()
    assert called == ["early"]


async def test_a_sooner_timer_overtakes_the_one_that_is_waited_for() -> None:
    called: list[float] = []
    async with running() as timers:
        began = anyio.current_time()
        timers.call_at(began + 100, lambda: None)
        await anyio.sleep(1)
        timers.call_at(began + 2, lambda: called.append(anyio.current_time() - began))
        await anyio.sleep(5)
    assert called == [pytest.approx(2)]


async def test_a_callback_may_set_the_next_timer() -> None:
    called: list[float] = []
    async with running() as timers:
        began = anyio.current_time()

        def tick() -> None:
            called.append(anyio.current_time() - began)
            entry = Timer(tick)
            (
                timers.after(1, anyio.current_time() + 1, entry)
                if len(called) % 2
                else timers.at(anyio.current_time() + 1, entry)
            )

        timers.call_at(began + 1, tick)
        await anyio.sleep(5.5)
    assert called == [pytest.approx(second) for second in (1, 2, 3, 4, 5)]


async def test_a_timer_at_infinity_never_fires_and_keeps_nobody_waiting() -> None:
    called: list[str] = []
    async with running() as timers:
        timers.call_at(inf, lambda: called.append("never"))
        timers.call_at(anyio.current_time() + 1, lambda: called.append("soon"))
        await anyio.sleep(80_000)
    assert called == ["soon"]


async def test_a_lane_expires_its_entries_in_the_order_set() -> None:
    called: list[int] = []
    async with running() as timers:
        for number in range(5):
            timers.after(2.0, anyio.current_time() + 2.0, Timer(lambda number=number: called.append(number)))  # type: ignore[misc]
            await anyio.sleep(0.1)
        assert timers.statistics().lanes == 1
        await anyio.sleep(3)
    assert called == list(range(5))


def test_lanes_are_capped_and_the_rest_goes_into_the_heap() -> None:
    timers = Timers(lambda: 0.0)
    for number in range(1000):
        timers.after(1.0 + number, 1.0 + number, Timer(lambda: None))
    statistics = timers.statistics()
    assert (statistics.lanes, statistics.in_lanes, statistics.in_heap) == (64, 64, 936)


def test_a_lane_is_as_long_as_what_is_under_way() -> None:
    timers = Timers(lambda: 0.0)
    for number in range(1000):
        timer = Timer(lambda: None)
        timers.after(5.0, 5.0 + number, timer)
        timer.cancel()
    assert timers.statistics().in_lanes == 1


def test_one_entry_that_stays_does_not_keep_a_lane_from_shrinking() -> None:
    timers = Timers(lambda: 0.0)
    timers.after(180.0, 180.0, Timer(lambda: None))
    for number in range(50_000):
        timer = Timer(lambda: None)
        timers.after(180.0, 180.0 + number / 1000, timer)
        timer.cancel()
    assert timers.statistics().in_lanes <= 2 * timers_module.SWEEP


def test_the_heap_is_swept_when_it_has_doubled() -> None:
    timers = Timers(lambda: 0.0)
    kept = [timers.call_at(1e6 + number, lambda: None) for number in range(100)]
    for number in range(50_000):
        timers.call_at(float(number), lambda: None).cancel()
    assert timers.statistics().in_heap <= timers_module.SWEEP + 1
    assert not any(timer.done for timer in kept)


def test_a_heap_of_living_entries_grows_without_being_swept_each_time() -> None:
    timers = Timers(lambda: 0.0)
    for number in range(5000):
        timers.call_at(float(number), lambda: None)
    assert timers.statistics().in_heap == 5000


async def test_nothing_is_left_when_everything_has_fallen_due() -> None:
    async with running() as timers:
        now = anyio.current_time()
        for number in range(100):
            timers.call_at(now + number / 10, lambda: None)
            timers.after(float(number % 3 + 1), now + number % 3 + 1, Timer(lambda: None))
        await anyio.sleep(20)
        statistics = timers.statistics()
        assert (statistics.in_lanes, statistics.in_heap) == (0, 0)


class TimersAgainstModel(RuleBasedStateMachine):
    """Whatever is set and cancelled: each timer fires once, at its moment or the first look after it."""

    entries: Bundle[int] = Bundle("entries")

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.timers = Timers(lambda: self.now)
        self.due: dict[int, float] = {}
        self.handles: dict[int, Timer] = {}
        self.fired: list[int] = []
        self.made = 0

    def _new(self, due: float) -> tuple[int, Timer]:
        self.made += 1
        number = self.made
        timer = Timer(lambda: self.fired.append(number))
        self.due[number], self.handles[number] = due, timer
        return number, timer

    @rule(target=entries, seconds=st.sampled_from([0.5, 1.0, 2.0, 5.0]))
    def set_common(self, seconds: float) -> int:
        number, timer = self._new(self.now + seconds)
        self.timers.after(seconds, self.now + seconds, timer)
        return number

    @rule(target=entries, seconds=st.floats(0, 10))
    def set_any(self, seconds: float) -> int:
        number, timer = self._new(self.now + seconds)
        self.timers.at(self.now + seconds, timer)
        return number

    @rule(number=consumes(entries))
    def cancel(self, number: int) -> None:
        self.handles[number].cancel()
        self.due.pop(number, None)

    @rule(seconds=st.floats(0, 3))
    def let_time_pass(self, seconds: float) -> None:
        self.now += seconds
        expected = {number for number, due in self.due.items() if due <= self.now}
        before = len(self.fired)
        self.timers._expire(self.now)
        assert set(self.fired[before:]) == expected
        assert len(self.fired[before:]) == len(expected)
        for number in expected:
            del self.due[number]

    @invariant()
    def the_alarm_is_never_later_than_what_is_due_next(self) -> None:
        assert self.timers._due <= min(self.due.values(), default=inf)

    @invariant()
    def nothing_alive_is_lost(self) -> None:
        statistics = self.timers.statistics()
        assert statistics.in_lanes + statistics.in_heap >= len(self.due)


TestTimersAgainstModel = TimersAgainstModel.TestCase
TestTimersAgainstModel.settings = settings(max_examples=25, stateful_step_count=30)


@given(
    waits=st.lists(st.tuples(st.sampled_from([0.25, 1.0, 2.5]), st.floats(0, 2), st.booleans()), max_size=25),
)
@settings(max_examples=25)
@pytest.mark.parametrize("anyio_backend", ["trio"], indirect=True)
async def test_every_deadline_is_exact_in_virtual_time(waits: list[tuple[float, float, bool]]) -> None:
    fired: list[tuple[float, float]] = []
    async with running() as timers:
        for timeout, pause, is_common in waits:
            due = anyio.current_time() + timeout
            entry = Timer(lambda due=due: fired.append((due, anyio.current_time())))  # type: ignore[misc]
            timers.after(timeout, due, entry) if is_common else timers.at(due, entry)
            await anyio.sleep(pause)
        await anyio.sleep(5)
    assert len(fired) == len(waits)
    assert all(at == pytest.approx(due) for due, at in fired)


async def test_a_timer_that_was_taken_back_keeps_nothing_alive() -> None:
    class Owner:
        def ring(self) -> None:
            pass

    async with running() as timers:
        owner = Owner()
        alive = weakref.ref(owner)
        timers.call_at(anyio.current_time() + 60, owner.ring).cancel()
        del owner
        assert timers.statistics().in_heap == 1
        assert alive() is None


async def test_pending_deadlines_are_listed_soonest_first() -> None:
    async with running() as timers:
        now = anyio.current_time()
        late = timers.call_at(now + 9, lambda: None)
        timers.after(5.0, now + 5, soon := Timer(lambda: None))
        timers.call_at(now + 1, lambda: None).cancel()
        assert timers.pending() == [(now + 5, soon), (now + 9, late)]
        assert late.due == now + 9
        assert (timers.statistics().pending, timers.statistics().in_heap) == (2, 2)
