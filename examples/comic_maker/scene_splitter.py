"""The scene splitter reads a novel and says which scenes are worth a page."""

from __future__ import annotations

import msgspec

from relight import Agent, Ref, Request, handles
from relight.actors.providers import ChatMessage, CreateMessage

from ..common.answers import list_of
from ..common.report import usd

MODEL = "claude-haiku-4-5"


class Scenes(msgspec.Struct, frozen=True):
    """The scenes, in the order of the novel."""

    scenes: list[str]
    usd: float


class SplitNovel(Request[Scenes], frozen=True):
    """Find so many scenes in a novel."""

    text: str
    count: int


class SceneSplitter(Agent):
    """Ask Anthropic for the scenes, until there are as many as were wanted."""

    def __init__(self, model: Ref | str = "services/anthropic") -> None:
        self.model = model

    @handles
    async def split(self, message: SplitNovel) -> Scenes:
        question = (
            f"Answer with a JSON list of {message.count} strings and nothing else: the scenes of this novel "
            f"that a comic should show, each retold in a few sentences.\n\n{message.text}"
        )
        found = await self.ask_validated(
            self.model,
            CreateMessage(model=MODEL, messages=(ChatMessage("user", question),)),
            validate=list_of(message.count),
        )
        return Scenes(found.value, usd(found.usage))
