"""The studio: the tree of the agents, and the making of a comic by them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from relight import Agent, Child, Pool, RelightError, Supervisor, System, open_system
from relight.fakes import Fakes

from ..common.checkpoints import Checkpoints
from ..common.options import Options, read_settings
from ..common.report import Outcome, reason, service_lines
from ..common.services import service_tree
from ..common.together import together
from .editor import Editor, MakePage
from .painter import ImagePainter, Painter
from .scene_splitter import Scenes, SceneSplitter, SplitNovel
from .script_writer import ScriptWriter
from .storekeeper import Storekeeper

COMIC = "comic"
SERVICES = ("anthropic", "openai", "runpod", "storage", "database")


def agent_tree(options: Options, done: Checkpoints) -> Supervisor:
    """Describe the agents. One that a service let down tells its asker, and takes the next page."""
    painter = Painter if options.painter == "runpod" else ImagePainter
    return Supervisor(
        "agents",
        children=[
            Child("scene-splitter", SceneSplitter),
            _pool("script-writers", ScriptWriter, 4),
            _pool("painters", painter, 8),
            Child("storekeeper", Storekeeper),
            _pool("editors", partial(Editor, done), 4),
        ],
    )


def _pool(name: str, start: Callable[[], Agent], size: int) -> Pool:
    member = Child(name.removesuffix("s"), start)
    return Pool(name, member=member, size=size, route="least_loaded")


async def make_comic(system: System, options: Options, done: Checkpoints) -> Outcome:
    """Make a comic; a page that can't be made takes no other with it."""
    made: dict[int, str] = {}
    lost: list[str] = []

    async def make_page(number: int, scene: str) -> None:
        order = MakePage(comic=COMIC, number=number, scene=scene)
        try:
            page = await system.get("agents/editors").ask(order)
        except RelightError as error:
            lost.append(f"page {number}: {reason(error)}")
        else:
            made[number] = f"page {number}: {len(page.panels)} panels, stored"

    order = SplitNovel(options.text.read_text(), options.count)
    splitter = system.get("agents/scene-splitter")
    try:
        scenes = (await done.step(f"{COMIC}/scenes", Scenes, splitter.ask, order)).scenes
    except RelightError as error:
        lost.append(f"the scenes: {reason(error)}")
    else:
        await together(make_page(number, scene) for number, scene in enumerate(scenes, start=1))
    return Outcome(
        made=tuple(made[number] for number in sorted(made)),
        lost=tuple(lost),
        usd=done.usd,
        services=service_lines(system.services()),
    )


async def run(fakes: Fakes, options: Options, done: Checkpoints) -> Outcome:
    """Open a system with the services and the agents, and let them work."""
    async with open_system(settings=read_settings(__file__)) as system:
        await system.spawn(service_tree(fakes, *SERVICES))
        await system.spawn(agent_tree(options, done))
        return await make_comic(system, options, done)
