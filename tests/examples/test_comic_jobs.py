"""The jobs of the comic maker: whom they ask, with which keys, and what becomes of a page."""

import base64
from functools import partial

import msgspec
import pytest

from examples.comic_maker.comic import Comic, declare_comics
from examples.comic_maker.storekeeper import Page
from examples.comic_maker.studio import SERVICES, agent_tree
from examples.common.jobs import ended
from examples.common.options import Options
from relight import Child, GuardedActor, Supervisor, current_attempt, handles, open_system
from relight.actors.jobs import JobDetail, MemoryStore, Queue, Worker
from relight.actors.providers import (
    ChatCompletion,
    ChatReply,
    CreateMessage,
    JobResult,
    MessageReply,
    Rows,
    RunJob,
    UploadFile,
    UpsertRows,
)
from tests.examples.agents import NO_ROWS, chat, job, said

pytestmark = pytest.mark.anyio


class Everybody(GuardedActor):
    """Any of the services; keeps the idempotency keys of its calls."""

    def __init__(self, keys: list[str]) -> None:
        self.keys = keys

    def note(self) -> None:
        self.keys.append(current_attempt().idempotency_key)

    @handles
    async def split(self, message: CreateMessage) -> MessageReply:
        self.note()
        return said('["a goose sleeps"]')

    @handles
    async def write(self, message: ChatCompletion) -> ChatReply:
        self.note()
        is_first = len(message.messages) == 1
        return chat("Sure!" if is_first else '["a tower", "a goose", "a lamp", "a bell"]')

    @handles
    async def paint(self, message: RunJob) -> JobResult:
        self.note()
        return job({"images": [base64.b64encode(b"goose").decode()]})

    @handles
    async def upload(self, message: UploadFile) -> str:
        self.note()
        return message.path

    @handles
    async def note_page(self, message: UpsertRows) -> Rows:
        self.note()
        return NO_ROWS


async def make_a_page(keys: list[str]) -> tuple[str, JobDetail]:
    """Have a comic of one page made; returns its job's id, and what is known of the page's."""
    queue = Queue(MemoryStore())
    make_comic = declare_comics(queue)
    services = [Child(name, partial(Everybody, keys)) for name in SERVICES]
    async with open_system() as system:
        await system.spawn(Supervisor("services", children=services))
        await system.spawn(agent_tree(Options(count=1)))
        await Worker(queue).start(system)
        comic = await queue.enqueue(make_comic, Comic("novel", "A goose slept.", 1))
        (page,) = await queue.result_of(make_comic, comic)
        return comic, await ended(queue, page)


async def test_each_call_that_an_agent_makes_for_a_step_has_a_key_of_the_step() -> None:
    keys: list[str] = []
    comic, page = await make_a_page(keys)
    made = msgspec.json.decode(page.job.result or b"", type=Page)
    assert made.panels == [f"novel/page-1/panel-{place}.png" for place in range(1, 5)]
    panels = [f"{page.job.id}:panel-{place}" for place in range(1, 5)]
    stored = [f"{page.job.id}:stored", *(f"{page.job.id}:stored:{call}" for call in range(2, 6))]
    assert keys[:3] == [f"{comic}:scenes", f"{page.job.id}:script", f"{page.job.id}:script:2"]
    assert (sorted(keys[3:7]), keys[7:]) == (panels, stored)


async def test_the_costs_of_a_page_are_in_its_record_by_step() -> None:
    _, page = await make_a_page([])
    costs = {step.name: step.cost_usd for step in page.steps}
    assert costs == {"script": 0.5, **{f"panel-{place}": 0.25 for place in range(1, 5)}, "stored": 0.0}
    assert page.job.cost_usd == pytest.approx(1.5)
