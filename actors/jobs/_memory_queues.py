"""The queues of the store in memory: which are paused, and how many of their jobs may run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import msgspec

from ._memory_jobs import MemoryJobs
from ._records import COUNTED, Job, JobState, QueueState

_replace = msgspec.structs.replace


class MemoryQueues:
    """Pauses and limits. What is in a queue, and what runs, is counted over its jobs, not stored.

    Args:
        jobs: Of all queues.
    """

    def __init__(self, jobs: MemoryJobs) -> None:
        self._jobs = jobs
        self._set: dict[str, QueueState] = {}
        """Those that somebody has paused, resumed or limited, or that had a worker."""

    def know(self, name: str) -> None:
        """Know a queue from now on, whatever jobs it has."""
        self._set.setdefault(name, self._state(name))

    def set(self, name: str, *, paused: bool | None, max_running: int | None) -> None:
        """Pause, resume or limit a queue; see `Store.set_queue`."""
        state = self._state(name)
        if paused is not None:
            state = _replace(state, is_paused=paused)
        if max_running is not None:
            state = _replace(state, max_running=max_running or None)
        self._set[name] = state

    def has_room(self, job: Job) -> bool:
        """Tell whether a queued job may begin now, as far as its queue and its key are concerned."""
        queue = self._state(job.queue)
        running = self._jobs.in_state(JobState.RUNNING, queues=(job.queue,))
        if queue.is_paused or (queue.max_running is not None and len(running) >= queue.max_running):
            return False
        if job.limit_key is None:
            return True
        return sum(1 for other in running if other.limit_key == job.limit_key) < job.limit

    def states(self, workers: Mapping[str, int], *, ended: bool) -> list[QueueState]:
        """Look at the queues, by name; see `Store.queues`."""
        counted = tuple(JobState) if ended else COUNTED
        jobs = self._jobs.in_state(*counted)
        counts = Counter((job.queue, job.state) for job in jobs)
        return [
            _replace(
                self._state(name),
                counts={state: counts[name, state] for state in counted},
                oldest_at=self._oldest(name),
                workers=workers.get(name, 0),
            )
            for name in sorted({job.queue for job in jobs} | set(self._set))
        ]

    def _state(self, name: str) -> QueueState:
        return self._set.get(name) or QueueState(name=name, is_paused=False, max_running=None, counts={})

    def _oldest(self, name: str) -> float | None:
        queued = self._jobs.in_state(JobState.QUEUED, queues=(name,))
        return min((job.run_at for job in queued), default=None)
