"""Saved runs as tables in Markdown: a row for each figure, a column for each backend."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ._backends import BACKENDS
from ._table import number
from .harness import Figure

BEAM = "beam_"
"""What the names of figures beside Erlang begin with."""


def scale_table(figures: Iterable[Figure], questions: Sequence[str]) -> list[str]:
    """Write what the figures of some questions came to; a question's are those whose names begin with its."""
    chosen = [figure for figure in figures if figure.name.startswith(tuple(questions))]
    return _table(chosen, "question", lambda row: (row[0].name,))


def beam_table(figures: Iterable[Figure]) -> list[str]:
    """Write our figures beside Erlang's; a ratio below 1 is ahead."""
    chosen = [figure for figure in figures if figure.name.startswith(BEAM)]
    return _table(chosen, "question | BEAM", lambda row: (row[0].name.removeprefix(BEAM), _floor(row)))


def _table(figures: Iterable[Figure], head: str, start: Callable[[list[Figure]], Sequence[str]]) -> list[str]:
    rows: dict[str, list[Figure]] = {}
    for figure in figures:
        rows.setdefault(figure.name, []).append(figure)
    columns = head.count("|") + 1
    lines = [f"| {head} | {' | '.join(BACKENDS)} | target |", f"|{'---|' * (columns + len(BACKENDS) + 1)}"]
    for row in rows.values():
        by_backend = {figure.backend: figure for figure in row}
        cells = (_cell(by_backend.get(backend)) for backend in BACKENDS)
        lines.append(f"| {' | '.join((*start(row), *cells, _target(row)))} |")
    return lines


def _floor(row: Sequence[Figure]) -> str:
    """Say the least of what Erlang took in the turns with each backend."""
    floors = [figure.floor for figure in row if figure.floor is not None]
    return f"{number(min(floors))} {row[0].unit}" if floors else row[0].note


def _cell(figure: Figure | None) -> str:
    if figure is None:
        return ""
    ratio = "" if figure.ratio is None else f" ({figure.ratio:.2f}x)"
    return f"{number(figure.value)} {figure.unit}{ratio}{' short' if figure.met is False else ''}"


def _target(row: Sequence[Figure]) -> str:
    """Say the targets: once, where they are the same on each backend."""
    words = [
        "-"
        if each.target is None
        else f"{number(each.target)}{'x' if each.target_of == 'ratio' else f' {each.unit}'}"
        for each in row
    ]
    return words[0] if len(set(words)) == 1 else " / ".join(words)
