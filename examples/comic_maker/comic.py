"""A comic is a job that finds the scenes and enqueues a job for each page.

A page is a job of its own because it stands alone: it has its own attempts, its own costs and its own entry
among the dead letters, and one that can't be made takes no other with it. What is paid for is a step: a page
that failed, or whose process was killed, goes on with what is not finished.
"""

from __future__ import annotations

import msgspec

from relight.actors.jobs import JobContext, JobFunction, Queue, together

from ..common.jobs import BACKOFF
from .painter import PaintPanel
from .scene_splitter import SplitNovel
from .script_writer import WriteScript
from .storekeeper import Page, StorePage


class Comic(msgspec.Struct, frozen=True):
    """A comic to be made."""

    name: str
    text: str
    pages: int


class PageOrder(msgspec.Struct, frozen=True):
    """A page to be made."""

    comic: str
    number: int
    scene: str


def declare_comics(queue: Queue) -> JobFunction[Comic, list[str]]:
    """Make comics jobs of *queue*; the result of one is the ids of its pages' jobs, theirs a `Page`."""

    @queue.job(backoff=BACKOFF)
    async def make_page(job: JobContext, order: PageOrder) -> Page:
        script = await job.ask("agents/script-writers", WriteScript(order.scene), name="script")
        pictures = await together(
            *(
                job.ask("agents/painters", PaintPanel(panel), name=f"panel-{place}")
                for place, panel in enumerate(script, start=1)
            )
        )
        page = StorePage(comic=order.comic, number=order.number, scene=order.scene, pictures=pictures)
        return await job.ask("agents/storekeeper", page, name="stored")

    @queue.job(backoff=BACKOFF)
    async def make_comic(job: JobContext, comic: Comic) -> list[str]:
        scenes = await job.ask("agents/scene-splitter", SplitNovel(comic.text, comic.pages), name="scenes")
        return [
            await job.enqueue(make_page, PageOrder(comic.name, number, scene), name=f"page-{number}")
            for number, scene in enumerate(scenes, start=1)
        ]

    return make_comic
