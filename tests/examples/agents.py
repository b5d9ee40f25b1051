"""An agent of an example alone in a system, with recorders in the place of everybody else."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from relight import Actor, Child, Ref, open_system
from relight.actors import Usage
from relight.actors.providers import (
    ChatReply,
    ImagesReply,
    JobResult,
    MadeImage,
    MessageReply,
    Rows,
    Speech,
)

USAGE = Usage(input_tokens=10, output_tokens=5, usd=0.25)


@asynccontextmanager
async def alone(start: Callable[[], Actor]) -> AsyncGenerator[Ref]:
    """Run one agent."""
    async with open_system() as system:
        yield await system.spawn(Child("agent", start))


def chat(text: str) -> ChatReply:
    """Make an answer of OpenAI's."""
    return ChatReply(id="1", model="m", text=text, finish_reason="stop", usage=USAGE)


def said(text: str) -> MessageReply:
    """Make an answer of Anthropic's."""
    return MessageReply(id="1", model="m", text=text, stop_reason="end_turn", usage=USAGE)


def image(data: bytes) -> ImagesReply:
    """Make a picture of OpenAI's."""
    return ImagesReply(images=(MadeImage(data=data),), usage=USAGE)


def job(output: object) -> JobResult:
    """Make what a job at RunPod answers."""
    return JobResult(id="1", output=output, queue_seconds=0.0, run_seconds=1.0, usage=USAGE)


def speech(data: bytes) -> Speech:
    """Make a sound of ElevenLabs'."""
    return Speech(audio=data, content_type="audio/mpeg", request_id="1", usage=USAGE)


NO_ROWS = Rows(rows=())
