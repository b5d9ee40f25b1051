"""Every scenario that a real OTP 25 has printed, replayed through relight and compared event by event.

The expected values are read from ``golden-traces.txt``. What each scenario does is inferred from its title
and its trace; every reading was confirmed by the same scenario in Erlang, which prints the same trace.

Three traces begin with ``{stop,a,shutdown}``: there the tree of the scenario before was still stopping when
the log had been emptied. Run alone in OTP they do not have that line; it is taken off here.

Where relight deviates on purpose, `DEVIATIONS` says how, and its own events stand there.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import anyio
import pytest

from relight.supervisors import open_system
from tests.supervisors.conformance.golden_replays import REPLAYS
from tests.supervisors.conformance.golden_world import World
from tests.supervisors.otp.terms import Term, read

pytestmark = pytest.mark.anyio

FILE = Path(__file__).with_name("golden-traces.txt")
LEFT_OVER: Term = ("stop", "a", "shutdown")
SLACK = 10
"""Milliseconds that OTP's measured times may exceed relight's, which pass in virtual time."""


class Golden(NamedTuple):
    """What OTP has printed of one scenario."""

    result: Term
    log: Term


class Deviation(NamedTuple):
    """What relight does otherwise."""

    why: str
    result: Term
    log: Term


def golden_traces() -> dict[str, Golden]:
    """Read the file: a title, a result and a log for each scenario."""
    found = re.findall(
        r"^(\S.*)\n   => ((?:.|\n)*?)\n   log ((?:.|\n)*?)(?=\n\S|\s*\Z)", FILE.read_text(), re.MULTILINE
    )
    return {title: Golden(read(result), read(log)) for title, result, log in found}


GOLDEN = golden_traces()
BEGIN_WITH_A_LEFT_OVER = frozenset(
    {
        "ignore during restart (permanent, one_for_one)",
        "transient {shutdown,x} not restarted; killed restarted",
        "window edge: 2 crashes spaced 1.1s/2.2s with intensity 1 period 1",
    }
)
DEVIATIONS = {
    "non-trapping child: terminate not run": Deviation(
        "an OTP process that does not trap exits dies without its terminate; a relight child always runs its "
        "stop hook, unless it is killed",
        GOLDEN["non-trapping child: terminate not run"].result,
        [("stop", "a", "shutdown")],
    ),
    "window edge: 2 crashes spaced 1.1s/2.2s with intensity 1 period 1": Deviation(
        "OTP counts whole seconds, so that a period of 1 may last nearly 2; relight's window is as long as "
        "it says, and the crash before has left it",
        ("alive",),
        [("start", "a"), ("stop", "a", "boom"), ("start", "a"), ("stop", "a", "boom"), ("start", "a")],
    ),
}


@pytest.mark.parametrize("title", GOLDEN)
async def test_relight_does_what_otp_did(title: str) -> None:
    golden = GOLDEN[title]
    expected_log = golden.log
    assert isinstance(expected_log, list)
    if title in BEGIN_WITH_A_LEFT_OVER:
        assert expected_log[0] == LEFT_OVER
        expected_log = expected_log[1:]
    async with open_system() as system:
        world = World(system)
        result = await REPLAYS[title](world)
        log = [as_numbered(line) for line in world.diary.take()]
    deviation = DEVIATIONS.get(title)
    if deviation is not None:
        assert (log, result) == (deviation.log, deviation.result), deviation.why
        assert (log, result) != (expected_log, golden.result), "this is no deviation any more"
        return
    assert log == expected_log
    assert_same(result, golden.result)


def as_numbered(line: Term) -> Term:
    """Write the name of a child that is a number as a number, as the file does."""
    if not isinstance(line, tuple):
        return line
    return tuple(int(part) if isinstance(part, str) and part.isdigit() else part for part in line)


def assert_same(result: Term, expected: Term) -> None:
    """Compare results; a measured time may be a little longer in OTP's real time."""
    if isinstance(result, tuple) and isinstance(expected, tuple) and len(result) == len(expected):
        for part, other in zip(result, expected, strict=True):
            assert_same(part, other)
    elif isinstance(result, int) and isinstance(expected, int):
        assert 0 <= expected - result <= SLACK
    else:
        assert result == expected


async def test_within_the_window_both_count_alike() -> None:
    """The deviation at the window's edge ends inside it: two crashes within a second end relight's too."""
    async with open_system() as system:
        world = World(system)
        await world.supervise(world.child("a"), period=1.0)
        await world.exit("a", "boom")
        await anyio.sleep(0.9)
        await world.exit("a", "boom")
        assert await world.status() == ("dead", ["shutdown"])


async def test_a_killed_child_runs_no_stop_hook() -> None:
    """What OTP's non-trapping child is closest to: one whose shutdown time is 0."""
    async with open_system() as system:
        world = World(system)
        top = await world.supervise(world.child("a", shutdown=0.0))
        await top.terminate_child("a")
        assert world.diary.take() == []


def test_every_scenario_of_the_file_has_a_replay() -> None:
    titles = [line for line in FILE.read_text().splitlines() if line[:1].strip()]
    assert list(GOLDEN) == titles
    assert set(REPLAYS) == set(titles)
    assert set(DEVIATIONS) | BEGIN_WITH_A_LEFT_OVER <= set(titles)
