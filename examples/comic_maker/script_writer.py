"""The script writer turns a scene into the four panels of a page."""

from __future__ import annotations

from relight import Agent, Ref, Request, handles
from relight.actors.providers import ChatCompletion, ChatMessage

from ..common.answers import list_of

MODEL = "gpt-4o-mini"
PANELS = 4


class WriteScript(Request[list[str]], frozen=True):
    """Say what each panel of a page shows."""

    scene: str


class ScriptWriter(Agent):
    """Ask OpenAI, and again with what was wrong about the answer."""

    def __init__(self, model: Ref | str = "services/openai") -> None:
        self.model = model

    @handles
    async def write(self, message: WriteScript) -> list[str]:
        question = (
            f"Answer with a JSON list of {PANELS} strings and nothing else: what the painter shall paint in "
            f"each panel of this scene, in one sentence.\n\n{message.scene}"
        )
        written = await self.ask_validated(
            self.model,
            ChatCompletion(model=MODEL, messages=(ChatMessage("user", question),)),
            validate=list_of(PANELS),
        )
        return written.value
