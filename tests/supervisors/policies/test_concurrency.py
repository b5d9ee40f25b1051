"""The bulkhead: never more attempts in flight than it allows."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relight.supervisors.policies import Adaptive, Bulkhead, BulkheadStatistics, Concurrency


def taken(bulkhead: Bulkhead, tries: int) -> int:
    return sum(bulkhead.try_acquire() for _ in range(tries))


def test_the_default_limit_is_eight() -> None:
    assert Concurrency() == Concurrency(8)


def test_it_lets_in_as_many_as_the_limit_and_no_more() -> None:
    bulkhead = Concurrency(4).bulkhead()
    assert taken(bulkhead, 50) == 4
    assert bulkhead.in_flight == 4


def test_a_released_slot_can_be_taken_again() -> None:
    bulkhead = Concurrency(2).bulkhead()
    taken(bulkhead, 2)
    bulkhead.release()
    assert taken(bulkhead, 2) == 1


def test_releasing_without_a_slot_is_an_error() -> None:
    bulkhead = Concurrency().bulkhead()
    with pytest.raises(RuntimeError, match=r"release\(\) without a slot"):
        bulkhead.release()
    assert bulkhead.in_flight == 0


@pytest.mark.parametrize(("limit", "quarter"), [(1, 1), (3, 1), (4, 1), (8, 2), (100, 25)])
def test_a_cut_leaves_a_quarter_and_at_least_one(limit: int, quarter: int) -> None:
    bulkhead = Concurrency(limit).bulkhead()
    bulkhead.cut()
    assert bulkhead.limit == quarter


def test_a_cut_leaves_attempts_in_flight_alone_but_lets_nobody_in_above_it() -> None:
    bulkhead = Concurrency(8).bulkhead()
    taken(bulkhead, 8)
    bulkhead.cut()
    assert bulkhead.in_flight == 8
    for _ in range(6):
        bulkhead.release()
        assert not bulkhead.try_acquire()
    bulkhead.release()
    assert taken(bulkhead, 8) == 1


def test_a_second_cut_is_a_quarter_of_the_full_limit_again() -> None:
    bulkhead = Concurrency(16).bulkhead()
    bulkhead.cut()
    bulkhead.grow()
    bulkhead.cut()
    assert bulkhead.limit == 4


def test_it_grows_by_one_a_success_up_to_the_full_limit() -> None:
    bulkhead = Concurrency(8).bulkhead()
    bulkhead.cut()
    limits: list[int] = []
    for _ in range(8):
        bulkhead.grow()
        limits.append(bulkhead.limit)
    assert limits == [3, 4, 5, 6, 7, 8, 8, 8]


def test_statistics_keep_the_peak_and_the_cuts() -> None:
    bulkhead = Concurrency(8).bulkhead()
    taken(bulkhead, 5)
    bulkhead.release()
    bulkhead.cut()
    assert bulkhead.statistics() == BulkheadStatistics(limit=2, full_limit=8, in_flight=4, peak=5, cuts=1)


@given(
    limit=st.integers(1, 20),
    steps=st.lists(st.sampled_from(("acquire", "release", "cut", "grow")), max_size=60),
)
def test_it_never_lets_anybody_in_above_its_limit(limit: int, steps: list[str]) -> None:
    bulkhead = Concurrency(limit).bulkhead()
    in_flight = 0
    for step in steps:
        if step == "acquire":
            room = in_flight < bulkhead.limit
            assert bulkhead.try_acquire() == room
            in_flight += room
        elif step == "release" and in_flight:
            bulkhead.release()
            in_flight -= 1
        elif step == "cut":
            bulkhead.cut()
        elif step == "grow":
            bulkhead.grow()
        assert bulkhead.in_flight == in_flight
        assert 1 <= bulkhead.limit <= limit


def test_a_limit_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match=re.escape("Concurrency.limit must be 1 or more, and finite, got 0")):
        Concurrency(0)


def followed(before: Bulkhead, limit: int) -> Bulkhead:
    bulkhead = Concurrency(limit).bulkhead()
    bulkhead.take_over(before)
    return bulkhead


def test_another_limit_holds_from_then_on() -> None:
    first = Concurrency(4).bulkhead()
    taken(first, 4)
    second = followed(first, 2)
    assert (second.limit, second.in_flight, second.try_acquire()) == (2, 4, False)
    third = followed(second, 6)
    assert taken(third, 50) == 2
    assert third.statistics() == BulkheadStatistics(6, 6, 6, 6, 0)


@pytest.mark.parametrize(("limit", "now"), [(40, 2), (1, 1)])
def test_a_limit_that_was_cut_stays_cut(limit: int, now: int) -> None:
    before = Concurrency(8).bulkhead()
    before.cut()
    bulkhead = followed(before, limit)
    assert (bulkhead.limit, bulkhead.statistics().cuts) == (now, 1)
    for _ in range(100):
        bulkhead.grow()
    assert bulkhead.limit == limit


def test_a_limit_that_was_found_out_is_kept_as_far_as_the_new_bounds_allow() -> None:
    before = Adaptive(2, 64, 40).bulkhead()
    taken(before, 3)
    before.congested(1.0, 2.0)
    assert before.limit == 28
    for spec, limit in ((Adaptive(2, 64, 8), 28), (Adaptive(2, 16), 16), (Adaptive(30, 40), 30)):
        bulkhead = spec.bulkhead()
        bulkhead.take_over(before)
        assert (bulkhead.limit, bulkhead.in_flight) == (limit, 3)
        bulkhead.congested(1.5, 3.0)
        assert bulkhead.limit == limit, "that attempt began before the last decrease"


def test_a_fixed_limit_may_become_one_that_is_found_out_and_the_other_way_round() -> None:
    fixed = Concurrency(8).bulkhead()
    taken(fixed, 8)
    fixed.cut()
    adaptive = Adaptive(4, 64, 16).bulkhead()
    adaptive.take_over(fixed)
    assert (adaptive.limit, adaptive.in_flight) == (4, 8), "cut, but not below its lower bound"
    again = Concurrency(8).bulkhead()
    again.take_over(adaptive)
    assert (again.limit, again.in_flight) == (4, 8)


def test_a_bound_is_the_full_limit_from_then_on() -> None:
    bulkhead = Concurrency(8).bulkhead()
    assert bulkhead.bound(4)
    assert not bulkhead.bound(4)
    assert taken(bulkhead, 8) == 4
    bulkhead.cut()
    assert bulkhead.limit == 1
    for _ in range(9):
        bulkhead.grow()
    assert bulkhead.limit == 4


def test_a_higher_bound_is_grown_into() -> None:
    bulkhead = Concurrency(2).bulkhead()
    bulkhead.bound(3)
    assert bulkhead.limit == 2
    bulkhead.grow()
    bulkhead.grow()
    assert bulkhead.limit == 3


@pytest.mark.parametrize("limit", [0, -1])
def test_a_bound_leaves_one_at_least(limit: int) -> None:
    with pytest.raises(ValueError, match="bound"):
        Concurrency().bulkhead().bound(limit)


def test_a_bound_holds_also_below_what_is_always_allowed() -> None:
    bulkhead = Adaptive(low=4, high=8, start=8).bulkhead()
    bulkhead.bound(2)
    assert bulkhead.limit == 2
    bulkhead.cut()
    assert bulkhead.limit == 2


def test_an_adaptive_limit_soon_grows_to_its_bound_and_no_further() -> None:
    bulkhead = Adaptive(low=1, high=15, start=2).bulkhead()
    assert bulkhead.bound(5)
    limits: list[int] = []
    for _ in range(30):
        bulkhead.grow()
        limits.append(bulkhead.limit)
    assert limits[:4] == [3, 4, 5, 5]
    assert max(limits) == 5


def test_a_bound_that_is_known_does_not_undo_what_was_found_since() -> None:
    bulkhead = Adaptive(low=1, high=15, start=10).bulkhead()
    bulkhead.bound(10)
    bulkhead.congested(1.0, 2.0)
    assert not bulkhead.bound(10)
    assert bulkhead.limit == 7
    for _ in range(3):
        bulkhead.grow()
    assert bulkhead.limit == 7


def test_an_adaptive_limit_does_not_outgrow_a_bound_it_has_reached() -> None:
    bulkhead = Adaptive(low=1, high=15, start=5).bulkhead()
    assert not bulkhead.bound(5)
    for _ in range(50):
        bulkhead.try_acquire()
        bulkhead.grow()
    assert bulkhead.limit == 5
