"""Compare two saved runs: ``python -m relight.bench.compare BASE.json NEW.json``.

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
LEAST = 0.03
"""A change below this share is noise, whatever a run says of itself."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for each figure both runs have; returns the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if len(given) != 2:
        sys.stderr.write("usage: python -m relight.bench.compare BASE.json NEW.json\n")
        return _USAGE
    try:
        base, new = (read(Path(name)) for name in given)
    except (OSError, msgspec.MsgspecError) as error:
        sys.stderr.write(f"relight: compare: {error}\n")
        return _USAGE
    for line in lines(base, new):
        sys.stdout.write(line + "\n")
    return 0


def read(path: Path) -> list[Figure]:
    """Read a saved run."""
    return msgspec.json.decode(path.read_bytes(), type=list[Figure])


def lines(base: Sequence[Figure], new: Sequence[Figure]) -> list[str]:
    """Say for each figure that is in both runs how it changed."""
    known = {(figure.name, figure.backend): figure for figure in base}
    found: list[str] = []
    for figure in new:
        before = known.get((figure.name, figure.backend))
        if before is not None:
            found.append(_line(before, figure))
    return found


def change(base: Figure, new: Figure) -> float:
    """Return the change as a share: 0.1 is ten per cent slower."""
    if base.ratio is not None and new.ratio is not None:
        return new.ratio / base.ratio - 1.0
    return new.value / base.value - 1.0


def verdict(base: Figure, new: Figure) -> str:
    """Say ``slower``, ``faster``, or nothing when the change is within the noise."""
    by = change(base, new)
    if abs(by) <= max(LEAST, base.spread, new.spread):
        return ""
    return "slower" if by > 0 else "faster"


def _line(base: Figure, new: Figure) -> str:
    old, now = (
        f"{figure.value:.3g} {figure.unit}" if figure.ratio is None else f"{figure.ratio:.3g}x"
        for figure in (base, new)
    )
    row = f"{new.name:<20}  {new.backend:<8}  {old:>10} -> {now:>10}  {change(base, new):>+7.1%}"
    return f"{row}  {verdict(base, new)}".rstrip()


if __name__ == "__main__":
    raise SystemExit(main())
