"""What OTP's documentation says that a supervisor does, as plain lists and numbers. No actor, no waiting."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf

PERIOD = 5.0
BACKOFF = 1.0


@dataclass(eq=False)
class ModelChild:
    """One child as its supervisor knows it."""

    id: str
    restart: str
    significant: bool = False
    state: str = "undefined"
    """``running``, ``restarting`` or ``undefined``."""
    due: float = inf
    """When its restart is tried."""
    turn: int = 0
    """Orders restarts that are due at the same moment."""
    is_counted: bool = True
    """The restart that is due is in the window already."""
    is_held: bool = False
    """It was stopped with its group, and waits to be started with it again."""


@dataclass
class ModelSupervisor:
    """A supervisor of children that start and stop at once."""

    strategy: str
    intensity: int
    auto_shutdown: str
    backoff: bool
    now: float = 0.0
    children: list[ModelChild] = field(default_factory=list[ModelChild])
    trace: list[str] = field(default_factory=list[str])
    faults: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    """What becomes of a child's next starts: ``fail`` or ``ignore``, each once."""
    restarts: list[float] = field(default_factory=list[float])
    is_over: bool = False
    turns: int = 0

    def find(self, id: str) -> ModelChild | None:  # noqa: A002
        return next((child for child in self.children if child.id == id), None)

    def running(self) -> list[ModelChild]:
        return [child for child in self.children if child.state == "running"]

    # --- requests: each returns "ok" or the name of the error -------------------------------------

    def start_child(self, child: ModelChild) -> str:
        if self.is_over:
            return "over"
        if child.significant and (child.restart == "permanent" or self.auto_shutdown == "never"):
            return "ChildSpecError"
        known = self.find(child.id)
        if known is not None:
            return "AlreadyStartedError" if known.state == "running" else "AlreadyPresentError"
        self.children.append(child)
        result = self._start(child)
        if result == "fail":
            self.children.remove(child)
            return "StartError"
        return "ok"

    def terminate_child(self, id: str, word: str = "shutdown") -> str:  # noqa: A002
        child = self.find(id)
        if self.is_over:
            return "over"
        if child is None:
            return "ChildNotFoundError"
        self._stop(child, word)
        if child.restart == "temporary":
            self.children.remove(child)
        self._let_go()
        return "ok"

    def restart_child(self, id: str) -> str:  # noqa: A002
        error = self._why_not_stopped(id)
        if error:
            return error
        child = self.find(id)
        assert child is not None
        return "StartError" if self._start(child) == "fail" else "ok"

    def delete_child(self, id: str) -> str:  # noqa: A002
        error = self._why_not_stopped(id)
        if not error:
            self.children = [child for child in self.children if child.id != id]
        return error or "ok"

    def _why_not_stopped(self, id: str) -> str:  # noqa: A002
        child = self.find(id)
        if self.is_over:
            return "over"
        if child is None:
            return "ChildNotFoundError"
        return {"running": "ChildRunningError", "restarting": "ChildRestartingError"}.get(child.state, "")

    # --- exits ----------------------------------------------------------------------------------------

    def exit(self, child: ModelChild, word: str) -> None:
        self.trace.append(f"stop {child.id} {word}")
        is_abnormal = word in ("boom", "killed")
        if child.restart == "permanent" or (child.restart == "transient" and is_abnormal):
            child.state = "restarting"
            self._restart(child)
            return
        child.state = "undefined"
        if child.restart == "temporary":
            self.children.remove(child)
        others = any(
            other.significant and (other.state != "undefined" or other.is_held) for other in self.children
        )
        if child.significant and (self.auto_shutdown == "any_significant" or not others):
            self._end()

    def _restart(self, child: ModelChild) -> None:
        if not self._count():
            self._give_up(child)
        elif self.backoff:
            self._wait_for_restart(child, is_counted=True)
        else:
            self._restart_group(child)

    def _count(self) -> bool:
        self.restarts.append(self.now)
        return sum(1 for moment in self.restarts if moment >= self.now - PERIOD) <= self.intensity

    def _group(self, child: ModelChild) -> list[ModelChild]:
        if self.strategy == "one_for_one":
            return [child]
        if self.strategy == "one_for_all":
            return list(self.children)
        return self.children[self.children.index(child) :]

    def _stop_others(self, child: ModelChild) -> None:
        for other in reversed(self._group(child)):
            if other is not child:
                is_held = other.is_held or other.state != "undefined"
                self._stop(other, "shutdown")
                other.is_held = is_held
                if other.restart == "temporary":
                    self.children.remove(other)

    def _let_go(self) -> None:
        """Forget of those that no group waits with any more that they were to be started again."""
        waiting = [child for child in self.children if child.state == "restarting"]
        for other in self.children:
            other.is_held = other.is_held and any(other in self._group(child) for child in waiting)

    def _restart_group(self, child: ModelChild) -> None:
        self._stop_others(child)
        child.state, child.due, child.is_held = "undefined", inf, False
        for member in self._group(child):
            if self._start(member) == "fail":
                member.state = "restarting"
                self._try_again(member)
                return

    def _try_again(self, child: ModelChild) -> None:
        if self.backoff:
            self._wait_for_restart(child, is_counted=False)
        elif self._count():  # each try counts
            self._restart_group(child)
        else:
            self._give_up(child)

    def _wait_for_restart(self, child: ModelChild, *, is_counted: bool) -> None:
        self._stop_others(child)
        self.turns += 1
        child.due, child.turn, child.is_counted = self.now + BACKOFF, self.turns, is_counted

    def _give_up(self, child: ModelChild) -> None:
        child.state = "undefined"
        self._end()

    def _end(self) -> None:
        self.is_over = True
        for child in reversed(self.children):
            self._stop(child, "shutdown")
        self.children = []

    # --- time -----------------------------------------------------------------------------------------

    def wait(self, seconds: float) -> None:
        until = self.now + seconds
        while not self.is_over:
            child = min(self.children, key=lambda child: (child.due, child.turn), default=None)
            if child is None or child.due > until:
                break
            self.now, child.due = child.due, inf
            if child.is_counted or self._count():
                self._restart_group(child)
            else:
                self._give_up(child)
        self.now = until

    # --- children -------------------------------------------------------------------------------------

    def _start(self, child: ModelChild) -> str:
        faults = self.faults.get(child.id)
        fault = faults.pop(0) if faults else ""
        word = {"": "start", "fail": "startfail", "ignore": "ignore"}[fault]
        self.trace.append(f"{word} {child.id}")
        child.due, child.is_held = inf, False
        child.state = "undefined" if fault else "running"
        if fault == "ignore" and child.restart == "temporary":
            self.children.remove(child)
        return fault

    def _stop(self, child: ModelChild, word: str) -> None:
        if child.state == "running":
            self.trace.append(f"stop {child.id} {word}")
        child.state, child.due, child.is_held = "undefined", inf, False
