"""Make a scenario smaller while it still shows the mismatch it was found with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import TypeVar

from tests.supervisors.otp.deviations import is_comparable
from tests.supervisors.otp.scenarios import Call, Event, Exit, Held, Node, Scenario, Sup, Worker

PartT = TypeVar("PartT")
Failing = Callable[[Sequence[Scenario]], Sequence[bool]]
"""Tells of each scenario whether it still shows a mismatch."""

_CALM_INTENSITY = 8
_AT_ONCE = 16
"""Candidates tried together: one alone would wait for the other side too often."""


def shrink(scenario: Scenario, failing: Failing) -> Scenario:
    """Return a scenario that fails, none of whose smaller neighbours does."""
    while (small := _first_failing(smaller(scenario), failing)) is not None:
        scenario = small
    return scenario


def _first_failing(candidates: Iterator[Scenario], failing: Failing) -> Scenario | None:
    while some := list(islice(candidates, _AT_ONCE)):
        for candidate, fails in zip(some, failing(some), strict=True):
            if fails:
                return candidate
    return None


def smaller(scenario: Scenario) -> Iterator[Scenario]:
    """Make smaller neighbours of a scenario, those that leave out most first."""
    seen = {scenario}
    for made in _neighbours(scenario):
        if made not in seen and is_comparable(made):
            seen.add(made)
            yield made


def _neighbours(scenario: Scenario) -> Iterator[Scenario]:
    for events in _shorter(scenario.events):
        yield replace(scenario, events=events)
    for tree in _smaller_nodes(scenario.tree):
        yield replace(scenario, tree=tree)
    for number, event in enumerate(scenario.events):
        for simple in _simpler_events(event):
            yield replace(scenario, events=_with(scenario.events, number, simple))


def _shorter(events: tuple[Event, ...]) -> Iterator[tuple[Event, ...]]:
    length = (len(events) + 1) // 2
    while length:
        for begin in range(0, len(events), length):
            yield events[:begin] + events[begin + length :]
        length //= 2


def _simpler_events(event: Event) -> Iterator[Event]:
    match event:
        case Held():
            if len(event.steps) == 1:
                yield event.steps[0]
            for number, step in enumerate(event.steps):
                if len(event.steps) > 1:
                    yield replace(event, steps=event.steps[:number] + event.steps[number + 1 :])
                for simple in _simpler_steps(step):
                    yield replace(event, steps=_with(event.steps, number, simple))
        case Exit() | Call():
            yield from _simpler_steps(event)


def _simpler_steps(step: Exit | Call) -> Iterator[Exit | Call]:
    if isinstance(step, Exit):
        if step.reason != "boom":
            yield replace(step, reason="boom")
    elif isinstance(step.argument, Worker | Sup):
        for node in _smaller_nodes(step.argument):
            yield replace(step, argument=node)


def _smaller_nodes(node: Node) -> Iterator[Node]:
    if isinstance(node, Sup):
        for number, child in enumerate(node.children):
            yield replace(node, children=node.children[:number] + node.children[number + 1 :])
            for small in _smaller_nodes(child):
                yield replace(node, children=_with(node.children, number, small))
        if node.strategy != "one_for_one":
            yield replace(node, strategy="one_for_one")
        if node.auto != "never" and not any(child.significant for child in node.children):
            yield replace(node, auto="never")
    if not isinstance(node, Worker) and node.intensity != _CALM_INTENSITY:
        yield replace(node, intensity=_CALM_INTENSITY)
    if node.significant:
        yield replace(node, significant=False)
    elif node.restart != "permanent":
        yield replace(node, restart="permanent")
    yield from _simpler_starts(node)


def _simpler_starts(node: Node) -> Iterator[Node]:
    if isinstance(node, Worker | Sup) and node.outcomes:
        yield replace(node, outcomes=node.outcomes[:-1])
        for number, outcome in enumerate(node.outcomes):
            if outcome != "ok":
                yield replace(node, outcomes=_with(node.outcomes, number, "ok"))
    if isinstance(node, Worker):
        if node.shutdown != "wait":
            yield replace(node, shutdown="wait")
        if node.style != "started":
            yield replace(node, style="started")


def _with(parts: tuple[PartT, ...], number: int, part: PartT) -> tuple[PartT, ...]:
    return (*parts[:number], part, *parts[number + 1 :])
