"""How does relight compare with the BEAM, asked the same questions side by side?

The virtual machine (``beam.erl``: gen_server and supervisor) takes turns with this process on the same
core. Both measure the processor time of the one thread that works. Where Erlang is not installed our
figures stand alone.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

from relight import Child, Supervisor, System, open_system

from . import ask, backlog, children, fan, ping_pong, restart, restart_storm, spawn, tell
from ._counter import Counter
from ._crowd import IS_POSSIBLE, look
from ._vm import Beam, open_beam
from .harness import MICROSECONDS, Figure, Measured, Round, Stage, Target, figure, in_turns

MISSING = "no erl"
"""Stands in the place of the BEAM's figure where there is none."""
CROWD, QUICK_CROWD = 1_000_000, 50_000
AHEAD = Target(1.0)
TELL_TARGET = Target(3.0)
ASK_TARGETS = {"trio": Target(4.0), "asyncio": Target(4.0), "uvloop": Target(3.0)}

Parts = AsyncIterator[Figure]


async def answer(stage: Stage) -> AsyncIterator[Figure]:
    """Ask both the same questions."""
    with open_beam() as beam:
        match = Match(stage, beam)
        for part in (_messages, _lives, _crashes, _queues, _crowds):
            async for each in part(match):
                yield each


class Match:
    """Us against the BEAM, on one backend."""

    def __init__(self, stage: Stage, beam: Beam | None) -> None:
        self.stage = stage
        self._beam = beam

    async def seconds(
        self, name: str, ours: Round, number: int, theirs: str, target: Target | None = None
    ) -> Figure:
        """Compare times in turns; *number* says how much work the BEAM's round is."""
        measured = await self._measure(name, ours, number)
        return self._figure(name, measured.scaled(MICROSECONDS), "us", theirs, target)

    def once(self, name: str, ours: Measured, number: int, unit: str, theirs: str) -> Figure:
        """Compare what was measured once already, and is to be measured once."""
        if self._beam is not None:
            floor = self._beam.ask(name, number)
            ours = Measured(value=ours.value, floor=floor, ratio=ours.value / floor)
        scale = MICROSECONDS if unit == "us" else 1.0
        return self._figure(name, ours.scaled(scale), unit, theirs, AHEAD)

    async def _measure(self, name: str, ours: Round, number: int) -> Measured:
        if self._beam is not None:
            return await in_turns(ours, self._beam.round_of(name, number), self.stage.seconds, at_least=3)
        alone = await in_turns(ours, ours, self.stage.seconds, at_least=3)
        return Measured(value=alone.value, spread=alone.spread, rounds=alone.rounds)

    def _figure(self, name: str, measured: Measured, unit: str, theirs: str, target: Target | None) -> Figure:
        release = "the BEAM" if self._beam is None else f"the BEAM, OTP {self._beam.release}"
        note = MISSING if self._beam is None else ""
        return figure(
            f"beam_{name}",
            self.stage,
            measured,
            unit=unit,
            floor_is=f"{release}: {theirs}",
            target=target,
            note=note,
        )


async def _messages(match: Match) -> Parts:
    async with open_system() as system:
        counter = await system.spawn(Child("counter", Counter))
        yield await match.seconds(
            "tell", lambda: tell.send(counter), tell.TELLS, "gen_server:cast", TELL_TARGET
        )
        target = ASK_TARGETS[match.stage.backend]
        yield await match.seconds("ask", lambda: ask.ask(counter), 10 * ask.ASKS, "gen_server:call", target)
        counters = [await system.spawn(Child(f"counter-{n}", Counter)) for n in range(fan.ACTORS)]
        yield await match.seconds("fan", lambda: fan.fan(counters, 20), 20, "1000 processes call 100 servers")
        players = [await system.spawn(Child(name, ping_pong.Player)) for name in ("ann", "bob")]
        play = partial(ping_pong.play, *players)
        yield await match.seconds("ping_pong", play, ping_pong.HOPS, "two gen_servers that cast")


async def _lives(match: Match) -> Parts:
    async with open_system() as system:
        for name, actor, theirs in (
            ("spawn", Counter, "supervisor:start_child, terminate_child"),
            ("spawn_hooks", spawn.Hooked, "the same, trapping exits"),
        ):
            ours = partial(spawn.spawn, system, Child("actor", actor))
            yield await match.seconds(name, ours, spawn.SPAWNS, theirs, AHEAD if actor is Counter else None)
        many = children.QUICK_MANY if match.stage.is_quick else children.MANY
        for number, verb in enumerate(("start", "stop")):
            ours = partial(_children, system, many, number)
            theirs = f"a supervisor of {many:,}, each child"
            yield await match.seconds(f"children_{verb}", ours, many, theirs)
    idle = await spawn.idle(match.stage)
    yield match.once(
        "idle_actor", Measured(value=idle.value), spawn.IDLE, "B", "an idle gen_server and its child spec"
    )


async def _children(system: System, many: int, number: int) -> float:
    return (await children.live(system, many, actor=Counter))[number] / many


async def _crashes(match: Match) -> Parts:
    watch = restart.Stopwatch()
    spec = Child("fragile", partial(restart.Fragile, watch))
    async with open_system() as system:
        await system.spawn(Supervisor("tree", intensity=1_000_000, period=1.0, children=[spec]))
        fragile = system.get("tree/fragile")
        ours = partial(restart.crash, fragile, watch)
        theirs = "error in handle_info to handle_continue of the next"
        yield await match.seconds("restart", ours, restart.CRASHES, theirs, AHEAD)
        count = restart_storm.QUICK_CHILDREN if match.stage.is_quick else restart_storm.CHILDREN
        fragiles = await restart_storm.start_children(system, count)
        storm = partial(restart_storm.storm, fragiles)
        yield await match.seconds(
            "restart_storm", storm, count, f"{count:,} children of a supervisor, each", AHEAD
        )


async def _queues(match: Match) -> Parts:
    scale = backlog.QUICK if match.stage.is_quick else 1
    async with open_system() as system:
        reader = await system.spawn(Child("reader", backlog.Reader))
        other = await system.spawn(Child("other", Counter))
        long, queue = backlog.LONG // scale, backlog.QUEUE // scale
        drain = partial(backlog.drain, reader, long)
        yield await match.seconds("backlog_drain", drain, long, f"a queue of {long:,}, each message")
        caller = partial(backlog.ask_around, reader, other, queue)
        yield await match.seconds(
            "backlog_caller", caller, queue, f"gen_server:call with {queue:,} messages waiting"
        )


async def _crowds(match: Match) -> Parts:
    if not IS_POSSIBLE:
        return
    count = QUICK_CROWD if match.stage.is_quick else CROWD
    crowd = look(match.stage.backend, "actors", count)
    theirs = f"each of {count:,} idle gen_servers of one supervisor"
    for name, value, unit in (("crowd_bytes", crowd.bytes, "B"), ("crowd_spawn", crowd.start, "us")):
        yield match.once(name, Measured(value=value), count, unit, theirs)
