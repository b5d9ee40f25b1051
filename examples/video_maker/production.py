"""The production: the tree of the seven agents, and a worker that makes videos with them."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from relight import Agent, Child, Pool, Supervisor, open_system
from relight.actors.jobs import Job, Queue, Worker
from relight.fakes import Fakes

from ..common.jobs import ended, take_up
from ..common.options import Options, read_settings
from ..common.report import Outcome, outcome_of
from ..common.services import service_tree
from ..common.telling import telling
from .critic import Critic
from .image_generator import ImageGenerator
from .publisher import Entry, Publisher
from .script_writer import ScriptWriter
from .story_finder import StoryFinder
from .video import Video, declare_videos
from .video_assembler import VideoAssembler
from .voice import Narrator

SERVICES = ("anthropic", "openai", "elevenlabs", "runpod", "storage", "database")


def agent_tree() -> Supervisor:
    """Describe the agents. One that a service let down tells its asker, and takes the next order."""
    return Supervisor(
        "agents",
        children=[
            Child("story-finder", StoryFinder),
            Child("script-writer", ScriptWriter),
            Child("critic", Critic),
            pool("image-generators", ImageGenerator),
            pool("narrators", Narrator),
            Child("video-assembler", VideoAssembler),
            Child("publisher", Publisher),
        ],
    )


def pool(name: str, start: Callable[[], Agent], size: int = 8) -> Pool:
    """Describe agents of which several work at once."""
    member = Child(name.removesuffix("s"), start)
    return Pool(name, member=member, size=size, route="least_loaded")


def name_of(job: Job) -> str:
    """Say what a job makes."""
    return "video"


def made_by(job: Job) -> str:
    """Say what a job has made."""
    entry = msgspec.json.decode(job.result or b"", type=Entry)
    return f"{entry.title}, {entry.scenes} scenes, at {entry.path}"


async def run(fakes: Fakes, options: Options, say: Callable[[str], None] = print) -> Outcome:
    """Open a system with the services, the agents and a worker, and have a video made."""
    began = time.time()
    queue = Queue(options.find_store(), "videos")
    make_video = declare_videos(queue)
    order = Video(options.name, options.text.read_text(), options.count)
    async with open_system(settings=read_settings(__file__)) as system:
        await system.spawn(service_tree(fakes, *SERVICES))
        await system.spawn(agent_tree())
        await Worker(queue, lease=options.lease, drain=0.0).start(system)
        async with telling(queue, name_of, say):
            video = await ended(queue, await take_up(queue, make_video, order))
        return outcome_of([video], name_of, made_by, began=began, services=system.services())
