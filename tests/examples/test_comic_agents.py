"""Each agent of the comic maker alone: what it asks, and what it makes of the answers."""

import base64
from functools import partial

import pytest

from examples.comic_maker.painter import ImagePainter, Painter, PaintPanel
from examples.comic_maker.scene_splitter import SceneSplitter, SplitNovel
from examples.comic_maker.script_writer import ScriptWriter, WriteScript
from examples.comic_maker.storekeeper import Page, Storekeeper, StorePage
from relight import OutputValidationError, Request
from relight.actors.providers import (
    ChatCompletion,
    CreateImages,
    CreateMessage,
    RunJob,
    UploadFile,
    UpsertRows,
)
from relight.testing import Recorder
from tests.examples.agents import NO_ROWS, alone, chat, image, job, said

pytestmark = pytest.mark.anyio

FOUR = '["a tower", "a goose", "a lamp", "a bell"]'


async def test_the_splitter_asks_again_when_scenes_are_missing() -> None:
    model = Recorder()
    model.reply(CreateMessage, said('["one scene"]'), said('["one scene", "another"]'))
    async with alone(partial(SceneSplitter, model)) as agent:
        assert await agent.ask(SplitNovel("A goose slept.", 2)) == ["one scene", "another"]
    first, second = model.of(CreateMessage)
    assert "A goose slept." in first.messages[0].text
    assert "it has 1 strings, not a JSON list of 2 strings" in second.messages[-1].text


async def test_the_script_writer_tells_the_model_what_was_wrong() -> None:
    model = Recorder()
    model.reply(ChatCompletion, chat("Sure! Here are your panels."), chat(FOUR))
    async with alone(partial(ScriptWriter, model)) as agent:
        script = await agent.ask(WriteScript("A goose sleeps in a lamp."))
    assert script == ["a tower", "a goose", "a lamp", "a bell"]
    assert "it is no JSON list of 4 strings" in model.of(ChatCompletion)[1].messages[-1].text


async def test_the_script_writer_gives_up_after_three_answers_that_make_no_sense() -> None:
    model = Recorder()
    model.reply(ChatCompletion, chat("No."))
    async with alone(partial(ScriptWriter, model)) as agent:
        with pytest.raises(OutputValidationError):
            await agent.ask(WriteScript("A goose sleeps in a lamp."))
    assert len(model.messages) == 3


async def test_the_painter_has_a_job_run() -> None:
    gpu = Recorder()
    gpu.reply(RunJob, job({"images": [base64.b64encode(b"goose").decode()]}))
    async with alone(partial(Painter, gpu)) as agent:
        assert await agent.ask(PaintPanel("a goose")) == b"goose"
    assert gpu.of(RunJob)[0].input == {"prompt": "a goose"}


async def test_the_other_painter_asks_for_an_image() -> None:
    model = Recorder()
    model.reply(CreateImages, image(b"goose"))
    async with alone(partial(ImagePainter, model)) as agent:
        assert await agent.ask(PaintPanel("a goose")) == b"goose"
    assert model.of(CreateImages)[0].prompt == "a goose"


def uploaded(message: Request[str]) -> str:
    assert isinstance(message, UploadFile)
    return f"comics/{message.path}"


async def test_the_storekeeper_stores_files_first_and_then_the_row() -> None:
    shelf = Recorder()
    shelf.reply(UploadFile, uploaded)
    shelf.reply(UpsertRows, NO_ROWS)
    order = StorePage(comic="c", number=2, scene="night", pictures=(b"1", b"2"))
    async with alone(partial(Storekeeper, shelf, shelf)) as agent:
        page = await agent.ask(order)
        assert await agent.ask(order) == page, "it may be done again"
    assert page == Page(
        comic="c",
        number=2,
        scene="night",
        panels=["comics/c/page-2/panel-1.png", "comics/c/page-2/panel-2.png"],
    )
    assert [type(one) for one in shelf.messages] == [UploadFile, UploadFile, UpsertRows] * 2
    assert all(upload.overwrites for upload in shelf.of(UploadFile))
    assert shelf.of(UpsertRows)[0].key == ("comic", "number")
