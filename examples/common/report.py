"""The end of a run: what was made, what it cost, and how often somebody else's server failed."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Sequence

import msgspec

from relight import GuardStatistics
from relight.actors.jobs import Job, JobDetail, JobState
from relight.runtime import redact


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came out of a run."""

    made: tuple[str, ...]
    """What is finished, a line each."""
    lost: tuple[str, ...]
    """What could not be made, with the reason."""
    dead: tuple[str, ...]
    """Ids of the jobs that a person has to decide about."""
    usd: float
    """What was paid in all runs, as the jobs' records have it."""
    steps: int
    """Finished steps."""
    kept: int
    """Of these, finished by earlier runs."""
    services: tuple[str, ...]
    """A line for each service."""

    @property
    def status(self) -> int:
        """The process's exit status."""
        return 1 if self.lost else 0


def outcome_of(
    jobs: Sequence[JobDetail],
    name: Callable[[Job], str],
    made: Callable[[Job], str | None],
    *,
    began: float,
    services: Iterable[GuardStatistics],
) -> Outcome:
    """Add up what the records of *jobs* say.

    Args:
        jobs: All of an order, ended.
        name: Says what a job makes.
        made: Says what one that ended well has made, where there is something to say.
        began: When this run did, in seconds since 1970.
        services: What their guards counted.
    """
    done = [each.job for each in jobs if each.job.state is JobState.SUCCEEDED]
    lost = [each.job for each in jobs if each.job.state is not JobState.SUCCEEDED]
    steps = [step for each in jobs for step in each.steps]
    return Outcome(
        made=tuple(f"{name(job)}: {line}" for job in done if (line := made(job))),
        lost=tuple(f"{name(job)}: {job.error or job.state}" for job in lost),
        dead=tuple(job.id for job in lost if job.state is JobState.DEAD),
        usd=sum(each.job.cost_usd for each in jobs),
        steps=len(steps),
        kept=sum(step.at < began for step in steps),
        services=service_lines(services),
    )


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


def print_outcome(outcome: Outcome, store: str | None) -> None:
    """Print what came out of a run; *store*: where its jobs still are."""
    print()
    for line in outcome.made:
        print(f"made  {line}")
    for line in outcome.lost:
        print(f"LOST  {line}")
    print(f"paid  {outcome.usd:.4f} USD in all")
    kept = f", {outcome.kept} of them kept from earlier runs" if outcome.kept else ""
    print(f"done  {outcome.steps} steps{kept}")
    if outcome.dead and store is not None:
        print("      What is dead goes on from its finished steps, when you have put right what was wrong:")
        place = shlex.quote(redact(store))
        print(f"      python -m relight jobs retry {' '.join(outcome.dead)} --store {place}")
        print("      and then the same command as before.")
    print()
    print("\n".join(outcome.services))
