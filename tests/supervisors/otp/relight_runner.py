"""relight's side: run scenarios in virtual time and write down what happened, as the Erlang side does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from logging import CRITICAL
from typing import Literal

import anyio
import structlog
from structlog.typing import FilteringBoundLogger

from relight import DynamicSupervisor
from relight.runtime import (
    ActorCrashedError,
    ActorStoppedError,
    Cell,
    ExitKind,
    ExitReason,
    MailboxClosedError,
    Monitor,
    Ref,
    StartError,
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
    Supervisor,
    SupervisorRef,
    System,
    open_system,
)
from relight.testing import run_virtual, settle
from tests.supervisors.otp.actors import Diary, Leave, is_ignored, spec_of
from tests.supervisors.otp.scenarios import Call, Dyn, Event, Exit, Held, Node, Scenario, Start, Sup, Worker
from tests.supervisors.otp.terms import Term

_SILENT: FilteringBoundLogger = structlog.wrap_logger(
    structlog.ReturnLogger(), wrapper_class=structlog.make_filtering_bound_logger(CRITICAL)
)
Backend = Literal["trio", "asyncio"]
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


class Run:
    """One scenario in one system."""

    def __init__(self, system: System, scenario: Scenario) -> None:
        self.system = system
        self.scenario = scenario
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
        await settle()
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
            self.system.kill(cell)
        else:
            cell.tell_nowait(Leave(event.reason))
        await settle()
        return "ok"

    async def _held(self, event: Held) -> list[Term]:
        cell = self.system.find(self.paths.get(event.sup, "nobody"))
        if not isinstance(cell, Cell):
            return ["dead" for _ in event.steps]
        results: list[Term] = ["hang" for _ in event.steps]

        async def ask(number: int, call: Call) -> None:
            results[number] = await self._call(call)

        async with anyio.create_task_group() as group:
            self.system.suspend(cell)
            for number, step in enumerate(event.steps):
                if isinstance(step, Exit):
                    results[number] = await self._exit(step)
                else:
                    group.start_soon(ask, number, step)
                    await settle()
            self.system.resume(cell)
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
    return "ignored" if is_ignored(ref) else "ok"


def _state(ref: Ref | None, *, restarting: bool) -> str:
    if restarting:
        return "restarting"
    return "undefined" if ref is None else "up"


def _end(reason: ExitReason) -> str:
    return {ExitKind.CRASHED: "crash"}.get(reason.kind, str(reason.kind))


async def run_one(scenario: Scenario) -> Term:
    """Run one scenario in a system of its own."""
    try:
        async with open_system(shutdown_timeout=UNBOUND) as system:
            system.events._logger = _SILENT  # thousands of crashes are meant
            return await Run(system, scenario).trace()
    except Exception as error:  # noqa: BLE001 - what no scenario may do is a mismatch to be told
        return f"raised {error!r}"


def run_scenarios(scenarios: Sequence[Scenario], backend: Backend = "trio") -> list[Term]:
    """Run scenarios one after the other in one event loop and return their traces."""

    async def run_all() -> list[Term]:
        return [await run_one(scenario) for scenario in scenarios]

    return run_virtual(run_all, backend=backend)
