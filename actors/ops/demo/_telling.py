"""What the demo tells a person before and after a run."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Final

from ....runtime import redact
from ...jobs import Job
from ._figures import scraped_retries
from ._jobs import order_of
from ._log import LOG_NAME
from ._output import METRICS_NAME
from ._pace import SETTINGS_FILE
from ._report import StepCounts, report_lines
from ._run import DemoRun, RunPlan

_NAMED: Final = 5
"""Unfinished comics named one by one; the others are counted."""


def opening(plan: RunPlan, novel: Path | None, folder: Path, *, goes_on: bool) -> list[str]:
    """Say what is about to happen, and by which rules."""
    if goes_on:
        begun = "Going on with the comics in the store and their text (--comics and --novel are for new ones)"
    else:
        begun = f"{counted(len(plan.scenes), 'comic')} from {novel or 'the story we ship'}"
    faults = f"{plan.fault_rate:.0%} of all requests fail, seed {plan.seed}"
    return [
        _waits(plan),
        f"{begun} on {plan.backend}; {faults}; output in {folder}{os.sep}",
        f"Stop it as you like, it goes on with: {_go_on(plan)}",
    ]


def _waits(plan: RunPlan) -> str:
    if plan.pace.settings is None:
        return "The waits are those of production: this will take many minutes."
    show = f"python -m relight config show --file {SETTINGS_FILE}"
    return f"Short waits: the demo's own settings are in force ({show}); --real-waits uses the true ones."


def ending(demo: DemoRun, folder: Path) -> list[str]:
    """Say what became of it."""
    report, jobs = demo.report, demo.board
    if report is None:
        return ["Interrupted before the first comic was begun."]
    lines = ["", *report_lines(report), ""]
    lines += [_death(job) for job in jobs.dead]
    if not demo.is_complete:
        lines.append(f"Interrupted. {_unfinished(jobs.unfinished)}")
        lines.append(f"Go on with: {_go_on(demo.plan)}")
    if demo.unaccounted:
        lines.append(f"{counted(demo.unaccounted, 'message')} unaccounted for: please report this.")
    counts = report.jobs
    lines.append(
        f"{counts.succeeded} of {counted(counts.submitted, 'comic')} done, {counts.dead} dead, "
        f"{counts.lost} lost in {report.seconds:.1f} s."
    )
    lines.append(_payments(report.steps))
    retries = sum(provider.retries for provider in report.providers.values())
    lines.append(f"Retries: {retries} here, {scraped_retries(demo.metrics)} in the metrics.")
    lines.append(
        f"Output is in {folder}{os.sep}, with the events in {LOG_NAME}, the metrics in {METRICS_NAME}."
    )
    return lines


def _payments(steps: StepCounts) -> str:
    if not steps.before:
        return f"{counted(steps.now, 'step')} paid for."
    return (
        f"{counted(steps.before, 'step')} had been paid for before, {steps.again} of them "
        f"{'was' if steps.again == 1 else 'were'} paid for again; {steps.now} paid for now."
    )


def _go_on(plan: RunPlan) -> str:
    return f"python -m relight demo --store {shlex.quote(redact(plan.store))}"


def _death(job: Job) -> str:
    after = f" after {counted(job.attempt, 'attempt')}" if job.attempt else ""
    return f"{order_of(job).comic} is dead{after}: {job.error}"


def _unfinished(jobs: list[str]) -> str:
    if not jobs:
        return "No comic is unfinished."
    more = f" and {len(jobs) - _NAMED} more" if len(jobs) > _NAMED else ""
    return f"{counted(len(jobs), 'comic')} unfinished: {', '.join(jobs[:_NAMED])}{more}."


def counted(number: int, noun: str) -> str:
    """Write ``1 comic`` and ``2 comics``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
