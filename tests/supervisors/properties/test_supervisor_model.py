"""A supervisor against OTP's documentation, written down as a model of plain lists."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import combinations_with_replacement
from typing import Literal, cast

import anyio
import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from relight import ActorStoppedError, Ignore, MailboxClosedError, RelightError, Request, open_system
from relight.supervisors import Child, Supervisor, SupervisorRef, System
from relight.supervisors.policies import Fixed
from tests.runtime.desk import settle
from tests.supervisors.properties.otp import BACKOFF, PERIOD, ModelChild, ModelSupervisor
from tests.supervisors.recorded import BoomError, Crash, Diary, Die, Finish, Leave

pytestmark = pytest.mark.anyio

RestartName = Literal["permanent", "transient", "temporary"]
StrategyName = Literal["one_for_one", "one_for_all", "rest_for_one"]
AutoShutdownName = Literal["never", "any_significant", "all_significant"]

EXITS: dict[str, Request[None]] = {
    "boom": Crash(),
    "killed": Die(),
    "normal": Finish(),
    "shutdown": Leave(),
}
NAMES = "abcde"
STEPS = 25
"""Operations of one example, at most."""
WAITS = (0.4072265625, 1.3134765625, 6.0947265625)
"""Seconds: shorter and longer than the backoff, longer than the period.

Multiples of 1/1024, so clocks add them up without rounding, and each one more than a multiple of 1/32,
so that no sum of fewer than 32 is whole. Restarts come whole seconds after an exit and leave the window
whole seconds after a restart: a wait that ended at that very moment would see it or not by the rounding.
"""
names = st.sampled_from(NAMES)
restarts = st.sampled_from(["permanent", "transient", "temporary"])


@dataclass(frozen=True)
class Start:
    id: str
    restart: str
    significant: bool
    fault: str = ""
    """``fail`` or ``ignore``: what becomes of it."""


@dataclass(frozen=True)
class Administer:
    request: str
    id: str


@dataclass(frozen=True)
class Exit:
    """Let one of the running children end."""

    which: int
    word: str


@dataclass(frozen=True)
class Spoil:
    """Let the next starts of a child fail, or be ignored."""

    id: str
    faults: tuple[str, ...]


@dataclass(frozen=True)
class Wait:
    seconds: float


Operation = Start | Administer | Exit | Spoil | Wait

starts = st.builds(Start, names, restarts, st.booleans())
exits = st.builds(Exit, st.integers(0, 4), st.sampled_from(["boom", "boom", "killed", "normal", "shutdown"]))
operations = st.lists(
    st.one_of(
        exits,
        exits,
        st.builds(Start, names, restarts, st.booleans(), st.sampled_from(["", "", "fail", "ignore"])),
        st.builds(Administer, st.sampled_from(["terminate", "restart", "delete", "stop"]), names),
        st.builds(Spoil, names, st.lists(st.sampled_from(["fail", "fail", "ignore"]), max_size=3).map(tuple)),
        st.builds(Wait, st.sampled_from(WAITS)),
    ),
    max_size=STEPS,
)


@dataclass(frozen=True)
class Setup:
    """How the supervisor is described."""

    strategy: StrategyName
    intensity: int
    auto_shutdown: AutoShutdownName
    backoff: bool
    children: tuple[Start, ...]


setups = st.builds(
    Setup,
    st.sampled_from(["one_for_one", "one_for_all", "rest_for_one"]),
    st.integers(0, 4),
    st.sampled_from(["never", "never", "any_significant", "all_significant"]),
    st.booleans(),
    st.lists(starts, min_size=1, max_size=5, unique_by=lambda start: start.id).map(tuple),
)


class Player:
    """Carries operations out on a supervisor and on the model."""

    def __init__(self, system: System, setup: Setup) -> None:
        self.system, self.setup = system, setup
        self.diary = Diary()
        self.faults: dict[str, list[str]] = {}
        self.model = ModelSupervisor(setup.strategy, setup.intensity, setup.auto_shutdown, setup.backoff)
        self.sup: SupervisorRef

    async def start(self) -> None:
        setup = self.setup
        first = [_allowed(child, setup) for child in setup.children]
        self.sup = await self.system.spawn(
            Supervisor(
                "tree",
                strategy=setup.strategy,
                intensity=setup.intensity,
                period=PERIOD,
                auto_shutdown=setup.auto_shutdown,
                restart="temporary",
                children=[self._spec(child) for child in first],
            )
        )
        for child in first:
            assert self.model.start_child(_model_of(child)) == "ok"

    def _spec(self, start: Start) -> Child:
        async def started(_number: int) -> None:
            faults = self.faults.get(start.id)
            fault = faults.pop(0) if faults else ""
            if fault:
                raise Ignore if fault == "ignore" else BoomError

        made = self.diary.child(start.id, start.restart, started=started)
        return Child(
            start.id,
            made.start,
            restart=cast("RestartName", start.restart),
            significant=start.significant,
            backoff=Fixed(BACKOFF) if self.setup.backoff else None,
        )

    async def play(self, operation: Operation) -> None:
        model = self.model
        match operation:
            case Start(id):
                self._spoil(id, [operation.fault] if operation.fault else [])
                await self._request(model.start_child(_model_of(operation)), lambda: self._start(operation))
            case Administer(request, id):
                await self._administer(request, id)
            case Exit(which, word) if live := model.running():
                child = live[which % len(live)]
                model.exit(child, word)
                with pytest.raises(RelightError):
                    await self.system.get(f"tree/{child.id}").ask(EXITS[word])
            case Spoil(id, faults):
                self._spoil(id, faults)
            case Wait(seconds):
                model.wait(seconds)
                await anyio.sleep(seconds)
            case _:
                event("idle operation")
        await settle()

    def _spoil(self, id: str, faults: Sequence[str]) -> None:  # noqa: A002
        self.model.faults[id] = list(faults)
        self.faults[id] = list(faults)

    async def _start(self, start: Start) -> None:
        await self.sup.start_child(self._spec(start))

    async def _administer(self, request: str, id: str) -> None:  # noqa: A002
        model, sup = self.model, self.sup
        match request:
            case "terminate":
                await self._request(model.terminate_child(id), lambda: sup.terminate_child(id))
            case "restart":
                await self._request(model.restart_child(id), lambda: sup.restart_child(id))
            case "delete":
                await self._request(model.delete_child(id), lambda: sup.delete_child(id))
            case _:
                child = model.find(id)
                if child is not None and child.state == "running":
                    model.terminate_child(id, "normal")
                    await self.system.get(f"tree/{id}").stop()

    async def _request(self, expected: str, call: Callable[[], Awaitable[object]]) -> None:
        found = "ok"
        try:
            await call()
        except (MailboxClosedError, ActorStoppedError):
            found = "over"
        except RelightError as error:
            found = type(error).__name__
        if expected == "over" and found == "ChildSpecError":
            return  # a wrong spec is refused before anybody is asked
        assert found == expected

    async def compare(self) -> None:
        model = self.model
        assert self.diary.take() == model.trace
        model.trace = []
        assert self.faults == model.faults
        assert self.sup.ref.is_alive == (not model.is_over)
        live = {child.id for child in model.running()}
        assert {id for id in NAMES if self.system.find(f"tree/{id}")} >= live  # noqa: A001
        if model.is_over:
            assert self.system.actors() == []
            return
        children = await self.sup.which_children()
        found = [
            (child.id, "running" if child.ref else "restarting" if child.is_restarting else "undefined")
            for child in children
        ]
        assert found == [(child.id, child.state) for child in reversed(model.children)]
        counts = await self.sup.count_children()
        assert (counts.specs, counts.active) == (len(model.children), len(live))


def _allowed(start: Start, setup: Setup) -> Start:
    """Make a child one that its supervisor may start with."""
    if start.restart == "permanent" or setup.auto_shutdown == "never":
        return replace(start, significant=False)
    return start


def _model_of(start: Start) -> ModelChild:
    return ModelChild(start.id, start.restart, start.significant)


def test_no_wait_can_end_at_the_moment_of_a_restart() -> None:
    for count in range(1, STEPS + 1):
        for waits in combinations_with_replacement(WAITS, count):
            exactly = sum(map(Fraction, waits))
            assert exactly.denominator > 1
            assert sum(waits) == exactly  # no clock rounds it


# A significant child that was stopped with its group, and waits to be started again, has not ended.
@example(
    setup=Setup(
        "rest_for_one",
        1,
        "all_significant",
        True,
        (
            Start("a", "temporary", significant=True),
            Start("b", "permanent", significant=False),
            Start("c", "transient", significant=True),
        ),
    ),
    script=[Exit(1, "boom"), Exit(0, "boom")],
)
@given(setup=setups, script=operations)
@settings(max_examples=200)
async def test_a_supervisor_does_what_otp_says(setup: Setup, script: list[Operation]) -> None:
    async with open_system() as system:
        player = Player(system, setup)
        await player.start()
        await player.compare()
        for operation in script:
            await player.play(operation)
            await player.compare()
