"""What replays of the golden traces are made of: one supervisor, and what its children write down."""

from __future__ import annotations

import anyio

from relight.runtime import SHUTDOWN, Cell, ExitReason, Ref
from relight.supervisors import Child, DynamicSupervisorRef, Restart, Supervisor, SupervisorRef, System
from relight.testing import settle
from tests.supervisors.otp.actors import Diary, Leave, Scripted, is_ignored
from tests.supervisors.otp.terms import Term


class SlowStop(Scripted):
    """Takes its time to stop."""

    def __init__(self, diary: Diary, name: str, seconds: float) -> None:
        super().__init__(diary, name, "ok")
        self._seconds = seconds

    async def stopping(self, reason: ExitReason) -> None:
        await super().stopping(reason)
        await anyio.sleep(self._seconds)


class World:
    """One system, one supervisor, and what its children write down."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.diary = Diary()
        self.top: SupervisorRef | DynamicSupervisorRef

    def child(
        self,
        name: str,
        *plan: str,
        restart: str = "permanent",
        significant: bool = False,
        shutdown: float = 5.0,
        slow_stop: float = 0.0,
    ) -> Child:
        """Describe a child whose first starts end as planned."""

        def make() -> Scripted:
            if slow_stop:
                return SlowStop(self.diary, name, slow_stop)
            return Scripted(self.diary, name, self.diary.outcome(name, plan))

        return Child(name, make, restart=Restart(restart), significant=significant, shutdown=shutdown)

    async def supervise(self, *children: Child, quiet: bool = True, **options: object) -> SupervisorRef:
        """Start the supervisor, as OTP's default has it: one restart in five seconds."""
        settings: dict[str, object] = {"intensity": 1, "restart": "temporary", **options}
        spec = Supervisor("top", children=list(children), **settings)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        self.top = await self.system.spawn(spec)
        self.monitor = self.system.monitor(self.top.ref)
        if quiet:
            self.diary.take()
        return self.top

    async def exit(self, name: str, reason: str) -> None:
        """Have a child end by itself, or kill it."""
        cell = self.diary.refs[name]
        assert isinstance(cell, Cell)
        if reason == "kill":
            self.system.kill(cell)
        else:
            cell.tell_nowait(Leave(reason))
        await settle()

    async def status(self) -> Term:
        """Tell whether the supervisor lives, with its children, or how it has ended."""
        if self.monitor.down is not None:
            return ("dead", [reason_kind(self.monitor.down.reason)])
        children = await self.top.which_children()
        states = [
            "restarting" if child.is_restarting else "pid" if child.ref else "undefined" for child in children
        ]
        counts = await self.top.count_children()
        listed: Term = [(child.id, state) for child, state in zip(children, states, strict=True)]
        counted: Term = [
            ("specs", counts.specs),
            ("active", counts.active),
            ("supervisors", counts.supervisors),
            ("workers", counts.workers),
        ]
        return ("alive", listed, counted)

    async def stop(self) -> int:
        """Stop the supervisor as one above it would; return the milliseconds that took."""
        began = anyio.current_time()
        await self.top.stop(SHUTDOWN)
        return round((anyio.current_time() - began) * 1000)


def reason_kind(reason: ExitReason) -> Term:
    """Name how a supervisor ended, without the details relight adds."""
    return str(reason.kind)


def started(ref: Ref) -> Term:
    """Write the answer of a start as OTP does."""
    return ("ok", "undefined" if is_ignored(ref) else "pid")
