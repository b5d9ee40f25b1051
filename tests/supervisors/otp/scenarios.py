"""Scenarios: a tree, and what happens to it. The same for relight and for OTP.

A scenario is written for Erlang as ``{scenario, Tree, Events}``:

    {worker, Name, Restart, Significant, Outcomes, Shutdown}
    {sup, Name, {Strategy, Auto}, Intensity, Restart, Significant, Outcomes, Children}
    {dyn, Name, {Restart, Shutdown}, Intensity, Restart, Significant, []}

``Outcomes`` says how the first starts of a child end: ok, fail or ignore; every later one is ok. Each
trace has one step for the start of the tree, one for each event and one for the stop at the end:
``{Results, Log, Ends, Snapshot}``, seen when nothing is left to be decided on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from tests.supervisors.otp.terms import Term

Outcomes: TypeAlias = tuple[str, ...]


@dataclass(frozen=True)
class Worker:
    """A child that is no supervisor."""

    name: str
    restart: str = "permanent"
    significant: bool = False
    outcomes: Outcomes = ()
    shutdown: str = "wait"
    """``wait``: it may run its stop hook. ``brutal``: it is killed."""
    style: str = "started"
    """Where relight's actor fails to start: in its factory, its start hook or its lifespan."""

    def term(self) -> Term:
        return (
            "worker",
            self.name,
            self.restart,
            _flag(self.significant),
            list(self.outcomes),
            self.shutdown,
        )

    def text(self) -> str:
        return _joined(
            f"{self.name}: {self.restart}",
            "significant" if self.significant else "",
            "brutal" if self.shutdown == "brutal" else "",
            _starts(self.outcomes),
            f"({self.style})" if self.outcomes and self.style != "started" else "",
        )


@dataclass(frozen=True)
class Sup:
    """A supervisor with children of its own."""

    name: str
    strategy: str = "one_for_one"
    intensity: int = 3
    auto: str = "never"
    restart: str = "permanent"
    significant: bool = False
    outcomes: Outcomes = ()
    children: tuple[Node, ...] = ()

    def term(self) -> Term:
        return (
            "sup",
            self.name,
            (self.strategy, self.auto),
            self.intensity,
            self.restart,
            _flag(self.significant),
            list(self.outcomes),
            [child.term() for child in self.children],
        )

    def text(self) -> str:
        return _joined(
            f"{self.name}: {self.strategy}, intensity {self.intensity}, {self.restart}",
            f"auto_shutdown {self.auto}" if self.auto != "never" else "",
            "significant" if self.significant else "",
            _starts(self.outcomes),
        )


@dataclass(frozen=True)
class Dyn:
    """A dynamic supervisor; its children are started by events."""

    name: str
    intensity: int = 3
    child_restart: str = "permanent"
    child_shutdown: str = "wait"
    restart: str = "permanent"
    significant: bool = False

    def term(self) -> Term:
        return (
            "dyn",
            self.name,
            (self.child_restart, self.child_shutdown),
            self.intensity,
            self.restart,
            _flag(self.significant),
            [],
        )

    def text(self) -> str:
        return _joined(
            f"{self.name}: dynamic, intensity {self.intensity}, {self.restart}",
            f"of {self.child_restart} children",
            "brutal" if self.child_shutdown == "brutal" else "",
            "significant" if self.significant else "",
        )


Node: TypeAlias = Worker | Sup | Dyn


@dataclass(frozen=True)
class Start:
    """The arguments of one child of a dynamic supervisor."""

    name: str
    outcomes: Outcomes = ()

    def term(self) -> Term:
        return (self.name, list(self.outcomes))

    def text(self) -> str:
        return _joined(self.name, _starts(self.outcomes))


@dataclass(frozen=True)
class Exit:
    """A worker ends by itself, or is killed."""

    name: str
    reason: str = "boom"
    """normal, shutdown, shutdown_x, boom or kill."""

    def term(self) -> Term:
        reason: Term = ("shutdown", "x") if self.reason == "shutdown_x" else self.reason
        return ("exit", self.name, reason)

    def text(self) -> str:
        return f"{self.name} is killed" if self.reason == "kill" else f"{self.name} exits {self.reason}"


@dataclass(frozen=True)
class Call:
    """A supervisor is asked for something."""

    verb: str
    sup: str
    argument: Node | Start | str = "none"

    def term(self) -> Term:
        argument = self.argument if isinstance(self.argument, str) else self.argument.term()
        return ("call", self.verb, self.sup, argument)

    def text(self) -> str:
        argument = self.argument if isinstance(self.argument, str) else self.argument.text()
        if isinstance(self.argument, Sup):
            argument += " [" + "; ".join(child.text() for child in self.argument.children) + "]"
        return f"{self.sup}.{self.verb}({'' if argument == 'none' else argument})"


@dataclass(frozen=True)
class Held:
    """While a supervisor is suspended, things happen in this order."""

    sup: str
    steps: tuple[Exit | Call, ...]

    def term(self) -> Term:
        return ("held", self.sup, [step.term() for step in self.steps])

    def text(self) -> str:
        return f"while {self.sup} is suspended: " + "; ".join(step.text() for step in self.steps)


Event: TypeAlias = Exit | Call | Held


@dataclass(frozen=True)
class Scenario:
    """A tree and what happens to it."""

    tree: Node
    events: tuple[Event, ...] = field(default=())

    def term(self) -> Term:
        return ("scenario", self.tree.term(), [event.term() for event in self.events])

    def text(self) -> str:
        """Draw the tree and number the events, as steps of the trace are numbered."""
        lines = list(_drawn(self.tree, ""))
        lines += [f"{number:>3}. {event.text()}" for number, event in enumerate(self.events, 1)]
        return "\n".join(lines)


def below(node: Node) -> Iterator[Node]:
    """Go through a subtree, its top first."""
    yield node
    for child in node.children if isinstance(node, Sup) else ():
        yield from below(child)


def _drawn(node: Node, margin: str) -> Iterator[str]:
    yield margin + node.text()
    for child in node.children if isinstance(node, Sup) else ():
        yield from _drawn(child, margin + "    ")


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _starts(outcomes: Outcomes) -> str:
    return "starts " + ",".join(outcomes) if outcomes else ""


def _joined(*parts: str) -> str:
    return ", ".join(part for part in parts if part)
