"""The critic reads the script and writes what is said over each scene, in words that can be spoken."""

from __future__ import annotations

from relight import Agent, Ref, Request, handles
from relight.actors.providers import ChatMessage, CreateMessage

from ..common.answers import list_of

MODEL = "claude-haiku-4-5"


class ReviewScript(Request[list[str]], frozen=True):
    """Say what is to be spoken over each of these scenes."""

    scenes: list[str]


class Critic(Agent):
    """Ask another model than the one that wrote the script: it is no judge of itself."""

    def __init__(self, model: Ref | str = "services/anthropic") -> None:
        self.model = model

    @handles
    async def review(self, message: ReviewScript) -> list[str]:
        count = len(message.scenes)
        scenes = "\n".join(message.scenes)
        question = (
            f"Answer with a JSON list of {count} strings and nothing else: for each scene what a narrator "
            f"says over it. Cut what the picture shows already.\n\n{scenes}"
        )
        reviewed = await self.ask_validated(
            self.model,
            CreateMessage(model=MODEL, messages=(ChatMessage("user", question),)),
            validate=list_of(count),
        )
        return reviewed.value
