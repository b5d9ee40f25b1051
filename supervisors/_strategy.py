"""Strategy: who restarts with whom, and when a supervisor has no more to do. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar, assert_never

from ._specs import AutoShutdownName, StrategyName

ChildT = TypeVar("ChildT")


def group_of(strategy: StrategyName, children: Iterable[ChildT], child: ChildT) -> Sequence[ChildT]:
    """Choose who restarts when *child* has to: a part of *children*, in their order, itself included."""
    match strategy:
        case "one_for_one":
            return (child,)
        case "one_for_all":
            return tuple(children)
        case "rest_for_one":
            everybody = tuple(children)
            return everybody[everybody.index(child) :]
        case _:
            assert_never(strategy)


def is_finished(auto_shutdown: AutoShutdownName, *, others_run: bool) -> bool:
    """Tell whether a supervisor ends now that a significant child has ended by itself.

    Args:
        auto_shutdown: What it was told to do.
        others_run: Another significant child runs, or is about to run again.
    """
    match auto_shutdown:
        case "never":
            return False
        case "any_significant":
            return True
        case "all_significant":
            return not others_run
        case _:
            assert_never(auto_shutdown)
