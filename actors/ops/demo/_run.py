"""One run of the demo, from the start of the fakes to the last figures."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from random import Random

import anyio
import msgspec

from ....supervisors import Settings, System, open_system
from ...fakes import open_fakes
from ...jobs import store_from_url
from ._display import Display
from ._figures import Observer, job_counts
from ._jobs import JobBoard, Order, submit
from ._output import Shelf
from ._pace import Pace, fault_plan, outage
from ._report import Report, StepCounts
from ._scenes import Scene
from ._studio import PROVIDERS, job_name, open_studio, provider_tree

_REFRESH_SECONDS = 0.25
_READING_SECONDS = 5.0
"""For a last look at the store, when everything else has ended."""


class RunPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What to run."""

    scenes: list[Scene]
    """What to draw; not looked at by a run that goes on with what its store has."""
    store: str
    """Where the jobs are kept: a file, or a URL."""
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
        self.plan = plan
        self._shelf = shelf
        self._display = display
        self._rng = Random(plan.seed)
        self._began = 0.0
        self.board = JobBoard(store_from_url(plan.store))
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
        """Whether every comic ended, no message was lost, and nothing was paid for twice."""
        report = self.report
        is_lost = report is None or report.jobs.lost > 0 or report.steps.again > 0 or self.unaccounted > 0
        return self.is_complete and not is_lost

    async def main(self) -> None:
        """Start everything, make the comics, stop everything in order."""
        self._began = anyio.current_time()
        # Opened apart from the worker's, so that it can be read when the worker has ended.
        async with self.board.store.opened():
            is_new = not await self.board.take_over()
            try:
                await self._make(is_new=is_new)
            finally:
                with anyio.move_on_after(_READING_SECONDS, shield=True):
                    await self.board.read()
                self._count_jobs()

    async def _make(self, *, is_new: bool) -> None:
        plan = self.plan
        comics = len(plan.scenes) if is_new else len(self.board.unfinished)
        faults = fault_plan(plan.pace, rate=plan.fault_rate, seed=plan.seed)
        async with (
            open_fakes(PROVIDERS, plan=faults, outages=[outage(comics)]) as fakes,
            open_system(
                settings=plan.settings, shutdown_timeout=plan.settings.shutdown_timeout, rng=self._rng
            ) as system,
        ):
            with self._observed(system) as observer:
                await system.spawn(provider_tree(fakes, plan.pace, self._rng))
                queue, make_comic = await open_studio(
                    system, store_from_url(plan.store), self.board, plan.pace
                )
                if is_new:
                    self.board.submitted(await submit(queue, make_comic, self._orders()))
                async with anyio.create_task_group() as group:
                    group.start_soon(self._show, observer, group.cancel_scope)
                    await self.board.wait_all()
                    self.is_complete = True
                    group.cancel_scope.cancel()
                self._display.show(observer.snapshot())

    def _orders(self) -> list[Order]:
        scenes, folder = self.plan.scenes, str(self._shelf.folder.resolve())
        return [Order(job_name(scene, len(scenes)), scene, folder) for scene in scenes]

    @contextmanager
    def _observed(self, system: System) -> Generator[Observer]:
        """Listen and, however the block ends, take the figures while the system is still there."""
        observer = Observer(system, self.board, began=self._began)

        def hear(event: str, fields: Mapping[str, object]) -> None:
            line = observer.hear(event, fields)
            if line is not None:
                self._display.say(line)

        end_listening = system.events.listen(hear)
        try:
            yield observer
        finally:
            end_listening()
            self.report = self._figures(observer)
            self.metrics = observer.metrics()
            self.unaccounted = observer.unaccounted()

    def _figures(self, observer: Observer) -> Report:
        return Report(
            seed=self.plan.seed,
            backend=self.plan.backend,
            seconds=round(observer.seconds, 3),
            jobs=job_counts(self.board, is_interrupted=not self.is_complete),
            steps=self._steps(),
            providers=observer.providers(),
            restarts=observer.restarts(),
            dead_letters=observer.dead_letters(),
        )

    def _count_jobs(self) -> None:
        """Count again what ended, and what was paid for, while the worker came to its end."""
        if self.report is not None:
            jobs = job_counts(self.board, is_interrupted=not self.is_complete)
            self.report = msgspec.structs.replace(self.report, jobs=jobs, steps=self._steps())

    def _steps(self) -> StepCounts:
        board = self.board
        return StepCounts(before=len(board.before), now=len(board.paid), again=board.paid_again)

    async def _show(self, observer: Observer, work: anyio.CancelScope) -> None:
        while not self._display.is_broken:
            await self.board.look()
            self._display.show(observer.snapshot())
            await anyio.sleep(_REFRESH_SECONDS)
        # Who stops reading, as `| head` does, wants no more of it.
        work.cancel()
