"""The end of a run: what was made, what it cost, and how often somebody else's server failed."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from relight import ActorCrashedError, GuardStatistics
from relight.actors import Usage


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came out of a run."""

    made: tuple[str, ...]
    """What is finished, a line each."""
    lost: tuple[str, ...]
    """What could not be made, with the reason."""
    usd: float
    """What was paid for the finished steps."""
    services: tuple[str, ...]
    """A line for each service."""

    @property
    def status(self) -> int:
        """The process's exit status."""
        return 1 if self.lost else 0


def usd(usage: Usage | None) -> float:
    """Return what was paid; what has no price counts nothing."""
    return 0.0 if usage is None or usage.usd is None else usage.usd


def reason(error: BaseException) -> str:
    """Return what is behind an error: an agent may have crashed because another did."""
    while isinstance(error, ActorCrashedError) and error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split()) or type(error).__name__


def service_lines(services: Iterable[GuardStatistics]) -> tuple[str, ...]:
    """Describe what the guards of the services did."""
    lines = [f"{'service':<11}{'calls':>6}{'attempts':>10}{'retries':>9}{'waited':>9}  failures"]
    for one in services:
        failures = ", ".join(f"{kind} {count}" for kind, count in sorted(one.failures.items()))
        calls = sum(one.calls.values())
        lines.append(
            f"{one.provider:<11}{calls:>6}{one.attempts:>10}{one.retries_total:>9}"
            f"{one.wait_seconds:>7.1f} s  {failures or '-'}"
        )
    return tuple(lines)


def print_outcome(outcome: Outcome) -> None:
    """Print what came out of a run."""
    print()
    for line in outcome.made:
        print(f"made  {line}")
    for line in outcome.lost:
        print(f"LOST  {line}")
    print(f"paid  {outcome.usd:.4f} USD for the finished steps")
    print()
    print("\n".join(outcome.services))
