"""The script writer makes the scenes of a video out of a story's outline."""

from __future__ import annotations

from relight import Agent, Ref, Request, handles
from relight.actors.providers import ChatCompletion, ChatMessage

from ..common.answers import list_of

MODEL = "gpt-4o-mini"


class WriteScript(Request[list[str]], frozen=True):
    """Say what each scene of a story shows."""

    outline: str
    scenes: int


class ScriptWriter(Agent):
    """Ask OpenAI, and again with what was wrong about the answer."""

    def __init__(self, model: Ref | str = "services/openai") -> None:
        self.model = model

    @handles
    async def write(self, message: WriteScript) -> list[str]:
        question = (
            f"Answer with a JSON list of {message.scenes} strings and nothing else: what the camera sees in "
            f"each scene of this story, in one sentence.\n\n{message.outline}"
        )
        written = await self.ask_validated(
            self.model,
            ChatCompletion(model=MODEL, messages=(ChatMessage("user", question),)),
            validate=list_of(message.scenes),
        )
        return written.value
