"""The script writer makes the scenes of a video out of a story's outline."""

from __future__ import annotations

import msgspec

from relight import Agent, Ref, Request, handles
from relight.actors.providers import ChatCompletion, ChatMessage

from ..common.answers import list_of
from ..common.report import usd

MODEL = "gpt-4o-mini"


class Script(msgspec.Struct, frozen=True):
    """What each scene shows."""

    scenes: list[str]
    answers: int
    """How often the model was asked until it made sense."""
    usd: float


class WriteScript(Request[Script], frozen=True):
    """Write the scenes of a story."""

    outline: str
    scenes: int


class ScriptWriter(Agent):
    """Ask OpenAI, and again with what was wrong about the answer."""

    def __init__(self, model: Ref | str = "services/openai") -> None:
        self.model = model

    @handles
    async def write(self, message: WriteScript) -> Script:
        question = (
            f"Answer with a JSON list of {message.scenes} strings and nothing else: what the camera sees in "
            f"each scene of this story, in one sentence.\n\n{message.outline}"
        )
        written = await self.ask_validated(
            self.model,
            ChatCompletion(model=MODEL, messages=(ChatMessage("user", question),)),
            validate=list_of(message.scenes),
        )
        return Script(written.value, written.attempts, usd(written.usage))
