"""Health: what of a system does not run as it should, by name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..runtime import ActorState
from ._losses import Loss
from ._tree_view import TreeNode

_LASTING = {
    "failed": "it crashed too often",
    "blocked": "no quota, or a key that is refused",
    "forced_open": "an operator holds its breaker open",
}
_PASSING = frozenset({"breaker_open", "half_open", "paused"})


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that does not run as it should."""

    path: str
    """Of the actor."""
    what: str
    """``gave_up``, ``restarting``, ``suspended``, or a service's state: ``failed``, ``blocked``,
    ``forced_open``, ``breaker_open``, ``half_open``, ``paused``."""
    detail: str
    """In words."""
    is_lasting: bool
    """It does not mend itself soon: a person should look."""


@dataclass(frozen=True, slots=True)
class Health:
    """What of a system does not run as it should. Printed, a line a problem."""

    problems: tuple[Problem, ...]
    """Worst first."""

    @property
    def status(self) -> str:
        """``ok``; ``degraded`` while something is being mended; ``failing`` when a person should look."""
        if any(problem.is_lasting for problem in self.problems):
            return "failing"
        return "degraded" if self.problems else "ok"

    def __str__(self) -> str:
        lines = (f"{problem.path}: {problem.what}: {problem.detail}" for problem in self.problems)
        return "\n".join([self.status, *lines])


def judge(tree: TreeNode, losses: Sequence[Loss]) -> Health:
    """Find what is wrong in *tree*, and what is missing from it. Pure."""
    problems = [*map(_given_up, losses), *(problem for node in tree for problem in _problems_of(node))]
    return Health(tuple(sorted(problems, key=lambda problem: not problem.is_lasting)))


def _given_up(loss: Loss) -> Problem:
    often = "once" if loss.restarts == 1 else f"{loss.restarts} times"
    detail = f"{loss.child} ended {often} within {loss.period:g} s ({loss.reason})"
    return Problem(loss.path, "gave_up", detail, is_lasting=True)


def _problems_of(node: TreeNode) -> Iterator[Problem]:
    if node.state in _LASTING:
        yield Problem(node.path, node.state, _LASTING[node.state], is_lasting=True)
    elif node.state in _PASSING:
        yield Problem(node.path, node.state, "its calls wait or are refused", is_lasting=False)
    elif node.state == ActorState.RESTARTING:
        when = "its restart is due" if node.restart_in is None else f"next try in {node.restart_in:.3g} s"
        yield Problem(node.path, node.state, when, is_lasting=False)
    elif node.state == ActorState.SUSPENDED:
        yield Problem(node.path, node.state, f"held from outside, {node.queued} queued", is_lasting=False)
