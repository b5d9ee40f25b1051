"""Strategies and auto shutdown as pure functions; what supervisors make of them is in ``conformance``."""

import pytest

from relight.supervisors._specs import AutoShutdownName, StrategyName
from relight.supervisors._strategy import group_of, is_finished


@pytest.mark.parametrize(
    ("strategy", "group"), [("one_for_one", "b"), ("one_for_all", "abc"), ("rest_for_one", "bc")]
)
def test_the_strategy_chooses_who_restarts_with_a_child(strategy: StrategyName, group: str) -> None:
    assert "".join(group_of(strategy, "abc", "b")) == group


@pytest.mark.parametrize(
    ("auto_shutdown", "with_others", "alone"),
    [("never", False, False), ("any_significant", True, True), ("all_significant", False, True)],
)
def test_the_auto_shutdown_says_when_a_supervisor_has_no_more_to_do(
    auto_shutdown: AutoShutdownName, with_others: bool, alone: bool
) -> None:
    assert is_finished(auto_shutdown, others_run=True) is with_others
    assert is_finished(auto_shutdown, others_run=False) is alone
