"""The production: the tree of the seven agents, and who hands what to whom."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from relight import Agent, Child, RelightError, Supervisor, System, open_system
from relight.fakes import Fakes

from ..common.checkpoints import Checkpoints
from ..common.options import Options, read_settings
from ..common.report import Outcome, reason, service_lines
from ..common.services import service_tree
from ..common.together import both
from .critic import Critic, Narration, ReviewScript
from .image_generator import DrawScenes, ImageGenerator
from .publisher import Entry, Publisher, PublishVideo
from .script_writer import Script, ScriptWriter, WriteScript
from .story_finder import FindStory, Story, StoryFinder
from .video_assembler import AssembleVideo, Film, VideoAssembler
from .voice import Narrator, SpeakLines

VIDEO = "video"
AGENTS = (
    "story-finder",
    "script-writer",
    "critic",
    "image-generator",
    "narrator",
    "video-assembler",
    "publisher",
)
SERVICES = ("anthropic", "openai", "elevenlabs", "runpod", "storage", "database")


def agent_tree(done: Checkpoints) -> Supervisor:
    """Describe the agents. One that a service let down tells its asker, and takes the next order."""
    starts: tuple[Callable[[], Agent], ...] = (
        StoryFinder,
        ScriptWriter,
        Critic,
        partial(ImageGenerator, done),
        partial(Narrator, done),
        VideoAssembler,
        Publisher,
    )
    return Supervisor(
        "agents",
        children=[Child(name, start) for name, start in zip(AGENTS, starts, strict=True)],
    )


async def make_video(system: System, done: Checkpoints, text: str, scenes: int) -> Entry:
    """Make a video of a text. What was finished by an earlier run is not made again.

    Raises:
        RelightError: A service gave up. What is finished is kept.
    """
    finder, writer, critic, images, narrator, assembler, publisher = (
        system.get(f"agents/{name}") for name in AGENTS
    )
    step = done.step
    story = await step(f"{VIDEO}/story", Story, finder.ask, FindStory(text))
    script = await step(f"{VIDEO}/script", Script, writer.ask, WriteScript(story.outline, scenes))
    narration = await step(f"{VIDEO}/narration", Narration, critic.ask, ReviewScript(script.scenes))
    pictures, sounds = await both(
        images.ask(DrawScenes(VIDEO, script.scenes)), narrator.ask(SpeakLines(VIDEO, narration.lines))
    )
    parts = AssembleVideo(story.title, [one.data for one in pictures], [one.data for one in sounds])
    film = await step(f"{VIDEO}/film", Film, assembler.ask, parts)
    order = PublishVideo(id=VIDEO, title=story.title, data=film.data, scenes=scenes, paid=done.usd)
    return await step(f"{VIDEO}/published", Entry, publisher.ask, order)


async def produce(system: System, options: Options, done: Checkpoints) -> Outcome:
    """Make a video, and say what came of it."""
    made: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    try:
        entry = await make_video(system, done, options.text.read_text(), options.count)
    except RelightError as error:
        lost = (f"{VIDEO}: {reason(error)}",)
    else:
        made = (f"{entry.title}: {entry.scenes} scenes, at {entry.path}",)
    return Outcome(made=made, lost=lost, usd=done.usd, services=service_lines(system.services()))


async def run(fakes: Fakes, options: Options, done: Checkpoints) -> Outcome:
    """Open a system with the services and the agents, and let them work."""
    async with open_system(settings=read_settings(__file__)) as system:
        await system.spawn(service_tree(fakes, *SERVICES))
        await system.spawn(agent_tree(done))
        return await produce(system, options, done)
