"""The books of a crash test: what was promised, done and stored, and whether that is as it should be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from relight.actors.jobs import Event

from .victims import Line


@dataclass
class Ledger:
    """What is known of all jobs. Lines and events are entered in the order in which things happened."""

    offered: set[str] = field(default_factory=set[str])
    """Somebody began to enqueue them."""
    acknowledged: set[str] = field(default_factory=set[str])
    """They were stored, as far as who enqueued them knows."""
    ended: Counter[str] = field(default_factory=Counter[str])
    """How often each ended well."""
    given_up: set[str] = field(default_factory=set[str])
    """They ended otherwise."""
    fences: dict[str, int] = field(default_factory=dict[str, int])
    """The last fence of each."""
    recorded: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    """Steps that are stored."""
    done: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    """How often each step was carried out."""
    again: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """Recorded steps that were carried out again."""
    fences_back: list[str] = field(default_factory=list[str])
    """Jobs handed out under a fence that was not above the last one."""
    refused: int = 0
    """Writes with an old fence."""
    rescued: int = 0
    """Jobs taken from workers that died."""

    def enter(self, lines: Iterable[Line]) -> None:
        """Enter what workers wrote down."""
        for line in lines:
            step = (line.job, line.step)
            match line.what:
                case "offered":
                    self.offered.add(line.job)
                case "acknowledged":
                    self.acknowledged.add(line.job)
                case "claimed":
                    if line.fence <= self.fences.get(line.job, -1):
                        self.fences_back.append(line.job)
                    self.fences[line.job] = line.fence
                case "done":
                    self.done[step] += 1
                    if step in self.recorded:
                        self.again.append(step)
                case "recorded":
                    self.recorded.add(step)
                case "refused":
                    self.refused += 1
                case _:
                    pass

    def enter_events(self, events: Iterable[Event]) -> None:
        """Enter what the store tells, while no worker runs: what one stored and could not write down."""
        for event in events:
            match event.kind:
                case "step":
                    self.recorded.add((event.job, str(event.data["name"])))
                case "succeeded":
                    self.ended[event.job] += 1
                case "dead" | "cancelled" | "discarded":
                    self.given_up.add(event.job)
                case "rescued":
                    self.rescued += 1
                case _:
                    pass

    def faults(self) -> list[str]:
        """Say what is wrong."""
        lost = self.acknowledged - set(self.ended) - self.given_up
        unknown = set(self.ended) - self.offered
        twice = [job for job, times in self.ended.items() if times > 1]
        undone = self.recorded - set(self.done)
        found = {
            "acknowledged jobs never ended": len(lost),
            "jobs were given up": len(self.given_up),
            "jobs ended that nobody enqueued": len(unknown),
            "jobs ended more than once": len(twice),
            "recorded steps were carried out again": len(self.again),
            "steps are recorded that nobody carried out": len(undone),
            "fences went back": len(self.fences_back),
        }
        return [f"{count} {what}" for what, count in found.items() if count]

    def figures(self) -> str:
        """Say how much there was, in a line."""
        repeats = sum(self.done.values()) - len(self.done)
        return (
            f"{len(self.acknowledged)} jobs acknowledged, {len(self.ended)} ended; {len(self.recorded)} "
            f"recorded steps, {len(self.again)} of them carried out again; {repeats} others carried out "
            f"again; {self.rescued} rescues, {len(self.fences_back)} fences back"
        )
