"""relight's side: run scenarios in virtual time and write down what happened, as the Erlang side does."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from logging import CRITICAL
from typing import NoReturn

import anyio
import structlog
from structlog.typing import FilteringBoundLogger
from trio.testing import MockClock

from relight import DynamicSupervisor, Ignore
from relight.runtime import (
    KILLED,
    SHUTDOWN,
    Actor,
    ActorCrashedError,
    ActorState,
    ActorStoppedError,
    Cell,
    ExitKind,
    ExitReason,
    MailboxClosedError,
    Message,
    Monitor,
    Ref,
    StartError,
    handles,
)
from relight.runtime import (
    Exit as ExitRequest,
)
from relight.supervisors import (
    AlreadyPresentError,
    AlreadyStartedError,
    Child,
    ChildNotFoundError,
    ChildRestartingError,
    ChildRunningError,
    ChildSpecError,
    DynamicSupervisorRef,
    Restart,
    Supervisor,
    SupervisorRef,
    System,
    open_system,
)
from tests.runtime.clocks import JumpingLoop
from tests.supervisors.otp.scenarios import Call, Dyn, Event, Exit, Held, Node, Scenario, Start, Sup, Worker
from tests.supervisors.otp.terms import Term

_SILENT: FilteringBoundLogger = structlog.wrap_logger(
    structlog.ReturnLogger(), wrapper_class=structlog.make_filtering_bound_logger(CRITICAL)
)
PERIOD = 3600.0
PATIENCE = 600.0
"""Seconds of virtual time after which an event counts as hanging."""
UNBOUND = 1_000_000.0

_ANSWERS: dict[type[Exception], str] = {
    AlreadyPresentError: "already_present",
    AlreadyStartedError: "already_started",
    ChildNotFoundError: "not_found",
    ChildRestartingError: "restarting",
    ChildRunningError: "running",
    ChildSpecError: "bad_spec",
    StartError: "failed",
    MailboxClosedError: "dead",
    ActorStoppedError: "dead",
    ActorCrashedError: "crashed",
}


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
                partial(make_actor, diary, "started"),
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


class Run:
    """One scenario in one system."""

    def __init__(self, system: System, scenario: Scenario, settle: Callable[[], Awaitable[None]]) -> None:
        self.system = system
        self.scenario = scenario
        self.settle = settle
        self.diary = Diary()
        self.dynamic: set[str] = set()
        self.paths: dict[str, str] = {}
        self.watched: dict[str, Monitor] = {}
        self._place(scenario.tree, "")

    def _place(self, node: Node, above: str) -> None:
        if isinstance(node, Worker):
            return
        path = self.paths[node.name] = f"{above}{node.name}"
        if isinstance(node, Dyn):
            self.dynamic.add(path)
            return
        for child in node.children:
            self._place(child, f"{path}/")

    async def trace(self) -> list[Term]:
        """Run it."""
        steps: list[Term] = [await self._observed(self._start)]
        for event in self.scenario.events:
            steps.append(await self._observed(partial(self._perform, event)))  # noqa: PERF401
        steps.append(await self._observed(self._stop))
        return steps

    async def _observed(self, act: Callable[[], Awaitable[list[Term]]]) -> Term:
        results: list[Term] = ["hang"]
        with anyio.move_on_after(PATIENCE):
            results = await act()
        await self.settle()
        log = self.diary.take()
        ends = sorted(self._ends(), key=repr)
        snapshot: list[Term] = []
        with anyio.move_on_after(PATIENCE):
            snapshot = await self._snapshot(self.scenario.tree.name)
        self._watch(snapshot)
        return (results, log, ends, snapshot)

    # --- what happens ------------------------------------------------------------------------------

    async def _start(self) -> list[Term]:
        spec = spec_of(self.scenario.tree, self.diary)
        try:
            if isinstance(spec, DynamicSupervisor):
                top = (await self.system.spawn(spec)).ref
            else:
                assert isinstance(spec, Supervisor)
                top = (await self.system.spawn(spec)).ref
        except StartError:
            return ["failed"]
        return [_started(top)]

    async def _stop(self) -> list[Term]:
        handle = self._handle(self.scenario.tree.name)
        if handle is None:
            return ["dead"]
        await handle.stop()
        return ["ok"]

    async def _perform(self, event: Event) -> list[Term]:
        match event:
            case Exit():
                return [await self._exit(event)]
            case Call():
                return [await self._call(event)]
            case Held():
                return await self._held(event)

    async def _exit(self, event: Exit) -> Term:
        cell = self.diary.refs.get(event.name)
        if not isinstance(cell, Cell) or cell.active is None:
            return "dead"
        if event.reason == "kill":
            cell.kill(KILLED, final=False)
        else:
            cell.tell_nowait(Leave(event.reason))
        await self.settle()
        return "ok"

    async def _held(self, event: Held) -> list[Term]:
        cell = self.system.find(self.paths.get(event.sup, "nobody"))
        if not isinstance(cell, Cell):
            return ["dead" for _ in event.steps]
        results: list[Term] = ["hang" for _ in event.steps]

        async def ask(number: int, call: Call) -> None:
            results[number] = await self._call(call)

        async with anyio.create_task_group() as group:
            cell.hold(ActorState.SUSPENDED)
            for number, step in enumerate(event.steps):
                if isinstance(step, Exit):
                    results[number] = await self._exit(step)
                else:
                    group.start_soon(ask, number, step)
                    await self.settle()
            cell.resume()
        return results

    async def _call(self, call: Call) -> Term:
        handle = self._handle(call.sup)
        if handle is None:
            return "dead"
        try:
            return await self._ask(handle, call)
        except tuple(_ANSWERS) as error:
            return next(answer for kind, answer in _ANSWERS.items() if isinstance(error, kind))

    async def _ask(self, handle: SupervisorRef | DynamicSupervisorRef, call: Call) -> Term:
        argument = call.argument
        match call.verb:
            case "which_children":
                return await self._which(handle)
            case "count_children" | "count_dynamic":
                return await self._count(handle)
            case "start_dynamic":
                assert isinstance(handle, DynamicSupervisorRef)
                assert isinstance(argument, Start)
                return _started(await handle.start(argument.name, argument.outcomes))
            case "terminate_dynamic":
                assert isinstance(handle, DynamicSupervisorRef)
                ref = self.diary.refs.get(str(argument))
                if ref is None:
                    return "not_found"
                await handle.terminate_child(ref)
                return "ok"
            case _:
                assert isinstance(handle, SupervisorRef)
                return await self._administer(handle, call)

    async def _administer(self, handle: SupervisorRef, call: Call) -> Term:
        argument = call.argument
        if call.verb == "start_child":
            assert isinstance(argument, Worker | Sup | Dyn)
            self._place(argument, f"{self.paths[call.sup]}/")
            spec = spec_of(argument, self.diary)
            if isinstance(spec, Child):
                return _started(await handle.start_child(spec))
            if isinstance(spec, DynamicSupervisor):
                return _started((await handle.start_child(spec)).ref)
            return _started((await handle.start_child(spec)).ref)
        assert isinstance(argument, str)
        match call.verb:
            case "terminate_child":
                await handle.terminate_child(argument)
            case "delete_child":
                await handle.delete_child(argument)
            case _:
                return _started(await handle.restart_child(argument))
        return "ok"

    # --- what is seen ------------------------------------------------------------------------------

    def _handle(self, name: str) -> SupervisorRef | DynamicSupervisorRef | None:
        path = self.paths.get(name)
        cell = None if path is None else self.system.find(path)
        if not isinstance(cell, Cell):
            return None
        return DynamicSupervisorRef(cell) if path in self.dynamic else SupervisorRef(cell)

    async def _which(self, handle: SupervisorRef | DynamicSupervisorRef) -> list[Term]:
        children = await handle.which_children()
        if isinstance(handle, SupervisorRef):
            return [(child.id, _state(child.ref, restarting=child.is_restarting)) for child in children]
        seen: list[tuple[str, str]] = []
        for child in children:
            if child.is_restarting or child.ref is None:
                seen.append(("any", _state(child.ref, restarting=child.is_restarting)))
            else:
                seen.append((self.diary.names.get(child.ref, child.id), "up"))
        return [*sorted(seen)]

    async def _count(self, handle: SupervisorRef | DynamicSupervisorRef) -> list[Term]:
        counts = await handle.count_children()
        specs = counts.specs if isinstance(handle, SupervisorRef) else 1
        return [specs, counts.active, counts.supervisors, counts.workers]

    async def _snapshot(self, name: str) -> list[Term]:
        """Look at every supervisor of the subtree that runs, top first, as the Erlang side walks."""
        handle = self._handle(name)
        if handle is None:
            return []
        children = await handle.which_children()
        seen: list[Term] = [(name, await self._which(handle), await self._count(handle))]
        for child in children:
            if child.is_supervisor and child.ref is not None:
                seen += await self._snapshot(child.id)
        return seen

    def _watch(self, snapshot: list[Term]) -> None:
        for entry in snapshot:
            assert isinstance(entry, tuple)
            name = str(entry[0])
            ref = self.system.find(self.paths[name])
            if ref is not None and name not in self.watched:
                self.watched[name] = self.system.monitor(ref)

    def _ends(self) -> list[Term]:
        over = [(name, monitor.down) for name, monitor in self.watched.items() if monitor.down is not None]
        for name, _ in over:
            del self.watched[name]
        return [(name, _end(down.reason)) for name, down in over]


def _started(ref: Ref) -> str:
    assert isinstance(ref, Cell)
    return "ok" if ref.incarnation else "ignored"


def _state(ref: Ref | None, *, restarting: bool) -> str:
    if restarting:
        return "restarting"
    return "undefined" if ref is None else "up"


def _end(reason: ExitReason) -> str:
    return {ExitKind.CRASHED: "crash"}.get(reason.kind, str(reason.kind))


async def _trio_settle() -> None:
    await anyio.wait_all_tasks_blocked()


async def _asyncio_settle() -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, JumpingLoop)
    await loop.settle()


def settling(backend: str) -> Callable[[], Awaitable[None]]:
    """Return what waits until nothing is left to do at this moment; on asyncio in a `JumpingLoop`."""
    return _trio_settle if backend == "trio" else _asyncio_settle


async def run_one(scenario: Scenario, settle: Callable[[], Awaitable[None]]) -> Term:
    """Run one scenario in a system of its own."""
    try:
        async with open_system(shutdown_timeout=UNBOUND) as system:
            system.events._logger = _SILENT  # thousands of crashes are meant
            return await Run(system, scenario, settle).trace()
    except Exception as error:  # noqa: BLE001 - what no scenario may do is a mismatch to be told
        return f"raised {error!r}"


def run_scenarios(scenarios: Sequence[Scenario], backend: str = "trio") -> list[Term]:
    """Run scenarios one after the other in one event loop and return their traces."""

    options: dict[str, object] = {"loop_factory": JumpingLoop}
    if backend == "trio":
        options = {"clock": MockClock(autojump_threshold=0)}

    async def run_all() -> list[Term]:
        return [await run_one(scenario, settling(backend)) for scenario in scenarios]

    return anyio.run(run_all, backend=backend, backend_options=options)


def in_order(trace: Term) -> Term:
    """Sort what has no order in a trace: the stops of a dynamic supervisor's children, which are parallel."""
    assert isinstance(trace, list)
    return [_step_in_order(step) for step in trace]


_DYNAMIC = re.compile(r"(d\d*)_\d+")


def _step_in_order(step: Term) -> Term:
    assert isinstance(step, tuple)
    results, log, ends, snapshot = step
    assert isinstance(log, list)
    ordered: list[Term] = []
    run: list[Term] = []
    for line in log:
        if run and _group(line) != _group(run[0]):
            ordered += sorted(run, key=repr)
            run = []
        (run if _group(line) else ordered).append(line)
    return (results, [*ordered, *sorted(run, key=repr)], ends, snapshot)


def _group(line: Term) -> str:
    """Name the dynamic supervisor that stops its children with this line; else nothing."""
    if not (isinstance(line, tuple) and line[0] == "stop" and line[2] == "shutdown"):
        return ""
    found = _DYNAMIC.fullmatch(str(line[1]))
    return found.group(1) if found else ""
