"""The page that compares the hand-written agents with those on relight says what is so."""

import logging
import re
from collections.abc import AsyncIterator

import pytest

from examples.video_maker.compare import LATENCY, SCALE, TROUBLES, Figures, measure
from examples.video_maker.count_lines import code_lines, table
from relight.fakes import FakeOptions, Fakes, open_fakes
from tests.support.tree import ROOT

PAGE = (ROOT / "docs" / "before-and-after.md").read_text()
ROW = re.compile(r"^\| `(\w+)`[^|]*\| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
ROWS = ROW.findall(PAGE)


def test_the_line_counts_are_those_of_the_files() -> None:
    assert table() in PAGE


def test_blank_lines_comments_and_docstrings_do_not_count() -> None:
    source = (
        '"""Doc."""\n\n# why\nx = [\n    1,\n]  # so\n'
        'def f():\n    """Doc.\n    """\n    return """a\n\nb"""\n'
    )
    assert code_lines(source) == ["x = [", "    1,", "]  # so", "def f():", '    return """a', "", 'b"""']


def counted(what: str, figures: Figures) -> float:
    if what.startswith("requests"):
        return figures.requests
    if what.endswith("made"):
        return figures.made
    if what.endswith("paid"):
        return figures.paid
    return figures.seconds / SCALE


def fits(claim: str, value: float, about: float) -> bool:
    """Compare a claim of the page with what was measured; *about* is the factor it may be off by."""
    number = float(claim.split()[-1])
    if claim.startswith("about "):
        return number / about <= value <= number * about
    return value < number if claim.startswith("under ") else value == number


@pytest.fixture
async def openai(anyio_backend: object) -> AsyncIterator[Fakes]:
    async with open_fakes(["openai"], options=FakeOptions(latency=LATENCY)) as fakes:
        yield fakes


@pytest.mark.slow
@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # the loops written by hand sleep with asyncio
@pytest.mark.parametrize("trouble", TROUBLES)
async def test_the_page_says_what_is_measured(trouble: str, openai: Fakes) -> None:
    """Waits are a fiftieth of the real ones, so that a machine with other work spoils some measurements.

    One that is busy all the time never asks as often within its second: it shows how much, roughly.
    """
    logging.getLogger("examples").setLevel(logging.CRITICAL)
    claims = [row for row in ROWS if row[0] == trouble]
    assert claims
    spoilt: list[object] = []
    while len(spoilt) < 5:
        figures = await measure(trouble, openai)
        wrong = [
            (what, side, claim)
            for _, what, by_hand, on_relight in claims
            for side, claim in (("by hand", by_hand), ("relight", on_relight))
            if not fits(claim, counted(what, figures[side]), about=1.7 if len(spoilt) < 4 else 4.0)
        ]
        if not wrong:
            return
        spoilt.append((wrong, figures))
    raise AssertionError(spoilt)
