"""The adaptive bulkhead: one more a limit's worth of successes, fewer at a sign of congestion."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from relight.supervisors.policies import Adaptive, Bulkhead, Concurrency, Policy


def succeed(bulkhead: Bulkhead, times: int) -> list[int]:
    """Let so many attempts succeed, one after another while all other slots are taken; return the limits."""
    limits: list[int] = []
    for _ in range(times):
        while bulkhead.try_acquire():
            pass
        bulkhead.release()
        bulkhead.grow()
        limits.append(bulkhead.limit)
    return limits


def test_it_starts_at_eight_as_far_as_its_bounds_allow() -> None:
    assert [Adaptive(low, high).limit for low, high in ((1, 64), (1, 4), (16, 64))] == [8, 4, 16]
    assert Adaptive(1, 64, start=20).bulkhead().limit == 20


def test_it_grows_by_one_for_each_limits_worth_of_successes() -> None:
    limits = succeed(Adaptive(1, 64, start=3).bulkhead(), 12)
    assert limits == [3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 5, 6]


def test_it_does_not_grow_beyond_its_high_bound() -> None:
    bulkhead = Adaptive(1, 5, start=4).bulkhead()
    succeed(bulkhead, 100)
    assert bulkhead.limit == 5


def test_it_does_not_grow_while_less_than_half_of_it_is_used() -> None:
    bulkhead = Adaptive(1, 64, start=8).bulkhead()
    for _ in range(1000):
        for _ in range(3):
            bulkhead.try_acquire()
        for _ in range(3):
            bulkhead.release()
            bulkhead.grow()
    assert bulkhead.limit == 8


def test_a_sign_of_congestion_leaves_seven_tenths() -> None:
    bulkhead = Adaptive(1, 64, start=20).bulkhead()
    limits: list[int] = []
    for now in range(1, 10):
        bulkhead.congested(now - 0.5, now)
        limits.append(bulkhead.limit)
    assert limits == [14, 9, 6, 4, 2, 1, 1, 1, 1]


def test_it_does_not_fall_below_its_low_bound() -> None:
    bulkhead = Adaptive(6, 64, start=8).bulkhead()
    bulkhead.congested(0.5, 1.0)
    assert bulkhead.limit == 6


def test_a_flight_that_fails_together_is_one_sign() -> None:
    bulkhead = Adaptive(1, 64, start=30).bulkhead()
    for number in range(30):
        bulkhead.congested(0.0, 1.0 + number)
    assert bulkhead.limit == 21
    bulkhead.congested(1.0, 40.0)  # begun in the moment of the decrease: nobody knows which was first
    assert bulkhead.limit == 21
    bulkhead.congested(1.5, 40.0)
    assert bulkhead.limit == 14


def test_a_decrease_starts_the_count_of_successes_again() -> None:
    bulkhead = Adaptive(1, 64, start=4).bulkhead()
    succeed(bulkhead, 3)
    bulkhead.congested(0.5, 1.0)
    assert succeed(bulkhead, 2) == [2, 3]


def test_after_a_rate_limits_pause_it_comes_back_fast_to_what_was_found_and_slowly_beyond() -> None:
    bulkhead = Adaptive(1, 64, start=12).bulkhead()
    bulkhead.congested(0.5, 1.0)
    bulkhead.cut()
    found = bulkhead.statistics()
    assert (found.limit, found.full_limit, found.cuts) == (2, 8, 1)
    assert succeed(bulkhead, 15) == [3, 4, 5, 6, 7, 8, 8, 8, 8, 8, 8, 8, 8, 9, 9]


def test_a_cut_does_not_go_below_the_low_bound() -> None:
    bulkhead = Adaptive(4, 64, start=8).bulkhead()
    bulkhead.cut()
    assert bulkhead.limit == 4


def test_a_fixed_limit_hears_of_congestion_and_stays() -> None:
    bulkhead = Concurrency(8).bulkhead()
    bulkhead.congested(0.0, 1.0)
    assert bulkhead.limit == 8


def test_a_policy_takes_either() -> None:
    assert Policy(concurrency=Adaptive(1, 64)).concurrency.limit == Policy().concurrency.limit == 8
    assert (Policy(concurrency=Adaptive(1, 64)).concurrency.most, Policy().concurrency.most) == (64, 8)


@pytest.mark.parametrize(
    ("build", "complaint"),
    [
        (lambda: Adaptive(0, 4), "Adaptive.low must be 1 or more, and finite, got 0"),
        (lambda: Adaptive(5, 4), "Adaptive.high must be 5 or more, and finite, got 4"),
        (lambda: Adaptive(2, 4, start=5), "Adaptive.start must be 2..4, got 5"),
        (lambda: Adaptive(2, 4, shrink=1.0), "Adaptive.shrink must be more than 0 and less than 1, got 1.0"),
        (
            lambda: Adaptive(2, 4, shrink=math.nan),
            "Adaptive.shrink must be more than 0 and less than 1, got nan",
        ),
    ],
)
def test_it_refuses_a_wrong_number(build: Callable[[], Adaptive], complaint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(complaint)):
        build()


@dataclass
class Model:
    """The rules once more: what is allowed follows from a list of what happened since the last decrease."""

    low: int
    high: int
    shrink: float
    allowed: int
    target: int
    shrunk_at: float = -math.inf
    credits: list[int] = field(default_factory=list[int])

    def success(self, still_out: int) -> None:
        if self.allowed < self.target:
            self.allowed += 1
            return
        if self.allowed == self.high or still_out + 1 < self.allowed / 2:
            return
        self.credits.append(self.allowed)
        if len(self.credits) == self.allowed:
            self.credits.clear()
            self.allowed = self.target = self.allowed + 1

    def congestion(self, began: float, now: float) -> None:
        if began > self.shrunk_at:
            self.shrunk_at = now
            self.credits.clear()
            self.allowed = self.target = max(self.low, math.floor(self.allowed * self.shrink))

    def pause(self) -> None:
        self.allowed = max(self.low, self.target // 4)


class AdaptiveAgainstModel(RuleBasedStateMachine):
    """Let attempts begin, end well, run into congestion, and be cancelled."""

    @initialize(
        low=st.integers(1, 4), more=st.integers(0, 12), place=st.floats(0.0, 1.0), shrink=st.floats(0.1, 0.9)
    )
    def start(self, low: int, more: int, place: float, shrink: float) -> None:
        start = low + int(more * place)
        self.now = 0.0
        self.out: list[float] = []
        self.model = Model(low, low + more, shrink, start, start)
        self.bulkhead = Adaptive(low, low + more, start, shrink).bulkhead()

    @rule(times=st.integers(1, 20))
    def begin(self, times: int) -> None:
        for _ in range(times):
            room = len(self.out) < self.model.allowed
            assert self.bulkhead.try_acquire() == room
            if room:
                self.out.append(self.now)

    @precondition(lambda self: self.out)
    @rule(times=st.integers(1, 20))
    def succeed(self, times: int) -> None:
        for _ in range(min(times, len(self.out))):
            self.out.pop(0)
            self.bulkhead.release()
            self.bulkhead.grow()
            self.model.success(len(self.out))

    @precondition(lambda self: self.out)
    @rule(is_rate_limit=st.booleans(), newest=st.booleans())
    def meet_congestion(self, *, is_rate_limit: bool, newest: bool) -> None:
        began = self.out.pop(-1 if newest else 0)
        self.bulkhead.release()
        self.bulkhead.congested(began, self.now)
        self.model.congestion(began, self.now)
        if is_rate_limit:
            self.bulkhead.cut()
            self.model.pause()

    @precondition(lambda self: self.out)
    @rule()
    def leave(self) -> None:
        self.out.pop()
        self.bulkhead.release()

    @rule(seconds=st.sampled_from((0.5, 3.0)))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def agrees(self) -> None:
        found = self.bulkhead.statistics()
        assert (found.limit, found.full_limit) == (self.model.allowed, self.model.target)
        assert found.in_flight == len(self.out)
        assert self.model.low <= found.limit <= found.full_limit <= self.model.high


TestAdaptiveAgainstModel = pytest.mark.slow(AdaptiveAgainstModel.TestCase)
