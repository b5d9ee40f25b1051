"""Compare two saved runs: ``python -m relight.bench.compare [--table] BASE.json NEW.json``.

Ratios to the floor are compared where there are some, as they hold from machine to machine.
A change counts when it is larger than the noise of both runs.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from .harness import Figure

_USAGE = 2
_TABLE = "--table"
_BYTES = "B"
"""What an actor weighs is the same on a busy machine, so the floor has nothing to add."""
LEAST = 0.03
"""A change below this share is noise, whatever a run says of itself."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for each figure both runs have; returns the exit status.

    With ``--table`` the lines are rows of a table in Markdown.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    write = table if _TABLE in given else lines
    names = [name for name in given if name != _TABLE]
    if len(names) != 2:
        sys.stderr.write("usage: python -m relight.bench.compare [--table] BASE.json NEW.json\n")
        return _USAGE
    try:
        base, new = (read(Path(name)) for name in names)
    except (OSError, msgspec.MsgspecError) as error:
        sys.stderr.write(f"relight: compare: {error}\n")
        return _USAGE
    for line in write(base, new):
        sys.stdout.write(line + "\n")
    return 0


def read(path: Path) -> list[Figure]:
    """Read a saved run."""
    return msgspec.json.decode(path.read_bytes(), type=list[Figure])


def lines(base: Sequence[Figure], new: Sequence[Figure]) -> list[str]:
    """Say for each figure that is in both runs how it changed."""
    return [_line(before, after) for before, after in _pairs(base, new)]


def table(base: Sequence[Figure], new: Sequence[Figure]) -> list[str]:
    """Write the same as a table in Markdown."""
    rows = [_row(before, after) for before, after in _pairs(base, new)]
    head = ["| question | backend | before | now | change | noise | |", "|---|---|--:|--:|--:|--:|---|"]
    return head + rows


def _pairs(base: Sequence[Figure], new: Sequence[Figure]) -> list[tuple[Figure, Figure]]:
    known = {(figure.name, figure.backend): figure for figure in base}
    found = ((known.get((figure.name, figure.backend)), figure) for figure in new)
    return [(before, figure) for before, figure in found if before is not None]


def best_of(runs: Sequence[Sequence[Figure]]) -> list[Figure]:
    """Choose each figure's best round, in the order they were measured."""
    best: dict[tuple[str, str], Figure] = {}
    for figures in runs:
        for figure in figures:
            key = (figure.name, figure.backend)
            if key not in best or _judged(figure) < _judged(best[key]):
                best[key] = figure
    return list(best.values())


def change(base: Figure, new: Figure) -> float:
    """Return the change as a share: 0.1 is ten per cent slower."""
    if base.ratio is None or new.ratio is None:
        return new.value / base.value - 1.0
    return _judged(new) / _judged(base) - 1.0


def verdict(base: Figure, new: Figure) -> str:
    """Say ``slower``, ``faster``, or nothing when the change is within the noise."""
    by = change(base, new)
    if abs(by) <= max(LEAST, base.spread, new.spread):
        return ""
    return "slower" if by > 0 else "faster"


def _judged(figure: Figure) -> float:
    return figure.value if figure.ratio is None or figure.unit == _BYTES else figure.ratio


def _line(base: Figure, new: Figure) -> str:
    values = f"{_short(base):>10} -> {_short(new):>10}"
    row = f"{new.name:<20}  {new.backend:<8}  {values}  {change(base, new):>+7.1%}  {verdict(base, new)}"
    return row.rstrip()


def _row(base: Figure, new: Figure) -> str:
    noise = max(base.spread, new.spread)
    cells = (
        new.name,
        new.backend,
        _long(base),
        _long(new),
        f"{change(base, new):+.1%}",
        f"{noise:.0%}",
        verdict(base, new),
    )
    return f"| {' | '.join(cells)} |"


def _short(figure: Figure) -> str:
    is_value = figure.ratio is None or figure.unit == _BYTES
    return f"{figure.value:.3g} {figure.unit}" if is_value else f"{figure.ratio:.3g}x"


def _long(figure: Figure) -> str:
    value = (
        f"{figure.value:.3g} {figure.unit}" if figure.value < 1000 else f"{figure.value:.0f} {figure.unit}"
    )
    return value if figure.ratio is None else f"{value} ({figure.ratio:.3g}x)"


if __name__ == "__main__":
    raise SystemExit(main())
