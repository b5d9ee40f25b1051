"""A video is one job: what its scenes cost is of no use without the film, so they succeed or fail together.

Each thing that is paid for is a step. The job knows who does what, and which of it can be done at once; it
knows nothing of failure. A service's guard retries a call; where it gives up, the job waits and goes on with
what is not finished, and so it does when its process was killed.
"""

from __future__ import annotations

import msgspec

from relight.actors.jobs import JobContext, JobFunction, Queue, together

from ..common.jobs import BACKOFF
from .critic import ReviewScript
from .image_generator import DrawScene
from .publisher import Entry, PublishVideo
from .script_writer import WriteScript
from .story_finder import FindStory
from .video_assembler import AssembleVideo
from .voice import SpeakLine


class Video(msgspec.Struct, frozen=True):
    """A video to be made."""

    name: str
    text: str
    scenes: int


def declare_videos(queue: Queue) -> JobFunction[Video, Entry]:
    """Make videos jobs of *queue*."""

    @queue.job(backoff=BACKOFF)
    async def make_video(job: JobContext, video: Video) -> Entry:
        story = await job.ask("agents/story-finder", FindStory(video.text), name="story")
        script = await job.ask(
            "agents/script-writer", WriteScript(story.outline, video.scenes), name="script"
        )
        narration = await job.ask("agents/critic", ReviewScript(script), name="narration")
        pictures, sounds = await together(
            together(
                *(
                    job.ask("agents/image-generators", DrawScene(scene), name=f"picture-{number}")
                    for number, scene in enumerate(script, start=1)
                )
            ),
            together(
                *(
                    job.ask("agents/narrators", SpeakLine(line), name=f"sound-{number}")
                    for number, line in enumerate(narration, start=1)
                )
            ),
        )
        film = await job.ask(
            "agents/video-assembler", AssembleVideo(story.title, pictures, sounds), name="film"
        )
        order = PublishVideo(
            id=video.name, title=story.title, data=film, scenes=video.scenes, paid=job.cost_usd
        )
        return await job.ask("agents/publisher", order, name="published")

    return make_video
