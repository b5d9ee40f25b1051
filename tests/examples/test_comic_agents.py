"""Each agent of the comic maker alone: what it asks, and what it makes of the answers."""

import base64
from functools import partial

import pytest

from examples.comic_maker.editor import Editor, MakePage
from examples.comic_maker.painter import ImagePainter, Painter, PaintPanel, Panel
from examples.comic_maker.scene_splitter import SceneSplitter, SplitNovel
from examples.comic_maker.script_writer import Script, ScriptWriter, WriteScript
from examples.comic_maker.storekeeper import Page, Storekeeper, StorePage
from examples.common.checkpoints import Checkpoints
from relight import ActorCrashedError, OutputValidationError, Request
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
        scenes = await agent.ask(SplitNovel("A goose slept.", 2))
    assert scenes.scenes == ["one scene", "another"]
    assert scenes.usd == pytest.approx(0.5)
    first, second = model.of(CreateMessage)
    assert "A goose slept." in first.messages[0].text
    assert "it has 1 strings, not a JSON list of 2 strings" in second.messages[-1].text


async def test_the_script_writer_tells_the_model_what_was_wrong() -> None:
    model = Recorder()
    model.reply(ChatCompletion, chat("Sure! Here are your panels."), chat(FOUR))
    async with alone(partial(ScriptWriter, model)) as agent:
        script = await agent.ask(WriteScript("A goose sleeps in a lamp."))
    assert script == Script(["a tower", "a goose", "a lamp", "a bell"], answers=2, usd=0.5)
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
        assert await agent.ask(PaintPanel("a goose")) == Panel(b"goose", 0.25)
    assert gpu.of(RunJob)[0].input == {"prompt": "a goose"}


async def test_the_other_painter_asks_for_an_image() -> None:
    model = Recorder()
    model.reply(CreateImages, image(b"goose"))
    async with alone(partial(ImagePainter, model)) as agent:
        assert await agent.ask(PaintPanel("a goose")) == Panel(b"goose", 0.25)
    assert model.of(CreateImages)[0].prompt == "a goose"


def uploaded(message: Request[str]) -> str:
    assert isinstance(message, UploadFile)
    return f"comics/{message.path}"


async def test_the_storekeeper_stores_files_first_and_then_the_row() -> None:
    shelf = Recorder()
    shelf.reply(UploadFile, uploaded)
    shelf.reply(UpsertRows, NO_ROWS)
    order = StorePage(comic="c", number=2, scene="night", pictures=[b"1", b"2"])
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


def painted(message: Request[Panel]) -> Panel:
    assert isinstance(message, PaintPanel)
    return Panel(message.prompt.encode(), 0.5)


def not_all_painted(message: Request[Panel]) -> Panel:
    panel = painted(message)
    if panel.data == b"c":
        raise ConnectionError("no GPU")
    return panel


class Others:
    """The editor's colleagues."""

    def __init__(self) -> None:
        self.writer, self.painters, self.shelf = Recorder("writer"), Recorder("painters"), Recorder("shelf")
        self.writer.reply(WriteScript, Script(["a", "b", "c", "d"], 1, 1.0))
        self.painters.reply(PaintPanel, painted)
        self.shelf.reply(StorePage, Page(comic="c", number=1, scene="s", panels=["p"]))

    def editor(self, done: Checkpoints) -> Editor:
        return Editor(done, self.writer, self.painters, self.shelf)


ORDER = MakePage(comic="c", number=1, scene="s")


async def test_the_editor_has_a_page_written_painted_and_stored() -> None:
    others, done = Others(), Checkpoints()
    async with alone(partial(others.editor, done)) as agent:
        assert (await agent.ask(ORDER)).panels == ["p"]
    assert done.usd == pytest.approx(3.0)
    assert others.shelf.of(StorePage)[0].pictures == [b"a", b"b", b"c", b"d"]


async def test_an_editor_that_crashed_goes_on_with_what_is_not_finished() -> None:
    others, done = Others(), Checkpoints()
    others.painters.reply(PaintPanel, not_all_painted)
    async with alone(partial(others.editor, done)) as agent:
        with pytest.raises(ActorCrashedError):
            await agent.ask(ORDER)
        others.painters.reply(PaintPanel, painted)
        made = await agent.ask(ORDER)
        assert await agent.ask(ORDER) == made
    prompts = [one.prompt for one in others.painters.of(PaintPanel)]
    assert (sorted(prompts[:4]), prompts[4:]) == (["a", "b", "c", "d"], ["c"])
    assert len(others.writer.messages) == len(others.shelf.messages) == 1
