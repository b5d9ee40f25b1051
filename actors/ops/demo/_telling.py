"""What the demo tells a person before and after a run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from ._figures import scraped_retries
from ._jobs import JobEnd, JobState
from ._log import LOG_NAME
from ._output import METRICS_NAME
from ._pace import SETTINGS_FILE
from ._report import report_lines
from ._run import DemoRun, RunPlan

_NAMED: Final = 5
"""Unfinished comics named one by one; the others are counted."""


def opening(plan: RunPlan, novel: Path | None, folder: Path) -> list[str]:
    """Say what is about to happen, and by which rules."""
    comics = counted(len(plan.scenes), "comic")
    source = novel or "the story we ship"
    faults = f"{plan.fault_rate:.0%} of all requests fail, seed {plan.seed}"
    return [_waits(plan), f"{comics} from {source} on {plan.backend}; {faults}; output in {folder}{os.sep}"]


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
    lines += [_death(end) for end in jobs.ends if end.state is JobState.DEAD]
    if not demo.is_complete:
        lines.append(f"Interrupted. {_unfinished(jobs.unfinished)}")
    if demo.unaccounted:
        lines.append(f"{counted(demo.unaccounted, 'message')} unaccounted for: please report this.")
    counts = report.jobs
    lines.append(
        f"{counts.succeeded} of {counted(counts.submitted, 'comic')} done, {counts.dead} dead, "
        f"{counts.lost} lost in {report.seconds:.1f} s."
    )
    retries = sum(provider.retries for provider in report.providers.values())
    lines.append(f"Retries: {retries} here, {scraped_retries(demo.metrics)} in the metrics.")
    lines.append(
        f"Output is in {folder}{os.sep}, with the events in {LOG_NAME}, the metrics in {METRICS_NAME}."
    )
    return lines


def _death(end: JobEnd) -> str:
    after = f" after {counted(end.attempts, 'attempt')}" if end.attempts else ""
    return f"{end.job} is dead{after}: {end.reason}"


def _unfinished(jobs: list[str]) -> str:
    if not jobs:
        return "No comic is unfinished."
    more = f" and {len(jobs) - _NAMED} more" if len(jobs) > _NAMED else ""
    return f"{counted(len(jobs), 'comic')} unfinished: {', '.join(jobs[:_NAMED])}{more}."


def counted(number: int, noun: str) -> str:
    """Write ``1 comic`` and ``2 comics``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
