"""The closing report: the same figures for machines (JSON) and for people (a table)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from ._tables import align


class JobCounts(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the jobs."""

    submitted: int
    """All that were taken."""
    succeeded: int
    """Ended with a comic."""
    dead: int
    """Given up, each with its reason."""
    lost: int
    """Neither ended nor named as unfinished."""


class StepCounts(msgspec.Struct, frozen=True, kw_only=True):
    """The paid steps of all comics."""

    before: int
    """Finished by an earlier process with the same store."""
    now: int
    """Carried out by this one."""
    again: int
    """Of those, which had been finished before."""


class BreakerCounts(msgspec.Struct, frozen=True, kw_only=True):
    """How often a breaker changed to each state."""

    opened: int
    half_opened: int
    closed: int


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds of whole calls, waits and retries included; None where nothing was measured."""

    p50: float | None
    p99: float | None


class ProviderReport(msgspec.Struct, frozen=True, kw_only=True):
    """One provider's figures."""

    calls: int
    """Calls asked of the service, refused ones included."""
    attempts: int
    """Requests' worth of work: first tries and retries."""
    retries: int
    """Attempts after the first of a call, made or stopped by the breaker at the last moment."""
    failures: Mapping[str, int]
    """Attempts that failed, by kind."""
    refusals: Mapping[str, int]
    """Calls turned away before they were sent, by kind."""
    breaker: BreakerCounts
    wait_seconds: float
    """What calls waited between their attempts, all added up."""
    latency_ms: Latency


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One run of the demo, as ``--json`` writes it."""

    seed: int
    backend: str
    seconds: float
    jobs: JobCounts
    steps: StepCounts
    providers: Mapping[str, ProviderReport]
    restarts: int
    """Actors that were started again."""
    dead_letters: int
    """Messages no handler saw."""


def write_report(report: Report, path: Path) -> None:
    """Write *report* as JSON."""
    data = msgspec.json.format(msgspec.json.encode(report), indent=2)
    path.write_bytes(data + b"\n")


def report_lines(report: Report) -> list[str]:
    """Say the same to people: a table of the providers, and what failed there."""
    rows = [_row(name, provider) for name, provider in report.providers.items()]
    table = align([_HEADINGS, *rows], left=1)
    failed = [
        f"  {name}: {_kinds(kinds)} {what}"
        for name, provider in report.providers.items()
        for what, kinds in (("failed", provider.failures), ("refused", provider.refusals))
        if kinds
    ]
    return [*table, *(["", "What failed or was refused:", *failed] if failed else [])]


_HEADINGS = (
    "PROVIDER",
    "CALLS",
    "ATTEMPTS",
    "RETRIES",
    "FAILED",
    "REFUSED",
    "OPENED/CLOSED",
    "WAITED",
    "P50",
    "P99",
)


def _row(name: str, provider: ProviderReport) -> tuple[str, ...]:
    return (
        name,
        str(provider.calls),
        str(provider.attempts),
        str(provider.retries),
        str(sum(provider.failures.values())),
        str(sum(provider.refusals.values())),
        f"{provider.breaker.opened}/{provider.breaker.closed}",
        f"{provider.wait_seconds:.1f} s",
        _milliseconds(provider.latency_ms.p50),
        _milliseconds(provider.latency_ms.p99),
    )


def _milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} ms"


def _kinds(kinds: Mapping[str, int]) -> str:
    worst_first = sorted(kinds.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{kind.replace('_', ' ')} {count}" for kind, count in worst_first)
