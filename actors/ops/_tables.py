"""Print jobs: tables for people at a terminal, plain lines in a pipe, JSON for programs."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import cast

import msgspec

from ..jobs import JobReport, JobState, Letter, LetterGroup, Outcome, Prunable, QueueState

_IDS = ("id", "newest")
"""Columns of ids."""


class Printer:
    """Print what ``relight jobs`` has to say.

    Args:
        as_json: For programs.
    """

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json

    def jobs(self, rows: Sequence[Mapping[str, object]]) -> None:
        """Print jobs, one a line."""
        if self._as_json:
            return _print_json({"jobs": rows})
        head = ("id", "state", "queue", "kind", "attempt", "cost", "created", "due", "error")
        now = time.time()
        return _table(head, [_job_cells(row, now) for row in rows])

    def groups(self, groups: Sequence[LetterGroup]) -> None:
        """Print groups of dead jobs and messages."""
        if self._as_json:
            return _print_json({"groups": groups})
        cells = [
            (
                str(group.count),
                str(group.source),
                group.kind,
                _usd(group.cost_usd),
                _when(group.last_at),
                group.sample,
                group.cause,
            )
            for group in groups
        ]
        return _table(("count", "source", "kind", "cost", "last", "newest", "cause"), cells)

    def letters(self, letters: Sequence[Letter]) -> None:
        """Print dead letters, one a line."""
        if self._as_json:
            return _print_json({"letters": letters})
        cells = [
            (letter.id, str(letter.source), letter.where, letter.kind, _when(letter.at), letter.cause)
            for letter in letters
        ]
        return _table(("id", "source", "where", "kind", "died", "cause"), cells)

    def letter(self, letter: Letter) -> None:
        """Print all of a message that could not be delivered."""
        if self._as_json:
            return _print_json(letter)
        content = letter.content
        facts: dict[str, object] = {
            "id": letter.id,
            "source": letter.source,
            "kind": letter.kind,
            "where": letter.where,
            "cause": letter.cause,
            "at": _when(letter.at),
            "process": letter.process,
        }
        _print_facts(facts)
        sys.stdout.write("\n")
        _print_facts(cast("Mapping[str, object]", content) if isinstance(content, Mapping) else {"": content})
        return None

    def queues(self, queues: Sequence[QueueState]) -> None:
        """Print queues."""
        if self._as_json:
            rows = [{**msgspec.structs.asdict(queue), "is_unserved": queue.is_unserved} for queue in queues]
            return _print_json({"queues": rows})
        states = [state for state in JobState if any(state in queue.counts for queue in queues)]
        cells = [
            (
                queue.name,
                "paused" if queue.is_paused else "open",
                "none" if queue.is_unserved else str(queue.workers),
                "-" if queue.max_running is None else str(queue.max_running),
                *(str(queue.counts.get(state, 0)) for state in states),
            )
            for queue in queues
        ]
        return _table(("queue", "state", "workers", "limit", *map(str, states)), cells)

    def event(self, row: Mapping[str, object]) -> None:
        """Print an event."""
        if self._as_json:
            sys.stdout.write(msgspec.json.encode(row).decode() + "\n")
        else:
            data = msgspec.json.encode(row["data"]).decode()
            sys.stdout.write(f"{row['cursor']}  {_when(row['at'])}  {row['job']}  {row['kind']}  {data}\n")
        sys.stdout.flush()

    def migrated(self, found: int, version: int) -> None:
        """Say what became of a store's tables: from version *found*, 0 where there were none."""
        if self._as_json:
            return _print_json({"found": found, "version": version})
        if found == version:
            said = f"nothing to do: the store is of version {version} already"
        elif found:
            said = f"migrated: from version {found} to {version}"
        else:
            said = f"made: a job store of version {version}"
        sys.stdout.write(f"{said}\n")
        return None

    def pruned(self, pruned: Prunable, files: int | None) -> None:
        """Say what was deleted; *files* of large results, None: it is what would be deleted."""
        if self._as_json:
            facts = {"dry_run": files is None, **msgspec.structs.asdict(pruned), "files": files}
            return _print_json(facts)
        parts = [
            f"{pruned.jobs} jobs",
            f"{pruned.events} events",
            f"{pruned.messages} messages",
            f"{pruned.ledger} entries of the ledger",
            *([] if files is None else [f"{files} files of results"]),
        ]
        verb = "would prune" if files is None else "pruned"
        sys.stdout.write(f"{verb}: {', '.join(parts)}\n")
        return None

    def outcome(self, verb: str, outcome: Outcome) -> None:
        """Say what came of an action."""
        if self._as_json:
            facts = {"verb": verb, "skipped": outcome.skipped, **msgspec.structs.asdict(outcome)}
            return _print_json(facts)
        skipped = f", {outcome.skipped} skipped" if outcome.skipped else ""
        removed = outcome.deadlines_removed
        late = f", {removed} without a deadline: it had passed" if removed else ""
        stopped = ", stopped before the end" if outcome.is_stopped else ""
        sys.stdout.write(f"{verb}: {outcome.done}{skipped}{late}{stopped}\n")
        sys.stdout.writelines(f"{id_}\n" for id_ in outcome.ids)
        return None

    def report(self, report: JobReport) -> None:
        """Print all of a job."""
        if self._as_json:
            return _print_json(report)
        facts = msgspec.structs.asdict(report)
        del facts["attempts"], facts["steps"]
        shown = {name: _when(value) if name in _MOMENTS and value else value for name, value in facts.items()}
        if report.state is JobState.WAITING:
            shown["run_at"] = _due(report.run_at, time.time())
        _print_facts(shown)
        sys.stdout.write("\n" if report.steps else "")
        for step in report.steps:
            where = f"in file {step.blob}" if step.blob else _shown(step.result)
            sys.stdout.write(
                f"step {_line(step.name)}: {step.seconds:.3g} s, {_usd(step.cost_usd)}: {where}\n"
            )
        for attempt in report.attempts:
            sys.stdout.write(f"\nrun {attempt.number}, {_when(attempt.at)}: {_line(attempt.error)}\n")
            sys.stdout.write("".join(f"{_line(line)}\n" for line in attempt.traceback.splitlines()))
        return None


_MOMENTS = frozenset({"created_at", "run_at", "started_at", "finished_at", "deadline"})


def _print_facts(facts: Mapping[str, object]) -> None:
    """Print names and values, without those that are not there."""
    width = max(map(len, facts), default=0)
    for name, value in facts.items():
        if value is not None:
            sys.stdout.write(f"{_line(name):{width}}  {_shown(value)}\n")


def _job_cells(row: Mapping[str, object], now: float) -> tuple[str, ...]:
    return (
        str(row["id"]),
        str(row["state"]),
        str(row["queue"]),
        str(row["kind"]),
        f"{row['attempt']}/{row['max_attempts']}",
        _usd(row["cost_usd"]),
        _when(row["created_at"]),
        _due(row["due_at"], now),
        str(row["error"] or "-"),
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    if not rows:
        return
    rows = [[_line(cell) for cell in row] for row in rows]
    if sys.stdout.isatty() and _rich_table(head, rows):
        return
    lines = [head, *rows]
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = [f"{cell:{width}}" for cell, width in zip(line, widths, strict=True)]
        sys.stdout.write("  ".join(cells).rstrip() + "\n")


def _rich_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    try:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text
    except ImportError:
        return False
    table = Table(box=None, pad_edge=False)
    for name in head:
        # An id in two lines can't be copied: the other columns give way.
        table.add_column(name, overflow="fold", no_wrap=name in _IDS)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)
    return True


def _line(text: str) -> str:
    """Return what an error says without what a terminal would obey."""
    return "".join(character if character.isprintable() else " " for character in text)


def _when(moment: object) -> str:
    if not isinstance(moment, int | float):
        return "-"
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _due(moment: object, now: float) -> str:
    """Say when a waiting job goes on, and how long that is from now."""
    if not isinstance(moment, int | float):
        return "-"
    return f"{_when(moment)} ({_ahead(moment - now)})"


def _ahead(seconds: float) -> str:
    if seconds <= 0.0:
        return "due"
    for size, unit in ((86_400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2.0 * size:
            return f"in {seconds / size:.0f} {unit}"
    return f"in {seconds:.0f} s"


def _usd(value: object) -> str:
    return f"${value:.4f}" if isinstance(value, int | float) and value else "-"


def _shown(value: object) -> str:
    return _line(value) if isinstance(value, str) else msgspec.json.encode(value).decode()


def _print_json(value: object) -> None:
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value)).decode() + "\n")
