"""Actors that start and end as a scenario says, and write down what they do."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import NoReturn

from relight import DynamicSupervisor, Ignore
from relight.runtime import SHUTDOWN, Actor, Cell, ExitKind, ExitReason, Message, Ref, handles
from relight.runtime import Exit as ExitRequest
from relight.supervisors import Child, Restart, Supervisor
from tests.supervisors.otp.scenarios import Dyn, Node, Sup, Worker
from tests.supervisors.otp.terms import Term

PERIOD = 3600.0
"""Seconds: no restart leaves its window."""


class BoomError(Exception):
    pass


class Leave(Message, frozen=True):
    """End yourself."""

    reason: str


@dataclass
class Diary:
    """What the actors of one scenario write down, and where they live."""

    lines: list[Term] = field(default_factory=list[Term])
    refs: dict[str, Ref] = field(default_factory=dict[str, Ref])
    """Of each child: where its newest incarnation lives."""
    names: dict[Ref, str] = field(default_factory=dict[Ref, str])
    starts: dict[str, int] = field(default_factory=dict[str, int])

    def outcome(self, name: str, outcomes: Sequence[str]) -> str:
        """Say how the next start of a child ends."""
        number = self.starts[name] = self.starts.get(name, 0) + 1
        return outcomes[number - 1] if number <= len(outcomes) else "ok"

    def take(self) -> list[Term]:
        """Return what was written since the last time."""
        lines, self.lines = self.lines, []
        return lines

    def refuse(self, name: str, outcome: str) -> NoReturn:
        """Write down a start that fails, and fail it."""
        self.lines.append(("startfail" if outcome == "fail" else "ignore", name))
        raise BoomError if outcome == "fail" else Ignore

    def begin(self, name: str, ref: Ref) -> None:
        """Write down a start."""
        self.lines.append(("start", name))
        self.refs[name] = ref
        self.names[ref] = name


class Scripted(Actor):
    """Starts as its scenario says, and writes in a diary."""

    def __init__(self, diary: Diary, name: str, outcome: str) -> None:
        self._diary = diary
        self._name = name
        self._outcome = outcome

    async def started(self) -> None:
        if self._outcome != "ok":
            self._diary.refuse(self._name, self._outcome)
        self._diary.begin(self._name, self.ref)

    async def stopping(self, reason: ExitReason) -> None:
        self._diary.lines.append(("stop", self._name, reason_term(reason)))

    @handles
    async def leave(self, message: Leave) -> None:
        match message.reason:
            case "normal":
                raise ExitRequest
            case "shutdown":
                raise ExitRequest(SHUTDOWN)
            case "shutdown_x":
                raise ExitRequest(ExitReason(ExitKind.SHUTDOWN, detail="x"))
            case _:
                raise BoomError


class Living(Scripted):
    """Starts, or does not, in its lifespan."""

    async def started(self) -> None:
        pass

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None, None]:
        await super().started()
        yield


def make_actor(diary: Diary, style: str, name: str, outcomes: Sequence[str]) -> Actor:
    """Make one incarnation of a child."""
    outcome = diary.outcome(name, outcomes)
    if style == "factory" and outcome != "ok":
        diary.refuse(name, outcome)
    return (Living if style == "lifespan" else Scripted)(diary, name, outcome)


def with_arguments(make: Callable[..., Actor]) -> Callable[[], Actor]:
    """Let a factory that takes arguments be the start of a template."""
    return make


def spec_of(node: Node, diary: Diary) -> Child | Supervisor | DynamicSupervisor:
    """Describe a node to relight."""
    match node:
        case Worker():
            return Child(
                node.name,
                partial(make_actor, diary, node.style, node.name, node.outcomes),
                restart=Restart(node.restart),
                significant=node.significant,
                shutdown=_shutdown(node.shutdown),
            )
        case Sup():
            return _supervisor_of(node, diary)
        case Dyn():
            template = Child(
                "any",
                with_arguments(partial(make_actor, diary, "started")),
                restart=Restart(node.child_restart),
                shutdown=_shutdown(node.child_shutdown),
            )
            return DynamicSupervisor(
                node.name,
                template=template,
                intensity=node.intensity,
                period=PERIOD,
                restart=Restart(node.restart),
                significant=node.significant,
            )


def _supervisor_of(node: Sup, diary: Diary) -> Supervisor:
    def children() -> Sequence[Child | Supervisor | DynamicSupervisor]:
        outcome = diary.outcome(node.name, node.outcomes)
        if outcome != "ok":
            diary.refuse(node.name, outcome)
        return [spec_of(child, diary) for child in node.children]

    return Supervisor(
        node.name,
        strategy=node.strategy,  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        auto_shutdown=node.auto,  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        intensity=node.intensity,
        period=PERIOD,
        restart=Restart(node.restart),
        significant=node.significant,
        children=children if node.outcomes else [spec_of(child, diary) for child in node.children],
    )


def _shutdown(word: str) -> float:
    return 0.0 if word == "brutal" else 5.0


def reason_term(reason: ExitReason) -> Term:
    """Write an exit reason as OTP does."""
    if isinstance(reason.error, BoomError):
        return "boom"
    if reason.kind is ExitKind.SHUTDOWN and reason.detail:
        return ("shutdown", reason.detail)
    return str(reason.kind)


def is_ignored(ref: Ref) -> bool:
    """Tell whether the start that returned this ref was ignored. Others may have ended since then, too."""
    assert isinstance(ref, Cell)
    return not ref.is_alive and ref.reason.detail.startswith("ignored")
