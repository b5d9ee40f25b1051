"""The studio: the tree of the agents, and a worker that makes comics with them."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from relight import Agent, Child, Pool, Supervisor, open_system
from relight.actors.jobs import Job, JobDetail, JobFunction, Queue, Worker
from relight.fakes import Fakes

from ..common.jobs import ended, take_up
from ..common.options import Options, read_settings
from ..common.report import Outcome, outcome_of
from ..common.services import service_tree
from ..common.telling import telling
from .comic import Comic, PageOrder, declare_comics
from .painter import ImagePainter, Painter
from .scene_splitter import SceneSplitter
from .script_writer import ScriptWriter
from .storekeeper import Page, Storekeeper

SERVICES = ("anthropic", "openai", "runpod", "storage", "database")


def agent_tree(options: Options) -> Supervisor:
    """Describe the agents. One that a service let down tells its asker, and takes the next order."""
    painter = Painter if options.painter == "runpod" else ImagePainter
    return Supervisor(
        "agents",
        children=[
            Child("scene-splitter", SceneSplitter),
            _pool("script-writers", ScriptWriter, 4),
            _pool("painters", painter, 8),
            Child("storekeeper", Storekeeper),
        ],
    )


def _pool(name: str, start: Callable[[], Agent], size: int) -> Pool:
    member = Child(name.removesuffix("s"), start)
    return Pool(name, member=member, size=size, route="least_loaded")


async def make_comic(
    queue: Queue, function: JobFunction[Comic, list[str]], options: Options
) -> list[JobDetail]:
    """Have a comic made. Returns what is known of its job, and of its pages', when all have ended."""
    order = Comic(options.name, options.text.read_text(), options.count)
    comic = await ended(queue, await take_up(queue, function, order))
    pages = msgspec.json.decode(comic.job.result or b"[]", type=list[str])
    return [comic, *[await ended(queue, page) for page in pages]]


def name_of(job: Job) -> str:
    """Say what a job makes."""
    return f"page {_order(job).number}" if job.kind == "make_page" else "comic"


def made_by(job: Job) -> str | None:
    """Say what a job has made; None: of a comic its pages say it."""
    if job.kind != "make_page" or job.result is None:
        return None
    return f"{len(msgspec.json.decode(job.result, type=Page).panels)} panels, stored"


def _order(job: Job) -> PageOrder:
    return msgspec.json.decode(job.args, type=tuple[PageOrder])[0]


async def run(fakes: Fakes, options: Options, say: Callable[[str], None] = print) -> Outcome:
    """Open a system with the services, the agents and a worker, and have a comic made."""
    began = time.time()
    queue = Queue(options.find_store(), "comics")
    function = declare_comics(queue)
    async with open_system(settings=read_settings(__file__)) as system:
        await system.spawn(service_tree(fakes, *SERVICES))
        await system.spawn(agent_tree(options))
        await Worker(queue, lease=options.lease, drain=0.0).start(system)
        async with telling(queue, name_of, say):
            jobs = await make_comic(queue, function, options)
        return outcome_of(jobs, name_of, made_by, began=began, services=system.services())
