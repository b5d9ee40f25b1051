"""What a guard's numbers can be made into."""

from math import inf

import pytest

from relight.supervisors import Histogram


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
