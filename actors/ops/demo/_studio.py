"""The studio: three supervised services, and a worker that makes comics with them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random
from typing import Final

from ....runtime import Actor
from ....supervisors import Child, Supervisor, System
from ...fakes import Fakes
from ...jobs import JobFunction, Queue, Store, Worker
from ...providers import Anthropic, OpenAI, RunPod
from ._comic import Crew, declare_comics
from ._jobs import QUEUE, JobBoard, Order
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


async def open_studio(
    system: System, store: Store, board: JobBoard, pace: Pace
) -> tuple[Queue, JobFunction[Order, str]]:
    """Start a worker that makes comics; the services have to run. Returns where to enqueue them.

    Raises:
        StartError: The store can't be used.
    """
    crew = Crew(*(system.get(f"providers/{name}") for name in ("anthropic", "openai", "runpod")))
    queue = Queue(store, QUEUE)
    make_comic = declare_comics(queue, crew, board, pace)
    await Worker(queue, concurrency=DESKS, lease=pace.lease, drain=0.0, id="studio").start(system)
    return queue, make_comic


def job_name(scene: Scene, comics: int) -> str:
    """Name a comic so that a folder of them sorts well: ``comic-007``."""
    return f"comic-{scene.number:0{max(3, len(str(comics)))}}"
