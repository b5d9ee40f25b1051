"""The voice speaks the narration."""

from __future__ import annotations

from relight import Agent, Ref, Request, handles
from relight.actors.providers import Speak

VOICE = "JBFqnCBsd6RMkjVDRZzb"


class SpeakLine(Request[bytes], frozen=True):
    """Speak a line."""

    line: str


class Narrator(Agent):
    """Have ElevenLabs speak. How many lines at once is the plan's limit; the service keeps it."""

    def __init__(self, speech: Ref | str = "services/elevenlabs") -> None:
        self.speech = speech

    @handles
    async def speak(self, message: SpeakLine) -> bytes:
        speech = await self.ask(self.speech, Speak(text=message.line, voice=VOICE))
        return speech.audio
