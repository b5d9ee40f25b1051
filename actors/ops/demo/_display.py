"""Show a run while it goes on: a live table on a terminal, plain lines anywhere else."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from io import TextIOWrapper
from typing import TYPE_CHECKING, Final, Protocol, TextIO

from ._snapshot import Snapshot, headline, status_line

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.table import Table

PLAIN_SECONDS: Final = 2.0
"""Between two plain lines."""
_BAR_WIDTH: Final = 60


class Display(Protocol):
    """Where a run shows itself."""

    @property
    def is_broken(self) -> bool:
        """Whether nobody reads it any more."""
        ...

    def show(self, snapshot: Snapshot) -> None:
        """Show how it stands. Called often."""

    def say(self, line: str) -> None:
        """Say something once."""


class PlainDisplay:
    """Lines: one every few seconds, and what has to be said. For pipes, files and dumb terminals."""

    def __init__(self, out: TextIO, *, every: float = PLAIN_SECONDS) -> None:
        self._out = out
        self._every = every
        self._due = 0.0
        self._is_broken = False

    @property
    def is_broken(self) -> bool:
        """Whether the reader of the pipe has left, as ``head`` does."""
        return self._is_broken

    def show(self, snapshot: Snapshot) -> None:
        """Print a line if the last one is old enough."""
        if snapshot.seconds >= self._due:
            self._due = snapshot.seconds + self._every
            self.say(status_line(snapshot))

    def say(self, line: str) -> None:
        """Print *line* at once, also into a pipe."""
        # Kept and not raised: an event's listener must not raise.
        try:
            if not self._is_broken:
                print(line, file=self._out, flush=True)
        except BrokenPipeError:
            self._is_broken = True
            _mute(self._out)


class LiveDisplay:
    """A table that changes in place, below the lines that were said."""

    def __init__(self, live: Live) -> None:
        self._live = live

    @property
    def is_broken(self) -> bool:
        """Say no: a terminal that goes away sends a signal."""
        return False

    def show(self, snapshot: Snapshot) -> None:
        """Redraw the table."""
        self._live.update(_picture(snapshot), refresh=True)

    def say(self, line: str) -> None:
        """Print *line* above the table."""
        self._live.console.print(line, markup=False, highlight=False)


@contextmanager
def open_display(out: TextIO) -> Generator[Display]:
    """Choose a display for *out*; a live one leaves its last picture behind.

    rich is an extra (``relight[cli]``): without it, a terminal gets plain lines too.
    """
    console = _console(out)
    if console is None:
        yield PlainDisplay(out)
        return
    from rich.live import Live

    # Refreshed by hand: a refreshing thread of rich's could draw in the middle of a line.
    with Live(console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False) as live:
        yield LiveDisplay(live)


def _console(out: TextIO) -> Console | None:
    if not out.isatty() or os.environ.get("TERM", "") in {"", "dumb"}:
        return None
    try:
        from rich.console import Console
    except ImportError:
        return None
    return Console(file=out, highlight=False)  # minds NO_COLOR by itself


def _picture(snapshot: Snapshot) -> Table:
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    table = Table("provider", "state", box=None, header_style="bold", padding=(0, 2, 0, 0))
    for heading in ("in flight", "waiting", "calls", "retries", "failures"):
        table.add_column(heading, justify="right")
    for row in snapshot.providers:
        numbers = (row.waiting, row.calls, row.retries, row.failures)
        table.add_row(
            row.name,
            Text(row.says, style=_style(row.state)),
            f"{row.in_flight}/{row.limit}",
            *map(str, numbers),
        )
    # In a grid, as a bar alone does not end its line.
    whole = Table.grid()
    whole.add_row(Text(f"{snapshot.seconds:5.1f} s  {headline(snapshot)}"))
    whole.add_row(ProgressBar(total=snapshot.comics, completed=snapshot.ended, width=_BAR_WIDTH))
    whole.add_row(table)
    return whole


def _style(state: str) -> str:
    colours = {"●": "green", "■": "bold red", "✕": "bold red"}
    return colours.get(state[0], "yellow")


def prepare(out: TextIO) -> None:
    """Keep *out* from failing on a character its encoding lacks: ``●`` becomes ``?``."""
    if isinstance(out, TextIOWrapper):
        out.reconfigure(errors="replace")


def _mute(out: TextIO) -> None:
    """Send what is still buffered nowhere, or the interpreter complains about it in its last moment."""
    if isinstance(out, TextIOWrapper):
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), out.fileno())
