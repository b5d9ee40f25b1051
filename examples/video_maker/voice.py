"""The voice speaks the narration, a line for each scene."""

from __future__ import annotations

import msgspec

from relight import Agent, Ref, Request, handles
from relight.actors.providers import Speak

from ..common.checkpoints import Checkpoints
from ..common.report import usd
from ..common.together import together

VOICE = "JBFqnCBsd6RMkjVDRZzb"


class Sound(msgspec.Struct, frozen=True):
    """A line as it is spoken."""

    data: bytes
    usd: float


class SpeakLines(Request[list[Sound]], frozen=True):
    """Speak all lines of a video."""

    video: str
    lines: list[str]


class Narrator(Agent):
    """Have ElevenLabs speak. How many lines at once is the plan's limit; the service keeps it."""

    def __init__(self, done: Checkpoints, speech: Ref | str = "services/elevenlabs") -> None:
        self.done = done
        self.speech = speech

    @handles
    async def speak_all(self, message: SpeakLines) -> list[Sound]:
        return await together(
            self.done.step(f"{message.video}/sound-{number}", Sound, self.speak, line)
            for number, line in enumerate(message.lines, start=1)
        )

    async def speak(self, line: str) -> Sound:
        speech = await self.ask(self.speech, Speak(text=line, voice=VOICE))
        return Sound(speech.audio, usd(speech.usage))
