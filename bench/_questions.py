"""The questions, by name, in the order they are asked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import msgspec

from . import (
    ask,
    backlog,
    beam,
    children,
    depth,
    fan,
    guarded,
    jobs,
    million,
    neighbour,
    ping_pong,
    restart,
    restart_storm,
    services,
    spawn,
    tell,
)
from .harness import Figure, Stage


class Question(msgspec.Struct, frozen=True):
    """One thing to find out."""

    answer: Callable[[Stage], AsyncIterator[Figure]]
    keeps_busy: bool = True
    """It never waits, so it is measured on one core. False: it has company in other processes."""


QUESTIONS = {
    "tell": Question(tell.answer),
    "ask": Question(ask.answer),
    "fan": Question(fan.answer),
    "ping_pong": Question(ping_pong.answer),
    "spawn": Question(spawn.answer),
    "restart": Question(restart.answer),
    "restart_storm": Question(restart_storm.answer),
    "children": Question(children.answer),
    "depth": Question(depth.answer),
    "backlog": Question(backlog.answer),
    "million": Question(million.answer),
    "beam": Question(beam.answer),
    "guarded": Question(guarded.answer),
    "services": Question(services.answer, keeps_busy=False),
    "jobs": Question(jobs.answer, keeps_busy=False),
    "neighbour": Question(neighbour.answer, keeps_busy=False),
}
