"""The table people read."""

from __future__ import annotations

from typing import TextIO

from .harness import Figure

_HEAD = ("question", "backend", "value", "floor", "ratio", "noise", "target", "")
_WIDTHS = (28, 8, 12, 12, 8, 6, 12, 5)


class Table:
    """Print figures as they come, and at the end what the floors are."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._floors: dict[str, str] = {}
        self._machine = ""

    def add(self, figure: Figure) -> None:
        """Print one figure."""
        if not self._machine:
            self._machine = figure.machine
            self._line(_HEAD)
        if figure.floor_is:
            self._floors[figure.name] = figure.floor_is
        self._line(cells(figure))

    def end(self) -> None:
        """Print what the floors are."""
        versions = "\n\nFloors, measured in turns with the values:\n"
        self._out.write(f"\n{self._machine}{versions}")
        for name, words in self._floors.items():
            self._out.write(f"  {name:<{_WIDTHS[0]}}{words}\n")

    def _line(self, words: tuple[str, ...]) -> None:
        columns = zip(words, _WIDTHS, strict=True)
        line = "  ".join(
            f"{word:<{width}}" if number < 2 else f"{word:>{width}}"
            for number, (word, width) in enumerate(columns)
        )
        self._out.write(line.rstrip() + "\n")
        self._out.flush()


def cells(figure: Figure) -> tuple[str, ...]:
    """Return the cells of one row."""
    return (
        figure.name,
        figure.backend,
        f"{number(figure.value)} {figure.unit}",
        figure.note if figure.floor is None else f"{number(figure.floor)} {figure.unit}",
        "" if figure.ratio is None else f"{figure.ratio:.2f}x",
        f"{figure.spread:.0%}",
        _target(figure),
        {None: "", True: "met", False: "short"}[figure.met],
    )


def _target(figure: Figure) -> str:
    if figure.target is None:
        return ""
    return f"<= {number(figure.target)}{'x' if figure.target_of == 'ratio' else f' {figure.unit}'}"


def number(value: float) -> str:
    """Write a number with three digits that count."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}"
