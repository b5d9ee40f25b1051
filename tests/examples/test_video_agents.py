"""Each agent of the video maker alone: what it asks, and what it makes of the answers."""

import base64
from functools import partial

import pytest

from examples.common.checkpoints import Checkpoints
from examples.video_maker.critic import Critic, Narration, ReviewScript
from examples.video_maker.image_generator import DrawScenes, ImageGenerator, Picture
from examples.video_maker.publisher import Entry, Publisher, PublishVideo
from examples.video_maker.script_writer import Script, ScriptWriter, WriteScript
from examples.video_maker.story_finder import FindStory, Story, StoryFinder
from examples.video_maker.video_assembler import AssembleVideo, Film, VideoAssembler
from examples.video_maker.voice import Narrator, Sound, SpeakLines
from relight import ActorCrashedError, Child, FailureKind, Fixed, Policy, Request, Retry, open_system
from relight.actors.providers import (
    ChatCompletion,
    CreateImages,
    CreateMessage,
    ImagesReply,
    RunJob,
    Speak,
    Speech,
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
        assert await agent.ask(FindStory("Long ago...")) == Story("The Goose", "1. It sleeps.", 0.5)
    assert "the first line must be 'Title: ...'" in model.of(CreateMessage)[1].messages[-1].text


async def test_the_script_writer_asks_again_until_there_are_as_many_scenes_as_wanted() -> None:
    model = Recorder()
    model.reply(ChatCompletion, chat("Of course!"), chat('["night"]'), chat('["night", "dawn"]'))
    async with alone(partial(ScriptWriter, model)) as agent:
        assert await agent.ask(WriteScript("1. It sleeps.", 2)) == Script(["night", "dawn"], 3, 0.75)


async def test_the_critic_has_a_line_for_each_scene() -> None:
    model = Recorder()
    model.reply(CreateMessage, said('["It is night.", "It is dawn."]'))
    async with alone(partial(Critic, model)) as agent:
        narration = await agent.ask(ReviewScript(["night", "dawn"]))
    assert narration == Narration(["It is night.", "It is dawn."], 0.25)
    assert "night\ndawn" in model.of(CreateMessage)[0].messages[0].text


def not_all_drawn(message: Request[ImagesReply]) -> ImagesReply:
    assert isinstance(message, CreateImages)
    if message.prompt == "dawn":
        raise ConnectionError("no picture today")
    return image(message.prompt.encode())


async def test_the_image_generator_draws_only_what_is_missing() -> None:
    done, model = Checkpoints(), Recorder()
    model.reply(CreateImages, not_all_drawn)
    order = DrawScenes("v", ["night", "dawn", "noon"])
    async with alone(partial(ImageGenerator, done, model)) as agent:
        with pytest.raises(ActorCrashedError):
            await agent.ask(order)
        model.reply(CreateImages, image(b"sun"))
        pictures = await agent.ask(order)
    assert pictures == [Picture(b"night", 0.25), Picture(b"sun", 0.25), Picture(b"noon", 0.25)]
    prompts = [one.prompt for one in model.of(CreateImages)]
    assert (sorted(prompts[:3]), prompts[3:]) == (["dawn", "night", "noon"], ["dawn"])


@virtual_time
async def test_the_image_generator_hears_nothing_of_failures_its_service_gets_over() -> None:
    flaky = FlakyService.script(
        [Fail(FailureKind.RATE_LIMIT, retry_after=30.0), Fail(FailureKind.SERVER)], then=Ok(image(b"sun"))
    )
    async with open_system() as system:
        policy = Policy(retry=Retry(attempts=3, backoff=Fixed(10.0)))
        service = await system.spawn(Child("openai", flaky, policy=policy))
        start = partial(ImageGenerator, Checkpoints(), service)
        agent = await system.spawn(Child("image-generator", start))
        assert await agent.ask(DrawScenes("v", ["dawn"])) == [Picture(b"sun", 0.25)]
    assert len(flaky.attempts) == 3


def spoken(message: Request[Speech]) -> Speech:
    assert isinstance(message, Speak)
    return speech(message.text.encode())


async def test_the_narrator_speaks_only_what_is_missing() -> None:
    done, service = Checkpoints(), Recorder()
    service.reply(Speak, spoken)
    async with alone(partial(Narrator, done, service)) as agent:
        await agent.ask(SpeakLines("v", ["It is night."]))
        sounds = await agent.ask(SpeakLines("v", ["It is night.", "It is dawn."]))
    assert sounds == [Sound(b"It is night.", 0.25), Sound(b"It is dawn.", 0.25)]
    assert [one.text for one in service.of(Speak)] == ["It is night.", "It is dawn."]


async def test_the_assembler_gives_the_same_job_for_the_same_parts() -> None:
    gpu = Recorder()
    gpu.reply(RunJob, job({"images": [base64.b64encode(b"film").decode()]}))
    async with alone(partial(VideoAssembler, gpu)) as agent:
        for pictures in ([b"1"], [b"1"], [b"2"]):
            assert await agent.ask(AssembleVideo("The Goose", pictures, [b"s"])) == Film(b"film", 0.25)
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
