"""One run of the demo, from the start of the fakes to the last figures."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from random import Random

import anyio
import msgspec

from ....supervisors import Settings, System, open_system
from ...fakes import open_fakes
from ._display import Display
from ._figures import Observer, job_counts
from ._jobs import JobBoard
from ._output import Shelf
from ._pace import Pace, fault_plan, outage
from ._report import Report
from ._scenes import Scene
from ._steps import MemorySteps
from ._studio import PROVIDERS, Studio, provider_tree

_REFRESH_SECONDS = 0.25


class RunPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What to run."""

    scenes: list[Scene]
    fault_rate: float
    seed: int
    backend: str
    pace: Pace
    settings: Settings


class DemoRun:
    """Make the comics. What is known when it ends, or is ended, stays in it.

    Args:
        plan: What to run.
        shelf: Where the comics go.
        display: Where progress is shown.
    """

    def __init__(self, plan: RunPlan, shelf: Shelf, display: Display) -> None:
        self._plan = plan
        self._shelf = shelf
        self._display = display
        self._rng = Random(plan.seed)
        self._began = 0.0
        self.board = JobBoard(MemorySteps(), plan.pace.attempts, rng=self._rng)
        """The jobs, also those that have not ended."""
        self.report: Report | None = None
        """The figures; None if the system never ran."""
        self.metrics = ""
        """The last scrape, taken in the same moment."""
        self.unaccounted = 0
        """Messages whose end nobody knows."""
        self.is_complete = False
        """Whether every comic was seen to its end."""

    @property
    def is_whole(self) -> bool:
        """Whether every comic ended and no message was lost."""
        is_lost = self.report is None or self.report.jobs.lost > 0 or self.unaccounted > 0
        return self.is_complete and not is_lost

    async def main(self) -> None:
        """Start everything, make the comics, stop everything in order."""
        plan = self._plan
        self._began = anyio.current_time()
        faults = fault_plan(plan.pace, rate=plan.fault_rate, seed=plan.seed)
        async with (
            open_fakes(PROVIDERS, plan=faults, outages=[outage(len(plan.scenes))]) as fakes,
            open_system(
                settings=plan.settings, shutdown_timeout=plan.settings.shutdown_timeout, rng=self._rng
            ) as system,
        ):
            with self._observed(system) as observer:
                await system.spawn(provider_tree(fakes, plan.pace, self._rng))
                studio = await Studio.open(system, self.board, self._shelf)
                async with anyio.create_task_group() as group:
                    group.start_soon(self._show, observer, group.cancel_scope)
                    await studio.make_all(plan.scenes, deadline=plan.pace.attempts.deadline)
                    self.is_complete = True
                    group.cancel_scope.cancel()
                self._display.show(observer.snapshot())

    @contextmanager
    def _observed(self, system: System) -> Generator[Observer]:
        """Listen and, however the block ends, take the figures while the system is still there."""
        observer = Observer(system, self.board, comics=len(self._plan.scenes), began=self._began)

        def hear(event: str, fields: Mapping[str, object]) -> None:
            line = observer.hear(event, fields)
            if line is not None:
                self._display.say(line)

        end_listening = system.events.listen(hear)
        try:
            yield observer
        finally:
            end_listening()
            self.report = self._final(observer)
            self.metrics = observer.metrics()
            self.unaccounted = observer.unaccounted()

    def _final(self, observer: Observer) -> Report:
        return Report(
            seed=self._plan.seed,
            backend=self._plan.backend,
            seconds=round(observer.seconds, 3),
            jobs=job_counts(self.board, is_interrupted=not self.is_complete),
            providers=observer.providers(),
            restarts=observer.restarts(),
            dead_letters=observer.dead_letters(),
        )

    async def _show(self, observer: Observer, work: anyio.CancelScope) -> None:
        while not self._display.is_broken:
            self._display.show(observer.snapshot())
            await anyio.sleep(_REFRESH_SECONDS)
        # Who stops reading, as `| head` does, wants no more of it.
        work.cancel()
