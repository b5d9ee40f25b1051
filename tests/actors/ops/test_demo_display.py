import io

import pytest

from relight.actors.ops.demo import (
    JobStatistics,
    LiveDisplay,
    PlainDisplay,
    ProviderRow,
    Snapshot,
    headline,
    open_display,
    status_line,
)


def a_row(name: str = "openai", state: str = "● closed", seconds: float = 0.0) -> ProviderRow:
    return ProviderRow(
        name=name,
        state=state,
        seconds=seconds,
        in_flight=3,
        limit=16,
        waiting=2,
        calls=40,
        retries=9,
        failures=11,
    )


def a_snapshot(
    seconds: float = 4.0, *, waiting: int = 0, dead: int = 0, row: ProviderRow | None = None
) -> Snapshot:
    jobs = JobStatistics(submitted=100, running=32, waiting=waiting, succeeded=19, dead=dead)
    return Snapshot(seconds=seconds, comics=100, jobs=jobs, providers=(row or a_row(),))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class BrokenPipe(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


def test_the_headline_counts_the_comics() -> None:
    assert headline(a_snapshot()) == "19 of 100 comics, 32 in work"
    assert headline(a_snapshot(waiting=4, dead=1)) == "19 of 100 comics, 32 in work, 4 waiting, ✕ 1 dead"


def test_a_line_names_each_provider_with_its_state_in_words() -> None:
    line = status_line(a_snapshot(row=a_row(state="■ open", seconds=1.25)))
    assert line == "  4.0 s  19 of 100 comics, 32 in work | openai ■ open 1.2 s, 3 in flight, 9 retries"


def test_plain_lines_come_every_few_seconds() -> None:
    out = io.StringIO()
    display = PlainDisplay(out, every=2.0)
    for quarter in range(17):
        display.show(a_snapshot(quarter / 4))
    assert len(out.getvalue().splitlines()) == 3


def test_what_is_said_is_printed_at_once() -> None:
    out = io.StringIO()
    PlainDisplay(out).say("openai: breaker ● closed -> ■ open")
    assert out.getvalue() == "openai: breaker ● closed -> ■ open\n"


def test_a_reader_that_leaves_is_noticed_and_nothing_is_raised() -> None:
    display = PlainDisplay(BrokenPipe())
    assert not display.is_broken
    display.say("one")
    display.say("two")
    assert display.is_broken


def test_a_pipe_gets_plain_lines() -> None:
    with open_display(io.StringIO()) as display:
        assert isinstance(display, PlainDisplay)


def test_a_dumb_terminal_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    with open_display(Terminal()) as display:
        assert isinstance(display, PlainDisplay)


def test_a_terminal_without_rich_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setitem(__import__("sys").modules, "rich.console", None)
    with open_display(Terminal()) as display:
        assert isinstance(display, PlainDisplay)


@pytest.mark.parametrize("no_color", [False, True])
def test_a_terminal_gets_a_table_that_changes_in_place(
    monkeypatch: pytest.MonkeyPatch, *, no_color: bool
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_color:
        monkeypatch.setenv("NO_COLOR", "1")
    out = Terminal()
    with open_display(out) as display:
        assert isinstance(display, LiveDisplay)
        display.show(a_snapshot(row=a_row(state="■ open", seconds=1.25)))
        display.say("openai: [breaker] opened")
        display.show(a_snapshot(6.0))
    text = out.getvalue()
    assert "■ open 1.2 s" in text
    assert "openai: [breaker] opened" in text
    assert "3/16" in text
    assert ("\x1b[1;31m" in text) == (not no_color)
