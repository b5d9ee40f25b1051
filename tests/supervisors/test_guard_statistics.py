"""What a guard's numbers can be made into."""

from math import inf

import pytest

from relight.supervisors import Histogram, open_system
from tests.supervisors.scripted import Call, Script, serve, statistics


def test_a_histogram_counts_each_time_in_the_first_bucket_that_holds_it() -> None:
    histogram = Histogram()
    for seconds in (0.0, 0.01, 0.011, 50.0, 1e6):
        histogram.add(seconds)
    held = {bound: count for bound, count in zip(histogram.bounds, histogram.counts, strict=True) if count}
    assert held == {0.01: 2, 0.02: 1, 81.92: 1, inf: 1}
    assert histogram.seconds == pytest.approx(1e6 + 50.021)


def test_histograms_can_be_merged() -> None:
    one, other = Histogram(), Histogram()
    one.add(0.5)
    other.add(0.5)
    other.add(3.0)
    one.merge(other)
    assert sum(one.counts) == 3
    assert max(one.counts) == 2
    assert one.seconds == pytest.approx(4.0)
    assert sum(other.counts) == 2


@pytest.mark.anyio
async def test_what_was_looked_at_does_not_change_any_more() -> None:
    async with open_system() as system:
        ref = await serve(system, Script())
        await ref.ask(Call())
        before = statistics(system)
        await ref.ask(Call())
        assert sum(before.durations["Call", "ok"].counts) == 1
        assert sum(statistics(system).durations["Call", "ok"].counts) == 2
