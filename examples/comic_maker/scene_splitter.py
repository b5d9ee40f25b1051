"""The scene splitter reads a novel and says which scenes are worth a page."""

from __future__ import annotations

from relight import Agent, Ref, Request, handles
from relight.actors.providers import ChatMessage, CreateMessage

from ..common.answers import list_of

MODEL = "claude-haiku-4-5"


class SplitNovel(Request[list[str]], frozen=True):
    """Find so many scenes in a novel, in its order."""

    text: str
    count: int


class SceneSplitter(Agent):
    """Ask Anthropic for the scenes, until there are as many as were wanted."""

    def __init__(self, model: Ref | str = "services/anthropic") -> None:
        self.model = model

    @handles
    async def split(self, message: SplitNovel) -> list[str]:
        question = (
            f"Answer with a JSON list of {message.count} strings and nothing else: the scenes of this novel "
            f"that a comic should show, each retold in a few sentences.\n\n{message.text}"
        )
        found = await self.ask_validated(
            self.model,
            CreateMessage(model=MODEL, messages=(ChatMessage("user", question),)),
            validate=list_of(message.count),
        )
        return found.value
