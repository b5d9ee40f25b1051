"""The BEAM beside relight, where there is one; and what is said where there is none."""

import shutil
from io import StringIO

import pytest

from relight.bench._table import Table
from relight.bench._vm import open_beam
from relight.bench.beam import MISSING, Match
from relight.bench.harness import Measured, Stage

STAGE = Stage(backend="trio", seconds=0.0)

has_erlang = pytest.mark.skipif(shutil.which("erlc") is None, reason="Erlang is not installed")

QUESTIONS = {
    "tell": 100,
    "ask": 10,
    "fan": 1,
    "ping_pong": 10,
    "spawn": 3,
    "spawn_hooks": 3,
    "idle_actor": 10,
    "crowd_bytes": 10,
    "crowd_spawn": 10,
    "children_start": 10,
    "children_stop": 10,
    "restart": 3,
    "restart_storm": 10,
    "backlog_drain": 10,
    "backlog_caller": 10,
}
"""What `beam.py` asks, and a little of it."""


async def ours() -> float:
    return 2e-6


def test_no_machine_is_opened_where_erlang_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with open_beam() as beam:
        assert beam is None


@pytest.mark.anyio
async def test_without_a_machine_our_figure_stands_alone_and_the_column_says_why() -> None:
    match = Match(STAGE, None)
    for figure in (
        await match.seconds("tell", ours, 1, "gen_server:cast"),
        match.once("idle_actor", Measured(value=1500.0), 1, "B", "a gen_server"),
    ):
        assert (figure.floor, figure.ratio, figure.met) == (None, None, None)
        out = StringIO()
        Table(out).add(figure)
        assert MISSING in out.getvalue()


@has_erlang
@pytest.mark.slow
def test_the_machine_answers_every_question() -> None:
    with open_beam() as beam:
        assert beam is not None
        assert int(beam.release) >= 25
        for question, number in QUESTIONS.items():
            # So little work may be done between two ticks of the processor's clock.
            assert beam.ask(question, number) >= 0.0, question


@has_erlang
@pytest.mark.slow
@pytest.mark.anyio
async def test_with_a_machine_its_figure_is_the_floor() -> None:
    with open_beam() as beam:
        match = Match(STAGE, beam)
        figure = await match.seconds("tell", ours, 100_000, "gen_server:cast")
        assert figure.value == pytest.approx(2.0)
        assert figure.floor is not None
        assert figure.ratio == pytest.approx(figure.value / figure.floor)
        assert "OTP" in figure.floor_is


@has_erlang
@pytest.mark.slow
def test_a_machine_that_goes_down_is_an_error() -> None:
    with open_beam() as beam:
        assert beam is not None
        with pytest.raises(RuntimeError, match=r"went down: .*no_such_question"):
            beam.ask("no_such_question", 1)
