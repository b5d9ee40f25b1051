"""The studio: three supervised services, and an agent actor for each comic."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import Final

import anyio
import anyio.lowlevel

from ....runtime import Actor, RelightError
from ....supervisors import Child, Supervisor, SupervisorRef, System
from ...fakes import Fakes
from ...providers import Anthropic, OpenAI, RunPod
from ._comic import ComicAgent, Crew, make_comic
from ._jobs import JobBoard, JobEnd
from ._output import Shelf
from ._pace import Pace
from ._scenes import Scene

DESKS: Final = 32
"""Comics in work at once."""

PROVIDERS = ("openai", "anthropic", "runpod")
"""Who makes the comics."""

_ENDPOINT = "comics"
_GPU_USD_PER_SECOND = 0.00034
# A handler gets this long to tell RunPod that a job is no longer wanted.
_SERVICE_SHUTDOWN = 2.0
# The board gives each job its deadline; this only has to be later.
_GRACE = 60.0


def provider_tree(fakes: Fakes, pace: Pace, rng: Random) -> Supervisor:
    """Describe the three services, pointed at the fakes."""
    starts: dict[str, Callable[[], Actor]] = {
        "openai": partial(OpenAI, fakes.key("openai"), base_url=f"{fakes.url('openai')}/v1"),
        "anthropic": partial(Anthropic, fakes.key("anthropic"), base_url=fakes.url("anthropic")),
        "runpod": partial(
            RunPod,
            _ENDPOINT,
            fakes.key("runpod"),
            base_url=f"{fakes.url('runpod')}/v2",
            polling=pace.polling,
            submits=pace.submits,
            usd_per_second=_GPU_USD_PER_SECOND,
            rng=rng,
        ),
    }
    children = [Child(name, start, shutdown=_SERVICE_SHUTDOWN) for name, start in starts.items()]
    return Supervisor("providers", children=children)


class Studio:
    """Make comics: an actor for each, a few dozen at a time."""

    def __init__(self, agents: SupervisorRef, crew: Crew, board: JobBoard, shelf: Shelf) -> None:
        self._agents = agents
        self._crew = crew
        self._board = board
        self._shelf = shelf
        self._desks = anyio.Semaphore(DESKS)

    @classmethod
    async def open(cls, system: System, board: JobBoard, shelf: Shelf) -> Studio:
        """Start the studio's supervisor; the services have to run."""
        crew = Crew(*(system.get(f"providers/{name}") for name in ("anthropic", "openai", "runpod")))
        agents = await system.spawn(Supervisor("studio"))
        return cls(agents, crew, board, shelf)

    async def make_all(self, scenes: Sequence[Scene], *, deadline: float) -> None:
        """Make a comic of each scene; returns when all have ended.

        Args:
            scenes: In the order to begin with them.
            deadline: Seconds a comic may take, from when it gets a desk.
        """
        jobs = {job_name(scene, len(scenes)): scene for scene in scenes}
        for job in jobs:
            self._board.submit(job)
        async with anyio.create_task_group() as group:
            for job, scene in jobs.items():
                await self._desks.acquire()
                group.start_soon(self._make, job, scene, deadline)

    async def _make(self, job: str, scene: Scene, deadline: float) -> JobEnd:
        try:
            # An agent has nothing to close, its steps are on the board: a stop need not wait for it.
            child = Child(job, self._agent, restart="temporary", shutdown=0.0)
            agent = await self._agents.start_child(child)
            end = await make_comic(agent, job, scene, timeout=deadline + _GRACE)
            await agent.stop()
        except RelightError as error:
            # When everything is being stopped, the comic is unfinished and not dead.
            await anyio.lowlevel.checkpoint()
            # The agent itself is gone or silent: what it was to make must not get lost with it.
            return await self._board.bury(job, " ".join(str(error).split()))
        finally:
            self._desks.release()
        return end

    def _agent(self) -> ComicAgent:
        return ComicAgent(self._board, self._crew, self._shelf)


def job_name(scene: Scene, comics: int) -> str:
    """Name a comic so that a folder of them sorts well: ``comic-007``."""
    return f"comic-{scene.number:0{max(3, len(str(comics)))}}"
