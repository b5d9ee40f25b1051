"""Each agent of the video maker alone: what it asks, and what it makes of the answers."""

import base64
from functools import partial

import pytest

from examples.video_maker.critic import Critic, ReviewScript
from examples.video_maker.image_generator import DrawScene, ImageGenerator
from examples.video_maker.publisher import Entry, Publisher, PublishVideo
from examples.video_maker.script_writer import ScriptWriter, WriteScript
from examples.video_maker.story_finder import FindStory, Story, StoryFinder
from examples.video_maker.video_assembler import AssembleVideo, VideoAssembler
from examples.video_maker.voice import Narrator, SpeakLine
from relight import Child, FailureKind, Fixed, Policy, Retry, open_system
from relight.actors.providers import (
    ChatCompletion,
    CreateImages,
    CreateMessage,
    RunJob,
    Speak,
    UploadFile,
    UpsertRows,
)
from relight.testing import Fail, FlakyService, Ok, Recorder
from tests.examples.agents import NO_ROWS, alone, chat, image, job, said, speech
from tests.support.clocks import virtual_time

pytestmark = pytest.mark.anyio


async def test_the_story_finder_wants_a_title_first() -> None:
    model = Recorder()
    model.reply(CreateMessage, said("A goose sleeps."), said("Title: The Goose\n1. It sleeps.\n"))
    async with alone(partial(StoryFinder, model)) as agent:
        assert await agent.ask(FindStory("Long ago...")) == Story("The Goose", "1. It sleeps.")
    assert "the first line must be 'Title: ...'" in model.of(CreateMessage)[1].messages[-1].text


async def test_the_script_writer_asks_again_until_there_are_as_many_scenes_as_wanted() -> None:
    model = Recorder()
    model.reply(ChatCompletion, chat("Of course!"), chat('["night"]'), chat('["night", "dawn"]'))
    async with alone(partial(ScriptWriter, model)) as agent:
        assert await agent.ask(WriteScript("1. It sleeps.", 2)) == ["night", "dawn"]


async def test_the_critic_has_a_line_for_each_scene() -> None:
    model = Recorder()
    model.reply(CreateMessage, said('["It is night.", "It is dawn."]'))
    async with alone(partial(Critic, model)) as agent:
        assert await agent.ask(ReviewScript(["night", "dawn"])) == ["It is night.", "It is dawn."]
    assert "night\ndawn" in model.of(CreateMessage)[0].messages[0].text


async def test_the_image_generator_draws_a_scene() -> None:
    model = Recorder()
    model.reply(CreateImages, image(b"sun"))
    async with alone(partial(ImageGenerator, model)) as agent:
        assert await agent.ask(DrawScene("dawn")) == b"sun"
    assert model.of(CreateImages)[0].prompt == "dawn"


@virtual_time
async def test_the_image_generator_hears_nothing_of_failures_its_service_gets_over() -> None:
    flaky = FlakyService.script(
        [Fail(FailureKind.RATE_LIMIT, retry_after=30.0), Fail(FailureKind.SERVER)], then=Ok(image(b"sun"))
    )
    async with open_system() as system:
        policy = Policy(retry=Retry(attempts=3, backoff=Fixed(10.0)))
        service = await system.spawn(Child("openai", flaky, policy=policy))
        agent = await system.spawn(Child("image-generator", partial(ImageGenerator, service)))
        assert await agent.ask(DrawScene("dawn")) == b"sun"
    assert len(flaky.attempts) == 3


async def test_the_narrator_speaks_a_line() -> None:
    service = Recorder()
    service.reply(Speak, speech(b"hiss"))
    async with alone(partial(Narrator, service)) as agent:
        assert await agent.ask(SpeakLine("It is night.")) == b"hiss"
    assert [one.text for one in service.of(Speak)] == ["It is night."]


async def test_the_assembler_gives_the_same_job_for_the_same_parts() -> None:
    gpu = Recorder()
    gpu.reply(RunJob, job({"images": [base64.b64encode(b"film").decode()]}))
    async with alone(partial(VideoAssembler, gpu)) as agent:
        for pictures in ((b"1",), (b"1",), (b"2",)):
            assert await agent.ask(AssembleVideo("The Goose", pictures, (b"s",))) == b"film"
    first, second, third = (one.input for one in gpu.of(RunJob))
    assert first == second != third


async def test_the_publisher_stores_the_file_first_and_then_what_it_cost() -> None:
    shelf = Recorder()
    shelf.reply(UploadFile, "videos/v.mp4")
    shelf.reply(UpsertRows, NO_ROWS)
    order = PublishVideo(id="v", title="The Goose", data=b"film", scenes=2, paid=1.5)
    async with alone(partial(Publisher, shelf, shelf)) as agent:
        entry = await agent.ask(order)
    assert entry == Entry(id="v", title="The Goose", path="videos/v.mp4", scenes=2, paid=1.5)
    assert [type(one) for one in shelf.messages] == [UploadFile, UpsertRows]
    assert shelf.of(UpsertRows)[0].rows == (entry,)
